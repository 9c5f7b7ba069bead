package catalog

import (
	"regexp"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// corefileData is what kubeadm knows to migrate in CoreDNS's configuration.
type corefileData struct {
	Versions struct {
		Source string            `json:"source"`
		List   []cluster.Version `json:"list"`
	} `json:"versions"`
	Checks []struct {
		Range
		// Unmoved is true where the plugins are looked at in a hop that leaves CoreDNS
		// as it is, too.
		Unmoved bool   `json:"unmoved"`
		Source  string `json:"source"`
	} `json:"checks"`
	Plugins []corefilePlugin `json:"plugins"`
}

type corefilePlugin struct {
	Range
	Name    string           `json:"name"`
	Source  string           `json:"source"`
	Options []corefileOption `json:"options"`
}

// corefileOption is known by its name, or by a pattern.
type corefileOption struct {
	Range
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
	pattern *regexp.Regexp
}

// CoreDNSVersion is the version that kubeadm of this line deploys. Other patches of the
// line than [Minor.Seen] may bring another.
func (m Minor) CoreDNSVersion() (cluster.Version, bool) {
	v, err := TagVersion(m.row.CoreDNS)
	return v, err == nil
}

// MigratesCoreDNS tells whether kubeadm knows the installed version of CoreDNS as
// one to start from.
func (c *Catalog) MigratesCoreDNS(installed cluster.Version) bool {
	return slices.Contains(c.corefile.Versions.List, installed)
}

// LooksAtCorefile tells whether kubeadm of the minor looks at the plugins in a hop
// that moves CoreDNS, or one that does not.
func (c *Catalog) LooksAtCorefile(kubeadm cluster.Minor, moves bool) bool {
	for _, row := range c.corefile.Checks {
		if row.Holds(kubeadm) {
			return moves || row.Unmoved
		}
	}
	return false
}

// UnknownInCorefile lists what kubeadm of the minor refuses to migrate: plugins,
// and options as plugin/option.
func (c *Catalog) UnknownInCorefile(kubeadm cluster.Minor, plugins []cluster.Plugin) []string {
	var out []string
	for _, p := range plugins {
		known := false
		unknown := slices.Clone(p.Options)
		for i := range c.corefile.Plugins {
			row := &c.corefile.Plugins[i]
			if row.Name != p.Name || !row.Holds(kubeadm) {
				continue
			}
			known = true
			unknown = slices.DeleteFunc(unknown, func(option string) bool { return row.knows(kubeadm, option) })
		}
		if !known {
			out = append(out, p.Name)
			continue
		}
		for _, option := range unknown {
			out = append(out, p.Name+"/"+option)
		}
	}
	return out
}

func (row *corefilePlugin) knows(kubeadm cluster.Minor, option string) bool {
	return slices.ContainsFunc(row.Options, func(o corefileOption) bool {
		return o.Holds(kubeadm) && (o.pattern != nil && o.pattern.MatchString(option) || o.pattern == nil && o.Name == option)
	})
}
