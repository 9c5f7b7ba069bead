package preflight

import (
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

const apiServerName = "kube-apiserver"

func checkLostPlugins(in Input) []Finding {
	var found hits
	for _, s := range in.settings() {
		if s.component != apiServerName || !strings.HasSuffix(s.flag.Name, "able-admission-plugins") && s.flag.Name != "admission-control" {
			continue
		}
		for name := range strings.SplitSeq(s.flag.Value, ",") {
			name = strings.TrimSpace(name)
			if row, lost := in.Catalog.LostPlugin(name); lost {
				in.addLost(&found, s, row, "the admission plugin "+name, fmt.Sprintf("take %s out of %s", name, s.flag.Name))
			}
		}
	}
	return found.findings()
}

func checkRuntimeConfig(in Input) []Finding {
	var found hits
	for _, s := range in.settings() {
		if s.component != apiServerName || s.flag.Name != "runtime-config" {
			continue
		}
		for word := range strings.SplitSeq(s.flag.Value, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(word), "=")
			if row, lost := in.Catalog.LostGroupVersion(name); lost {
				in.addLost(&found, s, row, "the API version "+name, fmt.Sprintf("take %s out of runtime-config", name))
			}
		}
	}
	return found.findings()
}

// addLost is for a name that the API server loses.
func (in Input) addLost(found *hits, s setting, row catalog.Lost, what, do string) {
	h, bites := in.bites(s, row.In)
	if !bites {
		return
	}
	if row.Instead != "" {
		do += fmt.Sprintf(" (instead: %s)", row.Instead)
	}
	found.add(s, Finding{
		Hop: h.name, Why: fmt.Sprintf("%s, named by --%s in %s, is unknown to %s %s, which does not start with it", what, s.flag.Name, s.place(), s.component, row.In),
		Fix: in.fix(s, do),
	})
}

// file is a configuration file that a component reads after a hop too.
type file struct {
	cluster.ConfigFile
	setting setting
}

func (in Input) files() []file {
	var out []file
	for _, n := range in.nodes() {
		started := in.Scan.Startup[n.Name]
		if started == nil {
			continue
		}
		for _, f := range started.Files {
			s := setting{component: f.Component, node: n.Name, flag: cluster.Flag{Name: f.Flag, Path: f.Path}, now: in.running(n, f.Component)}
			from := in.origin(n, f.Component, f.Flag)
			s.unsure = from == patched
			if from != dropped {
				out = append(out, file{f, s})
			}
		}
	}
	return out
}

func checkFileVersions(in Input) []Finding {
	var found hits
	for _, f := range in.files() {
		row, lost := in.Catalog.LostFile(f.Flag, f.APIVersion)
		if !lost {
			continue
		}
		if h, bites := in.bites(f.setting, row.In); bites {
			found.add(f.setting, Finding{
				Hop: h.name, Why: fmt.Sprintf("%s, the file of --%s, is of %s, which %s %s does not read: it does not start", f.Path, f.Flag, f.APIVersion, f.Component, row.In),
				Fix: row.Fix + in.later(h),
			})
		}
	}
	return found.findings()
}

func checkCacheSize(in Input) []Finding {
	row := in.Catalog.EncryptionCacheSizeZero()
	zero := func(p cluster.EncryptionProvider) bool { return p.CacheSize != nil && *p.CacheSize == 0 }
	return in.providers(row, zero, "has a kms provider with cachesize 0",
		"take cachesize out of the file: the default is 1000; then restart the API server, one control plane after the other")
}

func checkKMSVersion(in Input) []Finding {
	row := in.Catalog.EncryptionKMSv1()
	v1 := func(p cluster.EncryptionProvider) bool { return p.Name == "kms" && p.APIVersion == "v1" }
	return in.providers(row, v1, "has a kms provider of apiVersion v1",
		fmt.Sprintf("move to apiVersion v2 (see %s), or add %s=true to feature-gates: kubectl -n kube-system edit configmap kubeadm-config, apiServer.extraArgs", encryption, row.Gate))
}

// providers finds files that encrypt with a provider which the API server of a
// minor refuses.
func (in Input) providers(row catalog.EncryptionRow, refused func(cluster.EncryptionProvider) bool, what, fix string) []Finding {
	var found hits
	gates := in.gates()
	for _, f := range in.files() {
		h, bites := in.bites(f.setting, row.In)
		if !bites || row.Gate != "" && gateIs(gates, f.setting, catalog.GateSetting{Gate: row.Gate, Set: true}) {
			continue
		}
		how := fix
		if row.Gate != "" {
			how += in.later(h)
		}
		for _, p := range f.Providers {
			if refused(p) {
				found.add(f.setting, Finding{
					Hop: h.name, Why: fmt.Sprintf("%s, the file of --%s, %s, which %s %s refuses: it does not start", f.Path, f.Flag, what, f.Component, row.In),
					Fix: how,
				})
			}
		}
	}
	return found.findings()
}
