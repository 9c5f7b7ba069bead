package planner

import (
	"fmt"

	"github.com/kup-project/kup/pkg/plan"
)

// defragment gives the members' free space back to their disks, once in a plan and
// before anything else of it changes: what is copied, hashed and restored later is
// smaller then. One member at a time, the leader last and not while it leads.
// Why is not empty when it is wanted and not safe.
func (h *hopBuilder) defragment() (stages []plan.Stage, why string) {
	members := h.state.members()
	if !h.policy.Defragment || h.state.defragmented || len(members) == 0 {
		return nil, ""
	}
	var lanes []plan.Lane
	for _, n := range members {
		if why, hit := h.catalog.NoDefragment(n.etcd); hit {
			return nil, fmt.Sprintf("on %s it runs %s, and there %s", n.Name, n.etcd, why)
		}
		lanes = append(lanes, h.defragmentLane(n))
	}
	return staged(plan.EtcdStage, one(lanes...)), ""
}

func (h *hopBuilder) defragmentLane(n *nodeState) plan.Lane {
	const stage, prefix = plan.EtcdStage, "defragment-"
	s := h.step(plan.KindDefragment, stage, n.Name, "defragment", "defragment", "defragment the etcd member of "+n.Name)
	s.Args["member"] = n.Name
	before := append(h.othersReady(n), "etcd-healthy")
	before = append(before, quorumWithout(n, h.state.members())...)
	lane := plan.Lane{h.moveLeader(stage, n, prefix)}
	inner := plan.Lane{h.gated(s, before, []plan.GateID{"etcd-healthy", "apiservers-ready"})}
	return append(lane, h.aroundRestart(stage, n, prefix, h.othersReady(n), inner)...)
}
