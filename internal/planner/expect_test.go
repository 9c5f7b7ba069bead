package planner

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// TestDriftAlongAPlan plays a whole plan: after every step the cluster as the
// step leaves it is expected, before the step is recorded and after.
func TestDriftAlongAPlan(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		top     topology
		target  []string
		workers WorkerHops
	}{
		{topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4", "v1.35.4"}, EachHop},
		{topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4", "v1.35.4", "v1.36.3"}, Fewest},
		{topology{3, 2, "v1.30.14", ""}, []string{"v1.31.14", "v1.32.13"}, EachHop},
		{topology{3, 2, "v1.33.13", "v3.5.24"}, []string{"v1.34.4", "v1.35.4"}, EachHop},
		{topology{3, 0, "v1.36.3", ""}, []string{"v1.37.0"}, EachHop},
	} {
		targets := versions(tc.target...)
		policy := testPolicy(targets...)
		policy.Workers = tc.workers
		p, err := Build(tc.top.facts(c), targets, c, policy)
		if err != nil {
			t.Fatal(err)
		}
		now := tc.top.facts(c)
		progress := map[string]Progress{}
		check := func(when string, s *plan.Step) {
			t.Helper()
			for _, d := range Drift(&p, func(id string) Progress { return progress[id] }, &now) {
				t.Errorf("%s %s: %s", when, s.ID, d)
			}
		}
		p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			progress[s.ID] = Begun
			check("before the effect of", s)
			play(&now, h, s)
			check("after the effect of", s)
			progress[s.ID] = Ended
			check("at the end of", s)
			return !t.Failed()
		})
		if len(Drift(&p, func(string) Progress { return Untouched }, &now)) == 0 {
			t.Error("an upgraded cluster passes for one that was not touched")
		}
	}
}

// play changes the facts the way the step changes the cluster.
func play(f *cluster.Facts, h *plan.Hop, s *plan.Step) {
	n := f.Node(s.Node)
	switch {
	case s.Args["component"] == plan.ComponentControlPlane:
		f.Kubeadm.ConfigDigest += "+"
		f.Kubeadm.ClusterVersion = h.To
		for i := range n.StaticPods {
			if n.StaticPods[i].Component != "etcd" {
				n.StaticPods[i].Version = h.To
			}
		}
	case s.Args["component"] == plan.ComponentEtcd:
		n.Static("etcd").Version = etcdAfter(h, s)
	case s.Kind == plan.KindEtcdSwap:
		for i := range f.Etcd.Members {
			if m := &f.Etcd.Members[i]; m.Node == s.Node {
				m.Version = versionOf(s, "version")
			}
		}
	case s.Kind == plan.KindPinEtcd:
		f.Kubeadm.EtcdImageTag = s.Args["tag"]
		f.Kubeadm.ConfigDigest += "#"
	case s.Kind == plan.KindUnpinEtcd:
		f.Kubeadm.EtcdImageTag = ""
		f.Kubeadm.ConfigDigest = strings.TrimSuffix(f.Kubeadm.ConfigDigest, "#")
	case s.Args["restart"] == "kubelet":
		n.Kubelet = h.To
	}
}
