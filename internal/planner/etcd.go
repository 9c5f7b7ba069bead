package planner

import (
	"fmt"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// earlyEtcd is an etcd stage before the control plane's, for members that are
// too old for the target's API server. At that time kubeadm's configuration
// still names the old minor, and kubeadm deploys the etcd it keeps for that one.
func (h *hopBuilder) earlyEtcd() ([]plan.Stage, error) {
	oldest := h.state.oldestEtcd()
	if len(h.state.members()) == 0 || oldest.IsZero() || !oldest.Less(h.minor.EtcdMin()) {
		return nil, nil
	}
	tag, to, known := h.minor.EtcdBefore(h.state.kubeadmConfig.Line())
	if pinned(h.facts) {
		tag, to, known = h.facts.Kubeadm.EtcdImageTag, h.etcd, true
	}
	if _, hit := h.catalog.EtcdEdge(oldest, to); known && hit && h.raise != nil {
		return nil, nil // the API servers that need more run already; see raise.go
	}
	if !known || to.Less(h.minor.EtcdMin()) {
		return nil, targetError(h.to, TargetEtcd,
			"its API server needs etcd %s or newer, a member runs %s, and kubeadm cannot raise it in this hop; bring etcd up at the present minor first (etcd.local.imageTag of kubeadm's configuration)",
			h.minor.EtcdMin(), oldest)
	}
	images := h.minor.Images(h.to, h.facts.Kubeadm.ImageRepository, tag)
	h.tellEtcdFirst(oldest)
	return h.etcdLanes("early-", to, images.Etcd), nil
}

func (h *hopBuilder) tellEtcdFirst(oldest cluster.Version) {
	h.notice(false, "etcd goes first in this hop: the API server of %s needs etcd %s or newer, and a member runs %s", h.to, h.minor.EtcdMin(), oldest)
}

// etcdStage moves the members to what the target brings, or, where kubeadm
// leaves the version as it is, has its manifest and certificates renewed.
func (h *hopBuilder) etcdStage() []plan.Stage {
	return h.etcdLanes("", h.etcd, h.images.Etcd)
}

// etcdLanes lays out one pass over the members. Prefix keeps the ids of two
// passes in one hop apart.
func (h *hopBuilder) etcdLanes(prefix string, to cluster.Version, image string) []plan.Stage {
	members := h.state.members()
	moves := len(members) > 0 && h.state.oldestEtcd().Less(to)
	var todo []*nodeState
	for _, n := range members {
		if (moves && n.etcd.Less(to)) || (!moves && !h.passed[n.Name] && !h.etcdSettled(n)) {
			todo = append(todo, n)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	var lanes []plan.Lane
	for i, n := range todo {
		m := member{
			nodeState: n, prefix: prefix, to: to, image: image, moves: moves,
			minor: h.minor, first: i == 0,
			noWayBack:   moves && i == len(todo)-1 && h.changesEtcdMinor(to),
			renewsAlone: !moves && h.options.CertificateRenewal,
		}
		lanes = append(lanes, h.memberLane(m))
	}
	if moves && h.changesEtcdMinor(to) {
		last := todo[len(todo)-1].Name
		h.notice(true, "when etcd on %s, the last old member, has moved to %s, the old etcd can no longer read the data: from there `kup rollback` can take the hop back only by restoring the snapshot, which loses what was written since (etcd's own downgrade procedure is by hand)", last, to)
	}
	for _, n := range todo {
		h.passed[n.Name] = true
		if n.etcd.Less(to) {
			n.etcd, n.etcdImage = to, image
		}
	}
	return staged(plan.EtcdStage, one(lanes...))
}

// changesEtcdMinor tells whether some member runs another minor than to.
func (h *hopBuilder) changesEtcdMinor(to cluster.Version) bool {
	return h.state.oldestEtcd().Line() != to.Line()
}

// etcdSettled tells whether the certificates of a member whose version stays
// were renewed in this hop already, by a run before this plan: the etcd stage
// comes after the control plane's, so etcd's then expire no earlier.
func (h *hopBuilder) etcdSettled(n *nodeState) bool {
	if h.state.fresh || n.control != h.to || h.state.kubeadmConfig != h.to {
		return false
	}
	if !h.options.CertificateRenewal {
		return true
	}
	server, peer := n.certificate("apiserver"), n.certificate("etcd-server")
	return server != nil && peer != nil && (peer.External || !peer.NotAfter.Before(server.NotAfter))
}

func (n *nodeState) certificate(name string) *cluster.Certificate {
	if n.Host == nil {
		return nil
	}
	for i := range n.Host.Certificates {
		if n.Host.Certificates[i].Name == name {
			return &n.Host.Certificates[i]
		}
	}
	return nil
}

// member is one member's turn.
type member struct {
	*nodeState
	prefix string
	to     cluster.Version
	image  string
	moves  bool // the version changes
	// minor is that of the kubeadm that does it; keeps: it is the one on the node.
	minor       catalog.Minor
	keeps       bool
	first       bool
	noWayBack   bool
	renewsAlone bool
}

// moveLeader is asked for before a member goes away, so that the store never
// has to notice by itself that its leader is gone.
func (h *hopBuilder) moveLeader(stage plan.StageName, n *nodeState, prefix string) plan.Step {
	s := h.step(plan.KindMoveLeader, stage, n.Name, prefix+"move-leader", "move-leader", "move etcd's leadership off "+n.Name)
	s.Args["member"] = n.Name
	return s
}

func (h *hopBuilder) memberLane(m member) plan.Lane {
	const stage = plan.EtcdStage
	images := h.imagesStep(stage, m.nodeState, m.prefix+"images", "images-again", "check the etcd image once more", withSandbox(m.nodeState, []string{m.image, h.images.Pause}))
	leader := h.moveLeader(stage, m.nodeState, m.prefix)
	before := append(h.othersReady(m.nodeState), h.memberGates(m.nodeState)...)
	if m.first {
		before = append(before, "etcd-data-equal")
	}
	var lane plan.Lane
	if !m.keeps {
		lane = h.kubeadmPackage(stage, m.nodeState)
	}
	lane = append(lane, images, leader)
	return append(lane, h.aroundRestart(stage, m.nodeState, m.prefix, h.othersReady(m.nodeState), h.memberSteps(m, before))...)
}

// memberGates are asked before a member goes away.
func (h *hopBuilder) memberGates(n *nodeState) []plan.GateID {
	return append(h.healthyStore(), quorumWithout(n, h.state.members())...)
}

// quorumWithout is asked where the others are a quorum as long as all of them are well.
func quorumWithout(n *nodeState, members []*nodeState) []plan.GateID {
	if len(members) < 3 {
		return nil
	}
	return []plan.GateID{gate("etcd-quorum", n.Name, "")}
}

// healthyStore is asked of all members together. Whoever accepted a store that is
// nearly full does not hear of it again.
func (h *hopBuilder) healthyStore() []plan.GateID {
	for _, rule := range quotaRules {
		if _, accepted := h.policy.Accepted[rule]; accepted {
			return []plan.GateID{"etcd-healthy"}
		}
	}
	return []plan.GateID{"etcd-healthy", "etcd-below-quota"}
}

// quotaRules are preflight's about the same.
var quotaRules = []string{"KUP-048", "KUP-170"}

// memberSteps are kubeadm's turn on the member and, where it leaves the manifest
// as it was, the renewal of the certificates it then leaves too.
func (h *hopBuilder) memberSteps(m member, before []plan.GateID) plan.Lane {
	const stage = plan.EtcdStage
	s := h.command(stage, m.Name, m.prefix+"etcd", "etcd", m.minor.EtcdMember(h.options).Argv, upgradeTimeout)
	s.Args["component"] = plan.ComponentEtcd
	runs := m.to
	if m.moves {
		s.Title += fmt.Sprintf(" (etcd to %s)", m.to)
	} else {
		runs = m.etcd
		s.Title += fmt.Sprintf(" (etcd stays at %s; it restarts only if its manifest changes)", runs)
	}
	if m.noWayBack {
		s.WayBack = plan.WayBackNone
	}
	after := []plan.GateID{"etcd-healthy", "etcd-data-equal", "apiservers-ready"}
	if !runs.IsZero() {
		after = append([]plan.GateID{gate("etcd-member", m.Name, runs.String())}, after...)
	}
	renewed := []plan.GateID{}
	if h.options.CertificateRenewal {
		renewed = append(renewed, gate("etcd-certificates-renewed", m.Name, h.to.Line().String()))
	}
	var alone plan.Lane
	if m.renewsAlone {
		alone = h.renewals(m)
	}
	if len(alone) == 0 {
		return plan.Lane{h.gated(s, before, append(after, renewed...))}
	}
	last := &alone[len(alone)-1]
	*last = h.gated(*last, nil, renewed)
	return append(plan.Lane{h.gated(s, before, after)}, alone...)
}

func (h *hopBuilder) renewals(m member) plan.Lane {
	var out plan.Lane
	for _, name := range h.catalog.EtcdCertificates() {
		if c := m.certificate(name); c != nil && c.External {
			continue
		}
		out = append(out, h.command(plan.EtcdStage, m.Name, m.prefix+"renew-"+name, "renew", m.minor.Renew(name).Argv, shortTimeout))
	}
	return out
}
