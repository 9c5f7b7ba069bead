package planner

import (
	"slices"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

func copyFacts(t testing.TB, f cluster.Facts) cluster.Facts {
	t.Helper()
	b, err := plan.Encode(&plan.Plan{Format: plan.Format, Facts: f})
	if err != nil {
		t.Fatal(err)
	}
	back, err := plan.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return back.Facts
}

// checkAgreed holds a way back of nodes to it that right before a member goes back to
// another minor, and before no other one, it is asked what the members agreed on.
func checkAgreed(t testing.TB, p *plan.Plan, u Undone) {
	t.Helper()
	r, ok := newRollback(u, Evidence{}, load(t), Policy{})
	if !ok || p.Rollback.Scope != plan.ScopeNode {
		return
	}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		member := s.Kind == plan.KindEtcdReturn || (s.Kind == plan.KindFiles && s.Args["component"] == plan.ComponentEtcd)
		if !member {
			return true
		}
		crossed := slices.ContainsFunc(r.openLanes(), func(l openLane) bool {
			swapped := l.swap != nil && versionOf(l.swap, "version").Line() != versionOf(s, "version").Line()
			return l.node == s.Node && (swapped || (l.crossed && versionOf(s, "version").Line() != r.hop.Etcd.Line()))
		})
		if asked := slices.Contains(s.Before, gate("etcd-agreed", s.Node, s.Args["version"])); asked != crossed {
			t.Errorf("%s: asked what the members agreed on: %t, to another minor: %t", s.ID, asked, crossed)
		}
		return true
	})
}

// A member that is taken back within its minor reads the data with either etcd: nothing
// needs to be asked, and the only member of a cluster may be down.
func TestAgreementIsAskedForAcrossMinors(t *testing.T) {
	c := load(t)
	for name, tc := range map[string]struct {
		top             topology
		target, failing string
		asked           string
	}{
		"across minors":     {topology{3, 2, "v1.33.13", "v3.5.26"}, "v1.34.4", "1.34/etcd/cp-2/etcd", "etcd-agreed:cp-2@v3.5.26"},
		"within its minor":  {topology{3, 2, "v1.34.4", "v3.6.4"}, "v1.35.4", "1.35/etcd/cp-2/etcd", ""},
		"raised beforehand": {topology{3, 2, "v1.33.13", "v3.5.24"}, "v1.34.4", firstRaise(t, c), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, policy := upgradePlan(t, c, tc.top, nil, tc.target)
			u, now := stopped(t, p, tc.failing)
			e := Evidence{Facts: &now, EtcdCluster: cluster.MustParseVersion("3.5.0"), Recorded: recordedBefore}
			back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeNode), c, policy)
			if err != nil {
				t.Fatal(err)
			}
			checkBack(t, &back, u)
			got := ""
			back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
				for _, id := range s.Before {
					if name, _, _ := id.Split(); name == "etcd-agreed" {
						got = string(id)
					}
				}
				return true
			})
			if got != tc.asked {
				t.Errorf("asked %q, want %q", got, tc.asked)
			}
		})
	}
}

// firstRaise is the step that raises the second member within 3.5, before the hop's own turn.
func firstRaise(t testing.TB, c *catalog.Catalog) string {
	t.Helper()
	p, _ := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.24"}, nil, "v1.34.4")
	out := ""
	p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Node == "cp-2" && s.Args["component"] == plan.ComponentEtcd && etcdAfter(h, s).Line() != h.Etcd.Line() {
			out = s.ID
		}
		return out == ""
	})
	if out == "" {
		t.Fatal("nothing raises cp-2")
	}
	return out
}
