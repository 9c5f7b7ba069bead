package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

func planned(t *testing.T, top topology, change func(*cluster.Facts, *Policy)) plan.Plan {
	t.Helper()
	c := load(t)
	targets := versions("v1.34.4")
	f, policy := top.facts(c), testPolicy(targets...)
	if change != nil {
		change(&f, &policy)
	}
	p, err := Build(f, targets, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A new kubelet restarts the static pods of its control plane: that etcd bears the
// loss of a member, and that other API servers answer, is asked right before.
func TestKubeletSwapOfAControlPlaneIsGuarded(t *testing.T) {
	for name, tc := range map[string]struct {
		controlPlanes int
		want          []plan.GateID
	}{
		"three": {3, []plan.GateID{"others-ready:cp-2", "etcd-healthy"}},
		"one":   {1, []plan.GateID{"etcd-healthy"}},
	} {
		p := planned(t, topology{tc.controlPlanes, 1, "v1.33.13", "v3.5.26"}, nil)
		node := "cp-2"
		if tc.controlPlanes == 1 {
			node = "cp-1"
		}
		p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			if s.Kind == plan.KindPackages && s.Args["restart"] == "kubelet" && s.Node == node && st.Name == plan.ControlPlane && !slices.Equal(s.Before, tc.want) {
				t.Errorf("%s: %s begins after %v, want %v", name, s.ID, s.Before, tc.want)
			}
			return true
		})
	}
}

// With a load balancer, the API server that a new kubelet restarts is out of it.
func TestKubeletSwapIsOutOfTheLoadBalancer(t *testing.T) {
	p := planned(t, topology{3, 1, "v1.33.13", "v3.5.26"}, func(_ *cluster.Facts, policy *Policy) {
		policy.LoadBalancer = LoadBalancer{Drain: []string{"lb", "drain"}, Restore: []string{"lb", "restore"}}
	})
	out := map[string]bool{} // of the load balancer, by node
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindLocal {
			out[s.Node] = strings.HasSuffix(s.ID, "lb-drain")
		}
		restarts := s.Kind == plan.KindPackages && s.Args["restart"] == "kubelet" || s.Kind == plan.KindCommand && s.Args["component"] != ""
		if restarts && strings.HasPrefix(s.Node, "cp-") && !out[s.Node] {
			t.Errorf("%s: the load balancer still sends clients there", s.ID)
		}
		return true
	})
	for node, away := range out {
		if away {
			t.Errorf("%s is never put back", node)
		}
	}
}

// A gate that cannot hold on this cluster, whatever the hop does, stops the hop
// before its first change and not in the middle of it.
func TestGatesAreAskedBeforeTheFirstChange(t *testing.T) {
	p := planned(t, topology{3, 2, "v1.33.13", "v3.5.26"}, nil)
	asked := map[plan.GateID]bool{}
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		for _, id := range slices.Concat(s.Before, s.After) {
			if st.Name == plan.Prepare {
				asked[id] = true
			} else if name, subject, version := id.Split(); subject == "" && version == "" && name != "etcd-data-equal" && !asked[id] {
				t.Errorf("%s is first asked at %s", id, s.ID)
				asked[id] = true
			}
		}
		return true
	})
}

// A cluster whose DNS is not kubeadm's is not asked for kubeadm's.
func TestDNSIsAskedWhereThereIsCoreDNS(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*cluster.Facts, *Policy)
		asked  bool
	}{
		"with CoreDNS": {nil, true},
		"not seen":     {func(f *cluster.Facts, _ *Policy) { f.Addons, f.Workload = nil, nil }, true},
		"another DNS":  {func(f *cluster.Facts, _ *Policy) { f.Addons = f.Addons[1:] }, false},
		"no add-on": {func(f *cluster.Facts, _ *Policy) {
			f.Addons, f.Workload = nil, []cluster.Workload{{Kind: "Deployment", Namespace: "dns", Name: "unbound", Desired: 2, Ready: 2}}
		}, false},
	} {
		p := planned(t, topology{3, 1, "v1.33.13", "v3.5.26"}, tc.change)
		asked, moved := false, false
		p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			asked = asked || slices.Contains(s.Before, "dns-answers") || slices.Contains(s.After, "dns-answers")
			moved = moved || st.Name == plan.Addons && strings.HasSuffix(s.ID, "/coredns")
			return true
		})
		if asked != tc.asked || moved != tc.asked {
			t.Errorf("%s: DNS asked %t, CoreDNS moved %t, want %t", name, asked, moved, tc.asked)
		}
	}
}
