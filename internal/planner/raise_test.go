package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// checkEdges follows every member through a plan: none goes over an edge from below,
// while kubeadm's configuration has a tag nothing but etcd moves, and before a hop's
// control planes move kubeadm of the minor before does it.
func checkEdges(t *testing.T, p *plan.Plan, c *catalog.Catalog) {
	t.Helper()
	runs := map[string]cluster.Version{}
	for _, n := range newState(&p.Facts).members() {
		runs[n.Name] = n.etcd
	}
	tag, newKubeadm := p.Facts.Kubeadm.EtcdImageTag, map[string]bool{}
	for i := range p.Facts.Nodes {
		n := &p.Facts.Nodes[i]
		newKubeadm[n.Name] = n.Host != nil && len(p.Hops) > 0 && n.Host.Kubeadm.Line() == p.Hops[0].To.Line() && p.Hops[0].From.Line() != p.Hops[0].To.Line()
	}
	hop := cluster.Version{}
	p.Steps(func(h *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if hop != h.To {
			if !hop.IsZero() {
				clear(newKubeadm)
			}
			hop = h.To
		}
		switch {
		case s.Kind == plan.KindPinEtcd:
			tag = s.Args["tag"]
		case s.Kind == plan.KindUnpinEtcd:
			tag = ""
		case s.Kind == plan.KindPackages && strings.HasSuffix(s.ID, "/kubeadm"):
			newKubeadm[s.Node] = true
		case s.Args["component"] == plan.ComponentEtcd:
			to := etcdAfter(h, s)
			if edge, hit := c.EtcdEdge(runs[s.Node], to); hit && p.Facts.Kubeadm.EtcdImageTag == "" && !runs[s.Node].IsZero() {
				t.Errorf("%s takes etcd from %s to %s, and %s is needed", s.ID, runs[s.Node], to, edge.AtLeast)
			}
			early := st == &h.Stages[1] && len(h.Stages) > 2 && h.Stages[2].Name == plan.ControlPlane
			if strings.HasSuffix(s.ID, "/raise-etcd") && early && newKubeadm[s.Node] {
				t.Errorf("%s runs the target's kubeadm on a control plane of the minor before", s.ID)
			}
			runs[s.Node] = to
		}
		if tag != "" && p.Facts.Kubeadm.EtcdImageTag == "" && s.Args["component"] == plan.ComponentControlPlane {
			t.Errorf("%s: the control plane moves while etcd is pinned to %s", s.ID, tag)
		}
		return true
	})
	if tag != p.Facts.Kubeadm.EtcdImageTag {
		t.Errorf("the plan leaves etcd pinned to %q, and it was %q", tag, p.Facts.Kubeadm.EtcdImageTag)
	}
}

// etcdSteps are the ids of what a plan does to etcd's members and to their tag.
func etcdSteps(p plan.Plan) []string {
	var ids []string
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if st.Name == plan.EtcdStage && (s.Args["component"] == plan.ComponentEtcd || s.Args["tag"] != "") {
			ids = append(ids, strings.TrimPrefix(s.ID, "1.34/etcd/"))
		}
		return true
	})
	return ids
}

func TestRaise(t *testing.T) {
	to := cluster.MustParseVersion("v1.34.4")
	member := func(i int, v string) func(*cluster.Facts, *Policy) {
		return func(f *cluster.Facts, _ *Policy) {
			f.Etcd.Members[i].Version = cluster.MustParseVersion(v)
			f.Nodes[i].Static("etcd").Version = cluster.MustParseVersion(v)
		}
	}
	hop := "cp-2/etcd cp-3/etcd cp-1/etcd"
	all := "raise-pin cp-2/raise-etcd cp-3/raise-etcd cp-1/raise-etcd raise-unpin "
	for name, tc := range map[string]struct {
		etcd   string
		change func(*cluster.Facts, *Policy)
		want   string
		first  plan.StageName // after prepare
	}{
		"below the edge":                {"v3.5.24", nil, all + hop, plan.EtcdStage},
		"at the edge":                   {"v3.5.26", nil, hop, plan.ControlPlane},
		"below the API server's":        {"v3.5.21", nil, all + hop, plan.EtcdStage},
		"one member only":               {"v3.5.26", member(1, "v3.5.24"), "raise-pin cp-2/raise-etcd raise-unpin " + hop, plan.EtcdStage},
		"above what it is raised to":    {"v3.5.35", member(2, "v3.5.24"), "raise-pin cp-3/raise-etcd raise-unpin " + hop, plan.EtcdStage},
		"pinned by the operator":        {"v3.5.24", func(f *cluster.Facts, _ *Policy) { f.Kubeadm.EtcdImageTag = "3.5.24-0" }, "cp-2/etcd cp-3/etcd cp-1/etcd", plan.ControlPlane},
		"external":                      {"v3.5.24", func(f *cluster.Facts, _ *Policy) { f.Etcd.Topology = "external" }, "", plan.ControlPlane},
		"the target's kubeadm is there": {"v3.5.24", func(f *cluster.Facts, _ *Policy) { f.Node("cp-2").Host.Kubeadm = to }, all + hop, plan.ControlPlane},
		"a hop that ended early":        {"v3.5.24", func(f *cluster.Facts, _ *Policy) { f.Kubeadm.ClusterVersion = to; moved(f.Node("cp-1"), to) }, all + hop, plan.ControlPlane},
		"one API server is behind":      {"v3.5.24", func(f *cluster.Facts, _ *Policy) { moved(f.Node("cp-3"), cluster.MustParseVersion("v1.33.12")) }, all + hop, plan.ControlPlane},
	} {
		t.Run(name, func(t *testing.T) {
			p := planned(t, topology{3, 1, "v1.33.13", tc.etcd}, tc.change)
			if got := strings.Join(etcdSteps(p), " "); got != tc.want {
				t.Errorf("steps %q, want %q", got, tc.want)
			}
			if got := p.Hops[0].Stages[1].Name; got != tc.first {
				t.Errorf("the first stage that changes anything is %s, want %s", got, tc.first)
			}
		})
	}
}

// Whoever raises etcd has its image on the members before, under the cluster's own
// repository, and tells an outage where there are not three of them.
func TestRaiseIsPreparedAndAnnounced(t *testing.T) {
	for members, consent := range map[int]bool{1: true, 2: true, 3: false} {
		p := planned(t, topology{members, 0, "v1.33.13", "v3.5.24"}, func(f *cluster.Facts, _ *Policy) { f.Kubeadm.ImageRepository = "mirror.example/k8s" })
		pulled := map[string]bool{}
		p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			if st.Name == plan.Prepare && s.Kind == plan.KindImages && slices.Contains(strings.Split(s.Args["images"], "\n"), "mirror.example/k8s/etcd:3.5.33-0") {
				pulled[s.Node] = true
			}
			return true
		})
		if len(pulled) != members {
			t.Errorf("of %d members, %d pull the image before", members, len(pulled))
		}
		asked := slices.ContainsFunc(p.Notices, func(n plan.Notice) bool {
			return n.Consent && n.Hop == "1.34" && strings.Contains(n.Text, "etcd restarts once more")
		})
		if asked != consent {
			t.Errorf("%d members: consent to the further outage is asked: %t", members, asked)
		}
	}
}

// Quorum is counted before a member goes away, where there is one to lose.
func TestMembersAreGuarded(t *testing.T) {
	for members, counted := range map[int]bool{1: false, 2: false, 3: true} {
		p := planned(t, topology{members, 0, "v1.33.13", "v3.5.24"}, func(_ *cluster.Facts, p *Policy) { p.Defragment = true })
		n := 0
		p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			goes := s.Args["component"] == plan.ComponentEtcd
			if !goes && s.Kind != plan.KindDefragment {
				return true
			}
			n++
			if !slices.Contains(s.Before, "etcd-healthy") || slices.Contains(s.Before, gate("etcd-quorum", s.Node, "")) != counted ||
				slices.Contains(s.Before, "etcd-below-quota") != goes {
				t.Errorf("%d members: %s begins after %v", members, s.ID, s.Before)
			}
			return true
		})
		if n != 3*members {
			t.Errorf("%d members: %d turns, want three each", members, n)
		}
	}
}

func TestDefragment(t *testing.T) {
	order := func(p plan.Plan) (out []string) {
		p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			if s.Kind == plan.KindDefragment {
				out = append(out, s.ID)
			}
			return true
		})
		return out
	}
	for name, tc := range map[string]struct {
		change func(*cluster.Facts, *Policy)
		want   string
	}{
		"not asked for": {nil, ""},
		"the leader last": {func(_ *cluster.Facts, p *Policy) { p.Defragment = true },
			"1.34/etcd/cp-2/defragment 1.34/etcd/cp-3/defragment 1.34/etcd/cp-1/defragment"},
		"not safe": {func(f *cluster.Facts, p *Policy) {
			p.Defragment = true
			f.Etcd.Members[1].Version = cluster.MustParseVersion("v3.5.5")
		}, ""},
	} {
		p := planned(t, topology{3, 1, "v1.33.13", "v3.5.26"}, tc.change)
		if got := strings.Join(order(p), " "); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		told := slices.ContainsFunc(p.Notices, func(n plan.Notice) bool { return strings.Contains(n.Text, "not defragmented") })
		if told != (name == "not safe") {
			t.Errorf("%s: told of it: %t", name, told)
		}
	}
	c := load(t)
	targets := versions("v1.34.4", "v1.35.4")
	policy := testPolicy(targets...)
	policy.Defragment = true
	p, err := Build(topology{3, 1, "v1.33.13", "v3.5.26"}.facts(c), targets, c, policy)
	if err != nil || len(order(p)) != 3 {
		t.Errorf("two hops defragment %v, %v", order(p), err)
	}
}

// A member that fails in the hop's own turn goes back to what it was raised to: from
// the backup of before the raise it would go over the edge when the run is resumed. One
// that fails while it is raised goes back to what it was.
func TestRaisedMemberGoesBackToTheRaise(t *testing.T) {
	c := load(t)
	for failing, want := range map[string][3]string{
		"1.34/etcd/cp-2/etcd":       {"v3.5.33", "1.34-raised.tar", "etcd:3.5.33-0"},
		"1.34/etcd/cp-2/raise-etcd": {"v3.5.24", "1.34.tar", "etcd:3.5.24-0"},
	} {
		p, policy := upgradePlan(t, c, topology{3, 1, "v1.33.13", "v3.5.24"}, nil, "v1.34.4")
		u, now := stopped(t, p, failing)
		e := Evidence{Facts: &now}
		w := wayOf(Ways(u, e, c), plan.ScopeNode)
		back, err := Rollback(u, e, w, c, policy)
		if err != nil || strings.Join(w.Nodes, " ") != "cp-2" {
			t.Fatalf("%s: nodes %v, %v", failing, w.Nodes, err)
		}
		var images, archive, version string
		back.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			switch {
			case st.Name != plan.EtcdStage:
			case s.Kind == plan.KindImages:
				images = s.Args["images"]
			case s.Kind == plan.KindFiles:
				archive, version = s.Args["archive"], s.Args["version"]
			}
			return true
		})
		if version != want[0] || !strings.HasSuffix(archive, "/"+want[1]) || !strings.Contains(images, want[2]) {
			t.Errorf("%s: goes back to %s from %s, with %q", failing, version, archive, images)
		}
	}
}
