package planner

import (
	"path"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// externalMembers are the hosts of an external etcd whose unit and member were both seen,
// the leader last. What a restart would start counts where it is older than what runs.
func externalMembers(f *cluster.Facts) []*nodeState {
	if f.Etcd.Topology != "external" {
		return nil
	}
	var out []*nodeState
	for _, n := range f.EtcdHosts() {
		if n.Host == nil || n.Host.Etcd == nil {
			continue
		}
		for _, m := range f.Etcd.Members {
			if m.Node != n.Name || m.Version.IsZero() {
				continue
			}
			s := &nodeState{Node: n, etcd: m.Version, leader: m.Leader}
			if v := n.Host.Etcd.Version; !v.IsZero() && v.Less(s.etcd) {
				s.etcd = v
			}
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, leaderLast)
	return out
}

// externalStages are what a hop does to an external etcd.
type externalStages struct{ before, after []plan.Stage } // of the control plane

// externalEtcd takes the members the way to what kubeadm of the target recommends, in as
// many passes as there are releases on it. Those without which the target's API server would
// not start come before the control plane.
func (h *hopBuilder) externalEtcd() (externalStages, error) {
	members := h.state.external
	if len(members) == 0 {
		return externalStages{}, nil
	}
	oldest := oldestOf(members)
	way, known := h.catalog.EtcdWay(oldest, h.etcd)
	if !known {
		return externalStages{}, targetError(h.to, TargetEtcd, "its etcd is %s, a member runs %s, and this kup does not know which releases lie between; bring etcd up to %s first", h.etcd, oldest, h.etcd.Line())
	}
	first := 0
	if oldest.Less(h.minor.EtcdMin()) {
		first = 1 + slices.IndexFunc(way, func(v cluster.Version) bool { return !v.Less(h.minor.EtcdMin()) })
		if first == 0 {
			return externalStages{}, targetError(h.to, TargetEtcd, "its API server needs etcd %s or newer, and kubeadm of that release knows none beyond %s; choose a newer patch", h.minor.EtcdMin(), h.etcd)
		}
		h.tellEtcdFirst(oldest)
	}
	return externalStages{before: h.externalStage(way[:first]), after: h.externalStage(way[first:])}, nil
}

// externalStage is one wave a release: a member does not begin the next one before all
// run the last.
func (h *hopBuilder) externalStage(way []cluster.Version) []plan.Stage {
	var waves []plan.Wave
	for _, to := range way {
		waves = append(waves, one(h.externalPass(to)...)...)
	}
	return staged(plan.EtcdStage, waves)
}

// externalPass takes every member that is older to one release.
func (h *hopBuilder) externalPass(to cluster.Version) []plan.Lane {
	oldest := oldestOf(h.state.external)
	if edge, hit := h.catalog.EtcdEdge(oldest, h.etcd); hit && edge.Raised() == to {
		h.notice(false, "etcd is raised to %s before it goes to %s: %s (%s)", to, edge.To, edge.Why, edge.Source)
	}
	var todo []*nodeState
	for _, n := range h.state.external {
		if n.etcd.Less(to) {
			todo = append(todo, n)
		}
	}
	rises := oldest.Line() != to.Line()
	var lanes []plan.Lane
	for i, n := range todo {
		last := i == len(todo)-1
		lanes = append(lanes, h.externalLane(n, to, i == 0, rises && last))
		if rises && last {
			h.notice(true, "when etcd on %s, the last old member, has moved to %s, the old etcd can no longer read the data: from there the way back is etcd's own downgrade procedure or a restore of the snapshot, which loses what was written since", n.Name, to)
		}
	}
	for _, n := range todo {
		n.etcd = to
	}
	return lanes
}

func (h *hopBuilder) externalLane(n *nodeState, to cluster.Version, first, noWayBack bool) plan.Lane {
	const stage = plan.EtcdStage
	prefix := to.Bare() + "-"
	s := h.step(plan.KindEtcdSwap, stage, n.Name, prefix+"etcd", "etcd-swap", "replace etcd "+n.etcd.Bare()+" by "+to.Bare()+", restart "+n.Host.Etcd.Unit)
	h.fetched[n.Name] = append(h.fetched[n.Name], to)
	s.Args = h.releaseArgs(n, to)
	s.Args["member"] = h.memberName(n)
	s.Args["from"] = n.etcd.String()
	s.Args["unit"] = n.Host.Etcd.Unit
	s.Args["dataDirectory"] = n.Host.Etcd.DataDirectory
	s.Args["directory"] = path.Dir(n.Host.Etcd.Binary)
	s.WayBack = plan.WayBackNode
	if noWayBack {
		s.WayBack = plan.WayBackNone
	}
	before := append([]plan.GateID{"apiservers-ready"}, h.healthyStore()...)
	before = append(before, quorumWithout(n, h.state.external)...)
	if first {
		before = append(before, "etcd-data-equal")
	}
	after := []plan.GateID{gate("etcd-member", n.Name, to.String()), "etcd-healthy", "etcd-data-equal", "apiservers-ready"}
	return plan.Lane{h.moveLeader(stage, n, prefix), h.gated(s, before, after)}
}

// releaseArgs say where a release comes from.
func (h *hopBuilder) releaseArgs(n *nodeState, to cluster.Version) map[string]string {
	r := strings.NewReplacer("{version}", to.String(), "{arch}", n.Arch)
	return map[string]string{
		"version":     to.String(),
		"url":         r.Replace(h.policy.EtcdBinaries.URL),
		"checksumURL": r.Replace(h.policy.EtcdBinaries.ChecksumURL),
	}
}

// memberName is what etcd calls the host's member, which need not be the host's name.
func (h *hopBuilder) memberName(n *nodeState) string {
	for _, m := range h.facts.Etcd.Members {
		if m.Node == n.Name {
			return m.Name
		}
	}
	return n.Name
}

// etcdPrograms are what a release holds.
var etcdPrograms = []string{"etcd", "etcdctl", "etcdutl"}

// prepareEtcdHosts saves what a swap replaces and fetches the releases of all passes of
// the hop, for the hosts that the etcd stage touches.
func (h *hopBuilder) prepareEtcdHosts() []plan.Lane {
	var lanes []plan.Lane
	for _, n := range h.state.external {
		if !h.touched[n.Name] {
			continue
		}
		unit := n.Host.Etcd
		paths := slices.Clone(unit.Files)
		for _, program := range etcdPrograms {
			paths = append(paths, path.Join(path.Dir(unit.Binary), program))
		}
		backup := reads(h.step(plan.KindBackup, plan.Prepare, n.Name, "backup", "backup", "back up etcd's unit, its configuration and its programs"))
		backup.Args["hop"] = h.to.Line().String()
		backup.Args["paths"] = strings.Join(paths, "\n")
		backup.Args["exclude"] = unit.DataDirectory
		lane := plan.Lane{backup}
		for _, to := range h.fetched[n.Name] {
			fetch := reads(h.step(plan.KindEtcdFetch, plan.Prepare, n.Name, "etcd-"+to.Bare(), "etcd-fetch", "download etcd "+to.Bare()))
			fetch.Args = h.releaseArgs(n, to)
			lane = append(lane, fetch)
		}
		lanes = append(lanes, lane)
	}
	return lanes
}

// externalMembers compares the versions of an external etcd's members, which no pod tells.
func (d *drift) externalMembers(was *cluster.Facts, is []cluster.Member) {
	for _, m := range was.Etcd.Members {
		n := was.Node(m.Node)
		if n == nil || n.Role != cluster.EtcdHost {
			continue
		}
		for _, now := range is {
			if now.ID == m.ID {
				d.version("etcd member "+m.Name+": version", key{effectEtcd, m.Node}, m.Version, now.Version)
			}
		}
	}
}
