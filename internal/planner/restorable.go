package planner

import (
	"fmt"
	"strconv"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// rehearsalBump is how far the rehearsal raises the revision: what a restore of the
// cluster raises it by at least.
const rehearsalBump = 1_000_000_000

// store is a member as it is when a hop begins.
type store struct {
	node, socket, image string
	version             cluster.Version
}

// stores are the members whose version is known, the leader last.
func (s *state) stores() []store {
	var out []store
	for _, n := range s.members() {
		if !n.etcd.IsZero() {
			out = append(out, store{node: n.Name, socket: n.CRISocket, image: n.etcdImage, version: n.etcd})
		}
	}
	return out
}

// oldestStore is the member that a snapshot must be readable for, a follower if
// there is a choice: the disk of the leader is everybody's.
func (h *hopBuilder) oldestStore() (store, bool) {
	if len(h.stores) == 0 {
		return store{}, false
	}
	oldest := h.stores[0]
	for _, s := range h.stores[1:] {
		if s.version.Less(oldest.version) {
			oldest = s
		}
	}
	return oldest, true
}

// args are what the steps with etcd's own programs have in common.
func (s store) args() map[string]string {
	return map[string]string{"version": s.version.Bare(), "image": s.image, "socket": s.socket}
}

// rehearse restores the snapshot aside with a member's own etcd.
func (h *hopBuilder) rehearse() (plan.Step, bool) {
	s, ok := h.oldestStore()
	if !ok {
		return plan.Step{}, false
	}
	touched := h.touched[s.node]
	out := reads(h.step(plan.KindRehearse, plan.Prepare, s.node, "rehearse", "rehearse",
		fmt.Sprintf("rehearse the restore aside with etcd %s of %s", s.version.Bare(), s.node)))
	h.touched[s.node] = touched // reading on a node is no reason to prepare it
	out.Args = s.args()
	out.Args["hop"] = h.to.Line().String()
	if h.catalog.EtcdBumps(s.version) {
		out.Args["bump"] = strconv.Itoa(rehearsalBump)
	} else {
		h.notice(false, "etcd %s cannot raise the revision when it restores a snapshot, so clients that watch would see revisions go back: kup does not restore this hop's data by itself", s.version.Bare())
	}
	return out, true
}

// restorable sees to it that a member's node keeps what restores its data, for when
// neither the API nor the image is there any more.
func (h *hopBuilder) restorable(n *nodeState) plan.Lane {
	for _, s := range h.stores {
		if s.node != n.Name {
			continue
		}
		touched := h.touched[n.Name]
		out := reads(h.step(plan.KindRestorable, plan.Prepare, n.Name, "restorable", "restorable",
			fmt.Sprintf("keep the programs of etcd %s, which a restore needs", s.version.Bare())))
		h.touched[n.Name] = touched
		out.Args = s.args()
		out.Args["bump"] = boolean(h.catalog.EtcdBumps(s.version))
		return plan.Lane{out}
	}
	return nil
}
