package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// addonData is what is known of add-ons, of CoreDNS's configuration and of what
// kubeadm and kube-proxy stop supporting.
type addonData struct {
	addons   []addonRow
	corefile corefileData
	renamed  []Renamed
	proxies  []ProxyMode
}

// addonRow is an add-on that is recognised by its images.
type addonRow struct {
	Name string `json:"name"`
	// Images are the ends of image names, without registry, tag and digest.
	Images []string   `json:"images"`
	Look   string     `json:"look"` // where its makers say what they support
	Lines  []addonSet `json:"lines"`
	// Follows is set where its minors are those of Kubernetes.
	Follows *struct {
		Behind uint64 `json:"behind"` // how many minors it may be older
		Source string `json:"source"`
	} `json:"follows"`
}

// addonSet is the minors of Kubernetes that some versions of an add-on support.
type addonSet struct {
	First  cluster.Minor  `json:"first"` // of the add-on's lines
	Last   *cluster.Minor `json:"last"`  // nil: First
	Patch  uint64         `json:"patch"` // the first patch of First it holds for
	From   *cluster.Minor `json:"from"`  // nil: not said
	To     *cluster.Minor `json:"to"`    // nil: no end is known
	Source string         `json:"source"`
}

func (s *addonSet) holds(v cluster.Version) bool {
	last := s.First
	if s.Last != nil {
		last = *s.Last
	}
	if v.Line() == s.First && v.Patch < s.Patch {
		return false
	}
	return !v.Line().Less(s.First) && !last.Less(v.Line())
}

// Addon is what is known of one version of an add-on.
type Addon struct {
	Name    string
	Version cluster.Version
	// Known is false when nothing is known of that version.
	Known bool
	// First and Last are the minors of Kubernetes it supports; nil: no such end is
	// known.
	First, Last *cluster.Minor
	// Follows is true when its minor should follow that of Kubernetes.
	Follows bool
	Source  string // of the range
	Look    string // where its makers say what they support
}

// Addon recognises an add-on by the image of a container.
func (c *Catalog) Addon(image string) (Addon, bool) {
	name, tag := splitImage(image)
	for i := range c.addons {
		row := &c.addons[i]
		if !slices.ContainsFunc(row.Images, func(end string) bool { return name == end || strings.HasSuffix(name, "/"+end) }) {
			continue
		}
		out := Addon{Name: row.Name, Look: row.Look, Follows: row.Follows != nil}
		var err error
		if out.Version, err = TagVersion(tag); err != nil {
			return out, true
		}
		row.judge(&out)
		return out, true
	}
	return Addon{}, false
}

// judge fills in what is known of the version.
func (row *addonRow) judge(out *Addon) {
	if f := row.Follows; f != nil {
		// Some of them had versions of their own before.
		if oldest := (cluster.Minor{Major: 1, Minor: 16}); !out.Version.Line().Less(oldest) {
			last := out.Version.Line()
			last.Minor += f.Behind
			out.Known, out.Last, out.Source = true, &last, f.Source
		}
		return
	}
	for i := range row.Lines {
		if set := &row.Lines[i]; set.holds(out.Version) {
			out.Known, out.First, out.Last, out.Source = true, set.From, set.To, set.Source // later rows are of later patches
		}
	}
}

// splitImage gives the name without registry and what stands after its colon.
func splitImage(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name, tag = name[:at], name[at+1:]
	}
	return name, tag
}

// Renamed is a label and taint of control planes that kubeadm takes away.
type Renamed struct {
	Old string `json:"old"`
	New string `json:"new"`
	// Label is the first minor whose kubeadm takes the old label off, Taint the
	// first whose kubeadm adds the new taint beside the old one.
	Label  cluster.Minor `json:"label"`
	Taint  cluster.Minor `json:"taint"`
	Source string        `json:"source"`
}

// ControlPlaneNames are the labels and taints of control planes that change.
func (c *Catalog) ControlPlaneNames() []Renamed { return slices.Clone(c.renamed) }

// ProxyMode is a mode of kube-proxy on its way out.
type ProxyMode struct {
	Mode       string         `json:"mode"`
	Deprecated *cluster.Minor `json:"deprecated"` // the first minor that warns; nil: none
	Removed    *cluster.Minor `json:"removed"`    // the first minor that refuses it; nil: none so far
	Instead    string         `json:"instead"`
	Source     string         `json:"source"`
}

// ProxyMode gives the row of a mode of kube-proxy, if there is one.
func (c *Catalog) ProxyMode(mode string) (ProxyMode, bool) {
	for _, row := range c.proxies {
		if row.Mode == mode {
			return row, true
		}
	}
	return ProxyMode{}, false
}

func (c *Catalog) loadAddons() error {
	var addons struct {
		Addons       []addonRow  `json:"addons"`
		ControlPlane []Renamed   `json:"controlPlaneNames"`
		ProxyModes   []ProxyMode `json:"proxyModes"`
	}
	var corefile struct {
		Corefile corefileData `json:"corefile"`
	}
	for name, into := range map[string]any{"addons": &addons, "addons_corefile": &corefile} {
		if err := read(name, into); err != nil {
			return err
		}
	}
	c.addons, c.renamed, c.proxies, c.corefile = addons.Addons, addons.ControlPlane, addons.ProxyModes, corefile.Corefile
	for i := range c.corefile.Plugins {
		for j := range c.corefile.Plugins[i].Options {
			o := &c.corefile.Plugins[i].Options[j]
			if o.Pattern == "" {
				continue
			}
			var err error
			if o.pattern, err = regexp.Compile(o.Pattern); err != nil {
				return fmt.Errorf("catalog: data/addons_corefile.yaml: %s: %w", c.corefile.Plugins[i].Name, err)
			}
		}
	}
	return nil
}
