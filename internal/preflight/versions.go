package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const skewPolicy = "https://kubernetes.io/releases/version-skew-policy/"

func versionRules() []Rule {
	return []Rule{
		{"KUP-001", "the control plane goes up one minor at a time", Block, skewPolicy, checkPath},
		{"KUP-002", "every minor on the way is known to this kup", Block, "the catalog of this kup", checkKnown},
		{"KUP-003", "the package source has every version on the way", Block, "https://kubernetes.io/blog/2023/08/15/pkgs-k8s-io-introduction/", checkAvailable},
		{"KUP-010", "API servers are at most one minor apart", Block, skewPolicy, checkAPIServers},
		{"KUP-011", "control planes and kubelets run one version each", Warn, "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/", checkMixed},
		{"KUP-012", "no kubelet is newer than an API server", Block, skewPolicy, checkKubeletNewer},
		{"KUP-013", "kubelets are not too old for the API servers", Block, skewPolicy, checkKubeletOlder},
		{"KUP-014", "kubelets are not too old for kubeadm", Block, "kubernetes cmd/kubeadm/app/phases/upgrade/policy.go, MaximumAllowedMinorVersionKubeletSkew", checkKubeletForKubeadm},
		{"KUP-015", "kubeadm moves by one minor on every worker", Warn, "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#kubeadm-s-skew-against-kubeadm", checkNodeKubeadm},
	}
}

func checkPath(in Input) []Finding {
	var out []Finding
	for _, h := range in.hops() {
		switch {
		case h.to.Less(h.from):
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("%s is older than %s", h.to, h.from), Fix: "choose a newer target: kup does not take a cluster back"})
		case h.to.Line() != h.from.Line() && h.to.Line() != h.from.Line().Next():
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("%s is more than one minor above %s", h.to, h.from), Fix: fmt.Sprintf("go to %s first", h.from.Line().Next())})
		}
	}
	return out
}

func checkKnown(in Input) []Finding {
	var out []Finding
	for _, h := range in.hops() {
		m, known := in.Catalog.Minor(h.to.Line())
		if !known {
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("this kup knows %s to %s", in.Catalog.Oldest(), in.Catalog.Newest()), Fix: "use a newer kup, or a nearer target"})
			continue
		}
		if _, _, known := m.Etcd(h.to); !known && in.Facts.Kubeadm.EtcdImageTag == "" {
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("this kup does not know which etcd %s brings", h.to), Fix: fmt.Sprintf("choose %s", m.Seen())})
		}
	}
	return out
}

func checkAvailable(in Input) []Finding {
	if len(in.Facts.Available) == 0 {
		return nil
	}
	var out []Finding
	for _, h := range in.hops() {
		if !slices.Contains(in.Facts.Available[h.name], h.to) {
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("%s is not in the package source", h.to), Fix: "check packages.repository in the inventory, or choose a version it has"})
		}
	}
	return out
}

func checkAPIServers(in Input) []Finding {
	oldest, newest := in.apiServers()
	if newest.Minor-oldest.Minor <= in.Catalog.APIServersApart() {
		return nil
	}
	return []Finding{{Why: fmt.Sprintf("API servers run %s and %s", oldest, newest), Fix: fmt.Sprintf("bring the oldest to %s first", oldest.Line().Next())}}
}

func checkMixed(in Input) []Finding {
	var out []Finding
	for _, role := range []cluster.Role{cluster.ControlPlane, cluster.Worker} {
		for what, version := range map[string]func(*cluster.Node) cluster.Version{
			"kube-apiserver": func(n *cluster.Node) cluster.Version {
				if pod := n.Static("kube-apiserver"); pod != nil {
					return pod.Version
				}
				return cluster.Version{}
			},
			"kubelet": func(n *cluster.Node) cluster.Version { return n.Kubelet },
		} {
			if found := distinct(in, role, version); len(found) > 1 {
				out = append(out, Finding{
					Object: fmt.Sprintf("%s of %s nodes", what, role), Why: "runs as " + strings.Join(found, ", "),
					Fix: "an earlier upgrade may not have ended: the plan goes on from where each node is",
				})
			}
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Object, b.Object) })
	return out
}

// distinct lists the versions in use, each with its nodes.
func distinct(in Input, role cluster.Role, version func(*cluster.Node) cluster.Version) []string {
	nodes := map[cluster.Version][]string{}
	for _, n := range in.nodes() {
		if v := version(n); n.Role == role && !v.IsZero() {
			nodes[v] = append(nodes[v], n.Name)
		}
	}
	var out []string
	for v, names := range nodes {
		out = append(out, fmt.Sprintf("%s (%s)", v, strings.Join(names, ", ")))
	}
	slices.Sort(out)
	return out
}

func checkKubeletNewer(in Input) []Finding {
	oldest, _ := in.apiServers()
	var out []Finding
	for _, n := range in.nodes() {
		if oldest.Line().Less(n.Kubelet.Line()) {
			out = append(out, Finding{Object: "node " + n.Name, Why: fmt.Sprintf("its kubelet is %s, an API server is %s", n.Kubelet, oldest), Fix: "take the kubelet back, or bring the API servers up by hand first"})
		}
	}
	return out
}

// checkKubeletOlder judges the cluster as it is and as the first hop makes it:
// in every later hop kubelets are where the plan leaves them, within these rules.
func checkKubeletOlder(in Input) []Finding {
	_, newest := in.apiServers()
	var out []Finding
	for _, n := range in.nodes() {
		if n.Kubelet.IsZero() {
			continue
		}
		behind := in.Catalog.KubeletBehind(n.Kubelet.Line())
		at := []hop{{to: newest}}
		if hops := in.hops(); len(hops) > 0 {
			at = append(at, hops[0])
		}
		for _, h := range at {
			if h.to.Minor > n.Kubelet.Minor+behind {
				out = append(out, Finding{
					Hop: h.name, Object: "node " + n.Name, Why: fmt.Sprintf("its kubelet %s is more than %d minors behind an API server %s", n.Kubelet, behind, h.to),
					Fix: fmt.Sprintf("bring the kubelet of %s to the control plane's version first", n.Name),
				})
				break
			}
		}
	}
	return out
}

func checkKubeletForKubeadm(in Input) []Finding {
	hops := in.hops()
	if len(hops) == 0 {
		return nil
	}
	m, known := in.Catalog.Minor(hops[0].to.Line())
	if !known {
		return nil
	}
	var out []Finding
	for _, n := range in.nodes() {
		if !n.Kubelet.IsZero() && hops[0].to.Minor > n.Kubelet.Minor+m.KubeletBehind() {
			out = append(out, Finding{
				Hop: hops[0].name, Object: "node " + n.Name,
				Why: fmt.Sprintf("kubeadm %s refuses kubelets older than %s, and this one is %s", m.Line(), cluster.Minor{Major: m.Line().Major, Minor: m.Line().Minor - m.KubeletBehind()}, n.Kubelet),
				Fix: fmt.Sprintf("bring the kubelet of %s to the control plane's version first", n.Name),
			})
		}
	}
	return out
}

// checkNodeKubeadm judges the first hop: in the later ones every node had kubeadm of
// the hop before. What kubeadm a node had last is told by the one that is installed,
// or by the kubelet, whichever is newer.
func checkNodeKubeadm(in Input) []Finding {
	hops := in.hops()
	if len(hops) == 0 {
		return nil
	}
	h := hops[0]
	var out []Finding
	for _, n := range in.nodes() {
		if n.Role != cluster.Worker || n.Host == nil || n.Host.Kubeadm.IsZero() || n.Kubelet.IsZero() {
			continue
		}
		had := n.Kubelet.Line()
		if had.Less(n.Host.Kubeadm.Line()) {
			had = n.Host.Kubeadm.Line()
		}
		if !had.Less(h.from.Line()) || h.to.Minor <= had.Minor+in.Catalog.NodeKubeadmApart() {
			continue
		}
		left := had.Next().String()
		if had.Next().Less(h.from.Line()) {
			left = fmt.Sprintf("each minor from %s to %s", left, h.from.Line())
		}
		f := Finding{
			Hop: h.name, Object: "node " + n.Name, Why: fmt.Sprintf("kubeadm there goes from %s to %s at once", had, h.to.Line()),
			Fix: fmt.Sprintf("on %s, run `kubeadm upgrade node` with kubeadm of %s first, or remove the node and join it anew", n.Name, left),
		}
		for _, edit := range in.Catalog.MissedEdits(had, h.to.Line()) {
			f.Severity = Block
			f.Why += fmt.Sprintf(", and misses what only %s does: it %s", edit.Until, edit.Does)
		}
		out = append(out, f)
	}
	return out
}
