package planner

import (
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// FuzzRollback stops upgrades of all kinds of clusters anywhere. A way that is open can
// be laid out, and the way back of nodes keeps to its laws.
func FuzzRollback(f *testing.F) {
	c := load(f)
	f.Add(uint8(3), uint8(2), uint8(17), uint8(1), uint16(40), false)
	f.Add(uint8(1), uint8(1), uint8(17), uint8(2), uint16(20), true)
	f.Add(uint8(3), uint8(5), uint8(14), uint8(3), uint16(200), true)
	f.Add(uint8(2), uint8(0), uint8(0), uint8(20), uint16(999), false)
	f.Fuzz(func(t *testing.T, cps, workers, minor, hops uint8, at uint16, fewest bool) {
		from := cluster.Minor{Major: 1, Minor: 16 + uint64(minor)%21}
		m, _ := c.Minor(from)
		top := topology{1 + int(cps%5), int(workers % 8), m.Seen().String(), ""}
		var targets []cluster.Version
		for range 1 + hops%20 {
			m, known := c.Minor(from.Next())
			if !known {
				break
			}
			targets, from = append(targets, m.Seen()), from.Next()
		}
		policy := testPolicy(targets...)
		if fewest {
			policy.Workers = Fewest
		}
		p, err := Build(top.facts(c), targets, c, policy)
		if err != nil || len(p.Hops) == 0 {
			return
		}
		var ids []string
		p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			ids = append(ids, s.ID)
			return true
		})
		u, now := stopped(t, p, ids[int(at)%len(ids)])
		e := Evidence{Facts: &now, Recorded: recordedBefore}
		w := wayOf(Ways(u, e, c), plan.ScopeNode)
		if !w.Open() {
			return
		}
		back, err := Rollback(u, e, w, c, policy)
		if err != nil {
			t.Fatal(err)
		}
		checkBack(t, &back, u)
		checkRoundTrip(t, back)
		again, err := Rollback(u, e, w, c, policy)
		if err != nil || again.ID != back.ID {
			t.Errorf("the same input gave another plan: %v", err)
		}
		playBack(t, &back, now)
		u.State.Apply(journal.Record{Kind: journal.StepReopened, Run: "back", Steps: reopened(&back)})
		if again := wayOf(Ways(u, e, c), plan.ScopeNode); again.Open() {
			t.Errorf("taken back, and open again: %v", again.Nodes)
		}
	})
}

// playBack plays a rollback: the cluster as each step leaves it is expected, before the
// step is recorded and after.
func playBack(t *testing.T, p *plan.Plan, now cluster.Facts) {
	t.Helper()
	progress := map[string]Progress{}
	p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		progress[s.ID] = Begun
		if k, v, moves := effect(h, s); moves {
			n := now.Node(k.node)
			for i := range n.StaticPods {
				if (n.StaticPods[i].Component == "etcd") == (k.what == effectEtcd) && k.what != effectKubelet {
					n.StaticPods[i].Version = v
				}
			}
			if k.what == effectKubelet {
				n.Kubelet = v
			}
		}
		if s.Kind == plan.KindRejoin {
			for i := range now.Etcd.Members {
				if now.Etcd.Members[i].Name == s.Node {
					now.Etcd.Members[i].ID = "new"
				}
			}
		}
		for _, d := range Drift(p, func(id string) Progress { return progress[id] }, &now) {
			t.Errorf("after the effect of %s: %s", s.ID, d)
		}
		progress[s.ID] = Ended
		for _, d := range Drift(p, func(id string) Progress { return progress[id] }, &now) {
			t.Errorf("at the end of %s: %s", s.ID, d)
		}
		return !t.Failed()
	})
}

// What a rollback took back is expected at its version of before by the run that goes on,
// kubeadm's own ConfigMaps as they are now, and a member that joined again under its new id.
func TestDriftAfterARollback(t *testing.T) {
	c := load(t)
	for _, failing := range []string{"1.34/workers/w-1/kubelet", "1.34/control-plane/cp-2/node", "1.34/etcd/cp-2/etcd"} {
		p, _ := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
		u, now := stopped(t, p, failing)
		e := Evidence{Facts: &now, Recorded: recordedBefore}
		back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeNode), c, testPolicy())
		if err != nil {
			t.Fatal(err)
		}
		for i := range now.Etcd.Members {
			if now.Etcd.Members[i].Name == "cp-2" && failing == "1.34/etcd/cp-2/etcd" {
				now.Etcd.Members[i].ID = "new"
			}
		}
		u.State.Apply(journal.Record{Kind: journal.StepReopened, Run: "back", Steps: reopened(&back)})
		progress := func(id string) Progress {
			switch st := u.State.Steps[id]; {
			case st.Outcome == journal.Done:
				return Ended
			case st.Outcome == journal.Reopened:
				return TakenBack
			case st.Attempt > 0:
				return Begun
			}
			return Untouched
		}
		for _, d := range Drift(&p, progress, &now) {
			t.Errorf("after %s was taken back: %s", failing, d)
		}
	}
}
