package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Difference is one thing that is not as the plan expects it by now.
type Difference struct {
	Object string `json:"object"` // "node w-1: kubelet"
	Want   string `json:"want"`   // empty: absent
	Got    string `json:"got"`    // empty: absent
}

// String is a sentence about the difference.
func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, the plan expects %s", d.Object, orNone(d.Got), orNone(d.Want))
}

func orNone(s string) string {
	if s == "" {
		return "absent"
	}
	return s
}

// DriftError is a cluster that has moved away from the plan.
type DriftError struct {
	Differences []Difference
}

func (e *DriftError) Error() string {
	var parts []string
	for _, d := range e.Differences {
		parts = append(parts, d.String())
	}
	return "the cluster is not what the plan was made for: " + strings.Join(parts, "; ")
}

// Drift compares what was observed now with what the plan expects after the
// progress made: the cluster's identity, the nodes with their roles, runtimes and
// versions, kubeadm's configuration and etcd's members. A step that was begun may
// have had its effect or not. What was not observed is not compared.
func Drift(p *plan.Plan, progress func(step string) Progress, now *cluster.Facts) []Difference {
	d := &drift{expected: expect(p, progress)}
	d.identity(&p.Facts, now)
	for i := range p.Facts.Nodes {
		d.node(&p.Facts.Nodes[i], now.Node(p.Facts.Nodes[i].Name))
	}
	for i := range now.Nodes {
		if n := &now.Nodes[i]; n.InAPI && p.Facts.Node(n.Name) == nil {
			d.differ("node "+n.Name, "", inCluster)
		}
	}
	d.members(p.Facts.Etcd.Members, now.Etcd.Members)
	d.externalMembers(&p.Facts, now.Etcd.Members)
	return d.found
}

const inCluster = "in the cluster"

type drift struct {
	expected expectation
	found    []Difference
}

func (d *drift) differ(object, want, got string) {
	d.found = append(d.found, Difference{Object: object, Want: want, Got: got})
}

// same compares values that no step changes.
func (d *drift) same(object, want, got string) {
	if want != "" && got != "" && want != got {
		d.differ(object, want, got)
	}
}

// version compares one that steps move.
func (d *drift) version(object string, k key, before, got cluster.Version) {
	allowed := d.expected.allowed(k, before)
	if got.IsZero() || slices.Contains(allowed, got) || slices.Contains(allowed, cluster.Version{}) {
		return
	}
	var want []string
	for _, v := range allowed {
		want = append(want, v.String())
	}
	d.differ(object, strings.Join(want, " or "), got.String())
}

func (d *drift) identity(before, now *cluster.Facts) {
	d.same("cluster uid", before.Identity.UID, now.Identity.UID)
	d.same("cluster CA", before.Identity.CA, now.Identity.CA)
	d.pinned(now)
	if d.expected.config {
		return // ours: `kubeadm upgrade apply` rewrites both ConfigMaps
	}
	if !d.expected.pins.edited() {
		d.same("ConfigMap kube-system/kubeadm-config", before.Kubeadm.ConfigDigest, now.Kubeadm.ConfigDigest)
	}
	d.same("ConfigMap kube-system/kubelet-config", before.Kubeadm.KubeletConfigDigest, now.Kubeadm.KubeletConfigDigest)
}

// pinned compares etcd's tag while it is the plan's own: kubeadm deploys what it says.
func (d *drift) pinned(now *cluster.Facts) {
	p := &d.expected.pins
	got := now.Kubeadm.EtcdImageTag
	if !p.begun || now.Kubeadm.ConfigDigest == "" || got == p.settled || slices.Contains(p.open, got) {
		return
	}
	d.differ("etcd.local.imageTag of ConfigMap kube-system/kubeadm-config", p.settled, got)
}

func (d *drift) node(was, is *cluster.Node) {
	object := "node " + was.Name
	if there := is != nil && is.InAPI; there != was.InAPI {
		want, got := inCluster, ""
		if there {
			want, got = "", inCluster
		}
		d.differ(object, want, got)
		return
	}
	if is == nil {
		return
	}
	d.same(object+": role", string(was.Role), string(is.Role))
	d.same(object+": runtime", was.Runtime, is.Runtime)
	d.version(object+": kubelet", key{effectKubelet, was.Name}, was.Kubelet, is.Kubelet)
	for _, pod := range was.StaticPods {
		what := effectControlPlane
		if pod.Component == "etcd" {
			what = effectEtcd
		}
		if running := is.Static(pod.Component); running != nil {
			d.version(object+": "+pod.Component, key{what, was.Name}, pod.Version, running.Version)
		}
	}
}

// members compares who is a member. One that joins anew is away, and without a name, in
// between: of it nothing is compared before that is over, and its new id never.
func (d *drift) members(was, is []cluster.Member) {
	if len(was) == 0 || len(is) == 0 {
		return
	}
	away := map[string]bool{} // peer URLs
	for _, m := range was {
		if m.PeerURL != "" && d.expected.joining.has(m) {
			away[m.PeerURL] = true
		}
	}
	ids := func(members []cluster.Member) string {
		var out []string
		for _, m := range members {
			switch {
			case d.expected.joining.has(m), away[m.PeerURL]:
			case d.expected.joined.has(m):
				out = append(out, m.Name)
			default:
				out = append(out, m.Name+" ("+m.ID+")")
			}
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	d.same("etcd members", ids(was), ids(is))
}
