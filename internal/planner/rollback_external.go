package planner

import (
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// external tells whether the name is that of a host of an external etcd.
func (r *rollback) external(name string) bool {
	n := r.undone.Plan.Facts.Node(name)
	return n != nil && n.Role == cluster.EtcdHost
}

// refusesExternal tells why an external member cannot go back to the etcd that its swap
// took the place of; empty: it can. What the swap's own arguments say is enough: the
// member itself may be down.
func (r *rollback) refusesExternal(l openLane) string {
	if r.facts.Node(l.node) == nil {
		return fmt.Sprintf("host %s is not in the inventory any more", l.node)
	}
	if l.swap == nil {
		return "" // its leadership moved, and that is no harm
	}
	from, to := versionOf(l.swap, "from"), versionOf(l.swap, "version")
	switch agreed := r.evidence.EtcdCluster; {
	case from.Line() == to.Line(), agreed.Line() == from.Line():
		return ""
	case agreed.IsZero() && r.externalOld(l.swap):
		return ""
	}
	return fmt.Sprintf("etcd on host %s cannot go back from %s to %s: no member of before is left, and the older etcd no longer reads the data", l.node, to.Line(), from.Line())
}

// externalOld tells whether some other member's swap to the same release was not begun.
func (r *rollback) externalOld(swap *plan.Step) bool {
	old := false
	eachStep(r.hop, func(_ *plan.Stage, s *plan.Step) {
		same := s.Kind == plan.KindEtcdSwap && s.Args["version"] == swap.Args["version"]
		old = old || (same && s.Node != swap.Node && !r.undone.Begun(s.ID))
	})
	return old
}

func versionOf(s *plan.Step, key string) cluster.Version {
	v, err := cluster.ParseVersion(s.Args[key])
	if err != nil {
		return cluster.Version{}
	}
	return v
}

// externalBack takes members of an external etcd back to the programs that their swaps
// set aside, on their own data.
func (r *rollback) externalBack(lanes []openLane) []plan.Wave {
	var out []plan.Lane
	for _, l := range lanes {
		if l.swap == nil {
			continue
		}
		from := l.swap.Args["from"]
		s := r.step(plan.KindEtcdReturn, plan.EtcdStage, l.node, versionOf(l.swap, "from").Bare()+"-etcd", "etcd-swap",
			fmt.Sprintf("put back etcd %s, which the swap set aside, restart %s", versionOf(l.swap, "from").Bare(), l.swap.Args["unit"]))
		for _, key := range []string{"member", "unit", "dataDirectory", "directory"} {
			s.Args[key] = l.swap.Args[key]
		}
		s.Args["version"] = from
		s.Args["keep"] = plan.EtcdKeep(r.undone.Run, r.line, from)
		s.WayBack = plan.WayBackNode
		guard := agreedBelow(l.node, versionOf(l.swap, "from"), versionOf(l.swap, "version"))
		var lane plan.Lane
		if r.memberHealthy(l.node) {
			n := r.facts.Node(l.node)
			lane = append(lane, r.moveLeader(plan.EtcdStage, &nodeState{Node: n}, ""))
		}
		after := []plan.GateID{gate("etcd-member", l.node, from), "etcd-healthy", "etcd-data-equal", "apiservers-ready"}
		if len(r.facts.Etcd.Members) < 2 {
			out = append(out, append(lane, r.gated(s, guard, after)))
			continue
		}
		// A member that does not start on its data, or has others, is for the rejoin to see.
		s.Args["judged"] = "true"
		rejoin := r.step(plan.KindRejoin, plan.EtcdStage, l.node, versionOf(l.swap, "from").Bare()+"-rejoin", "rejoin",
			"see to it that the member's data are those of the others; if not, it joins again, empty")
		rejoin.Args["member"], rejoin.Args["dataDir"] = s.Args["member"], s.Args["dataDirectory"]
		rejoin.Args["unit"], rejoin.Args["version"] = s.Args["unit"], from
		out = append(out, append(lane, r.gated(s, guard, nil), r.gated(rejoin, nil, after)))
	}
	return one(out...)
}

// externalBefore is the oldest etcd among external members when the hop began: what their
// first swaps of the hop took the place of, else what the run found.
func (r *rollback) externalBefore() cluster.Version {
	at := map[string]cluster.Version{}
	facts := &r.undone.Plan.Facts
	for _, m := range facts.Etcd.Members {
		if n := facts.Node(m.Node); n != nil && n.Role == cluster.EtcdHost && !m.Version.IsZero() {
			at[m.Node] = m.Version
		}
	}
	for i := range r.undone.Plan.Hops {
		h := &r.undone.Plan.Hops[i]
		if h == r.hop {
			break
		}
		eachStep(h, func(_ *plan.Stage, s *plan.Step) {
			if s.Kind == plan.KindEtcdSwap {
				at[s.Node] = versionOf(s, "version")
			}
		})
	}
	var oldest cluster.Version
	for _, v := range at {
		oldest = older(oldest, v)
	}
	return oldest
}

// refusesRestore tells why the members of an external etcd are not restored by kup; empty:
// there are none.
func (r *rollback) refusesRestore() string {
	if r.undone.Plan.Facts.Etcd.Topology != "external" {
		return ""
	}
	return "etcd is external, and kup restores no data there by itself: docs/disaster-recovery.md says how it is done by hand"
}
