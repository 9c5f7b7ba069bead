package planner

import (
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// raise is a pass over the members before the hop's own: they run a patch from which
// the step to the hop's etcd is known to go wrong, and kubeadm would take it all the
// same. etcd.local.imageTag makes kubeadm deploy a newer patch first. See
// docs/decisions/0016.
type raise struct {
	edge  catalog.Edge
	to    cluster.Version
	image string
	low   map[string]bool // the members that are below the edge, by node
	// early: the whole control plane stands at one release, so that the present
	// kubeadm touches nothing but etcd. Otherwise the pass comes when all of it has
	// arrived at the target.
	early bool
}

// raisePrefix begins the names of its steps.
const raisePrefix = "raise-"

// findRaise gives the pass; nil where none is needed, or the operator pinned etcd.
func (h *hopBuilder) findRaise() *raise {
	if pinned(h.facts) {
		return nil
	}
	var r *raise
	for _, n := range h.state.members() {
		edge, hit := h.catalog.EtcdEdge(n.etcd, h.etcd)
		if !hit {
			continue
		}
		if r == nil {
			r = &raise{edge: edge, to: edge.Raised(), low: map[string]bool{}, early: h.uniform()}
			r.image = h.minor.Images(h.to, h.facts.Kubeadm.ImageRepository, edge.Raise).Etcd
		}
		r.low[n.Name] = true
	}
	return r
}

// uniform tells whether every control plane runs what kubeadm's record says, and has
// the kubeadm of that minor.
func (h *hopBuilder) uniform() bool {
	at := h.state.kubeadmConfig
	if _, known := h.catalog.Minor(at.Line()); !known || at == h.to {
		return false
	}
	return !slices.ContainsFunc(h.state.controlPlanes(), func(n *nodeState) bool {
		return n.control != at || (!n.kubeadm.IsZero() && n.kubeadm.Line() != at.Line())
	})
}

// raiseEtcd lays out the pass, between the two edits of kubeadm's configuration.
func (h *hopBuilder) raiseEtcd(early bool) []plan.Stage {
	const prefix = raisePrefix
	r := h.raise
	if r == nil || r.early != early {
		return nil
	}
	with := h.minor
	if early {
		with, _ = h.catalog.Minor(h.state.kubeadmConfig.Line()) // uniform has seen it
	}
	var lanes []plan.Lane
	for _, n := range h.state.members() {
		if !r.low[n.Name] {
			continue
		}
		lane := h.memberLane(member{
			nodeState: n, prefix: prefix, to: r.to, image: r.image, moves: true, first: len(lanes) == 0, minor: with, keeps: early,
		})
		// The hop's own turn is taken back to here, and not over the edge again.
		kept := h.backup(plan.EtcdStage, n, prefix+"backup", raisedBackup(h.to.Line()), "back up the node's files with the etcd that it was raised to")
		lanes = append(lanes, append(lane, kept))
		n.etcd, n.etcdImage = r.to, r.image
	}
	pin := h.step(plan.KindPinEtcd, plan.EtcdStage, "", prefix+"pin", "pin-etcd", "set etcd.local.imageTag of kubeadm's configuration to "+r.edge.Raise)
	unpin := h.step(plan.KindUnpinEtcd, plan.EtcdStage, "", prefix+"unpin", "pin-etcd", "take etcd.local.imageTag out of kubeadm's configuration again")
	for _, s := range []*plan.Step{&pin, &unpin} {
		s.Args["tag"] = r.edge.Raise
		s.WayBack = plan.WayBackEdit
	}
	h.tellRaise()
	return staged(plan.EtcdStage,
		one(plan.Lane{h.gated(pin, h.healthyStore(), nil)}), one(lanes...),
		one(plan.Lane{h.gated(unpin, []plan.GateID{"etcd-healthy"}, nil)}))
}

// raisedBackup is the name of the backups of members that were raised in the hop to a
// minor.
func raisedBackup(hop cluster.Minor) string { return hop.String() + "-raised" }

// raised gives what a member was raised to in a hop, and from which image; zero where
// no step of the hop did that.
func raised(h *plan.Hop, node string) (to cluster.Version, image string) {
	eachStep(h, func(st *plan.Stage, s *plan.Step) {
		if st.Name != plan.EtcdStage || s.Node != node {
			return
		}
		switch s.ID[strings.LastIndex(s.ID, "/")+1:] {
		case raisePrefix + "images":
			image, _, _ = strings.Cut(s.Args["images"], "\n")
		case raisePrefix + "etcd":
			to = etcdAfter(h, s)
		}
	})
	return to, image
}

func (h *hopBuilder) tellRaise() {
	r := h.raise
	members := len(h.state.members())
	h.notice(false, "etcd is brought to %s before it goes to %s: below %s, %s (%s); etcd.local.imageTag is set in kubeadm's configuration meanwhile", r.to, h.etcd, r.edge.AtLeast, r.edge.Why, r.edge.Source)
	if members < 3 {
		h.notice(true, "etcd restarts once more for that: with %d of its members the API is down about a minute more for each", members)
	}
}

// together makes one stage of several of the same name.
func together(stages ...[]plan.Stage) []plan.Stage {
	all := slices.Concat(stages...)
	if len(all) < 2 {
		return all
	}
	for _, st := range all[1:] {
		all[0].Waves = append(all[0].Waves, st.Waves...)
	}
	return all[:1]
}
