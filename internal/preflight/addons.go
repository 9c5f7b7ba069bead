package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func addonRules() []Rule {
	const proxy = "https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-modes"
	return []Rule{
		{"KUP-160", "every add-on supports the minor of every hop", Warn, "internal/catalog/data/addons.yaml, with the page of each add-on's makers", checkAddons},
		{"KUP-161", "what minors every add-on supports is known", Info, "internal/catalog/data/addons.yaml", checkUnknownAddons},
		{"KUP-162", "kubeadm can migrate the configuration of CoreDNS", Block, "kubernetes cmd/kubeadm/app/phases/upgrade/preflight.go, RunCoreDNSMigrationCheck; github.com/coredns/corefile-migration", checkCorefile},
		{"KUP-163", "kube-proxy still knows its mode", Block, proxy, checkProxyRemoved},
		{"KUP-164", "kube-proxy's mode has a future", Info, proxy, checkProxyDeprecated},
	}
}

// running is an add-on with the workload that runs it.
type running struct {
	catalog.Addon
	workload string
}

// addons are those recognised, each version once.
func (in Input) addons() []running {
	if in.Scan.Objects == nil {
		return nil
	}
	var out []running
	for _, t := range in.Scan.Objects.Templates {
		for _, image := range t.Images {
			a, known := in.Catalog.Addon(image)
			same := func(r running) bool { return r.Name == a.Name && r.Version == a.Version }
			if known && !slices.ContainsFunc(out, same) {
				out = append(out, running{a, templateName(t)})
			}
		}
	}
	slices.SortFunc(out, func(a, b running) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Version.Compare(b.Version)) })
	return out
}

func checkAddons(in Input) []Finding {
	var out []Finding
	for _, a := range in.addons() {
		if !a.Known || a.Last == nil {
			continue
		}
		for _, h := range in.hops() {
			if !a.Last.Less(h.to.Line()) {
				continue
			}
			f := Finding{Hop: h.name, Object: fmt.Sprintf("add-on %s %s (%s)", a.Name, a.Version, a.workload), Fix: fmt.Sprintf("raise it to a version for %s, before the hop where that version also runs on %s: %s", h.to.Line(), h.from.Line(), a.Look)}
			switch {
			case a.Follows && *a.Last == a.Version.Line():
				f.Severity = Info
				f.Why = fmt.Sprintf("it is meant for Kubernetes %s, and its minors follow those of Kubernetes", a.Version.Line())
				f.Fix = fmt.Sprintf("raise it to %s after the hop: %s", h.to.Line(), a.Look)
			case a.Follows:
				f.Why = fmt.Sprintf("its minors follow those of Kubernetes, and it may run with %s at most", a.Last)
				f.Fix = fmt.Sprintf("raise it to %s before the hop, since it must not be newer than the API servers: %s", h.from.Line(), a.Look)
			default:
				f.Why = fmt.Sprintf("its makers name Kubernetes %s for that version", span(a.Addon))
			}
			out = append(out, f)
			break // the first hop past the range says it all
		}
	}
	return out
}

func span(a catalog.Addon) string {
	if a.First == nil {
		return "up to " + a.Last.String()
	}
	return a.First.String() + " to " + a.Last.String()
}

func checkUnknownAddons(in Input) []Finding {
	if len(in.Path) == 0 {
		return nil
	}
	var names, pages []string
	for _, a := range in.addons() {
		if !a.Known {
			names = append(names, strings.TrimSpace(a.Name+" "+a.Version.String()))
			if !slices.Contains(pages, a.Look) {
				pages = append(pages, a.Look)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{{
		Object: "add-ons", Why: "what minors they support is not known to kup: " + few(names),
		Fix: "compare them with " + few(pages),
	}}
}

func checkProxyRemoved(in Input) []Finding {
	row, h, found := in.proxyMode(func(p catalog.ProxyMode) *cluster.Minor { return p.Removed })
	if !found {
		return nil
	}
	return []Finding{{
		Hop: h.name, Object: "ConfigMap kube-system/kube-proxy",
		Why: fmt.Sprintf("its mode is %s, which kube-proxy %s refuses to start with: Services would go stale on every node", row.Mode, row.Removed),
		Fix: fmt.Sprintf("set mode: %s in config.conf (kubectl -n kube-system edit configmap kube-proxy) and restart it: kubectl -n kube-system rollout restart daemonset kube-proxy", row.Instead),
	}}
}

func checkProxyDeprecated(in Input) []Finding {
	row, h, found := in.proxyMode(func(p catalog.ProxyMode) *cluster.Minor { return p.Deprecated })
	if !found {
		return nil
	}
	return []Finding{{
		Hop: h.name, Object: "ConfigMap kube-system/kube-proxy",
		Why: fmt.Sprintf("its mode %s is deprecated from %s on; it goes on working", row.Mode, row.Deprecated),
		Fix: fmt.Sprintf("plan a move to mode: %s in config.conf", row.Instead),
	}}
}

// proxyMode gives the hop that reaches the minor which ends kube-proxy's mode in
// one way or the other.
func (in Input) proxyMode(end func(catalog.ProxyMode) *cluster.Minor) (catalog.ProxyMode, hop, bool) {
	if in.Scan.Objects == nil {
		return catalog.ProxyMode{}, hop{}, false
	}
	row, known := in.Catalog.ProxyMode(in.Scan.Objects.ProxyMode)
	if !known || end(row) == nil {
		return row, hop{}, false
	}
	for _, h := range in.hops() {
		if h.crosses(*end(row)) {
			return row, h, true
		}
	}
	return row, hop{}, false
}
