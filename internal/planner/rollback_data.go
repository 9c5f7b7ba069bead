package planner

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// ArtefactSnapshot is the hop's snapshot, by the name under which its step records it.
const ArtefactSnapshot = "snapshot"

// Saved is what was read in the snapshot, and beside it, for a rollback that restores
// it.
type Saved struct {
	// Revision is the snapshot's newest, Live the highest that any member was seen at
	// since; not below Revision.
	Revision, Live int64
	// Pods are the uids of the pods that the snapshot knows on each node, those of static
	// pods left out.
	Pods map[string][]string
	// Plain is the digest of the data, "sha256:...", of a snapshot that is kept encrypted;
	// empty: the file that is kept is the data.
	Plain string
}

// leastBump is how far a restore raises the revision at least: no client that watched
// the later store may find one of its revisions in the earlier one again.
const leastBump = 1_000_000_000

// bump is how far the restore raises the revision.
func (s *Saved) bump() int64 { return max(leastBump, 2*(s.Live-s.Revision)) }

// snapshot is the artefact that is restored.
func (r *rollback) snapshot() (journal.Artefact, bool) {
	return r.undone.State.Artefact(r.line, ArtefactSnapshot, "")
}

// dataWay judges the way back that restores the snapshot.
func (r *rollback) dataWay() Way {
	w := Way{}
	members := r.state.members()
	_, saved := r.snapshot()
	switch {
	case r.facts.Etcd.Topology == "external" || len(members) == 0:
		w.Why = "kup restores the data of etcd members that are static pods of the control planes, and this cluster has none"
	case !saved:
		w.Why = fmt.Sprintf("hop %s has no snapshot", r.line)
	case !r.catalog.EtcdBumps(r.etcd):
		w.Why = fmt.Sprintf("etcd %s cannot raise the revision when it restores a snapshot: clients that watch would see revisions go back", r.etcd)
	case r.evidence.Saved == nil:
		w.Why = "the snapshot was not read"
	case r.evidence.Saved.Live < r.evidence.Saved.Revision:
		w.Why = fmt.Sprintf("etcd is at revision %d, below the snapshot's %d: these are not the data that the snapshot was taken of", r.evidence.Saved.Live, r.evidence.Saved.Revision)
	default:
		w.Why = r.dataNodes()
	}
	return w
}

// dataNodes tells which node could not go back; empty: all can.
func (r *rollback) dataNodes() string {
	for _, n := range r.state.nodes {
		if _, known := r.before[n.Name]; !known {
			return fmt.Sprintf("node %s joined since: the snapshot knows nothing of it; remove it first (kubeadm reset there)", n.Name)
		}
		if why := r.lacks(n.Name, n.Role == cluster.ControlPlane || r.touchedBy(n.Name), r.movedPackages(n.Name)); why != "" {
			return why
		}
	}
	for _, m := range r.peers() {
		if m.Node == "" || m.PeerURL == "" || r.node(m.Node) == nil {
			return fmt.Sprintf("on which node etcd member %s runs is not known", cmp.Or(m.Name, m.ID))
		}
		if wal := r.stored(m.Node).WALDirectory; wal != "" {
			return fmt.Sprintf("etcd member %s keeps its write-ahead log apart, in %s, and kup restores data directories alone; see docs/disaster-recovery.md", cmp.Or(m.Name, m.ID), wal)
		}
	}
	for _, name := range r.deleted() {
		if r.facts.Node(name) != nil {
			return fmt.Sprintf("node %s was deleted from the API since, and its host is in kup.yaml: the snapshot knows the node, so its kubelet would come back to life beside the restored data without having been stopped. Let the node come back first (systemctl restart kubelet there), or reset it (kubeadm reset there) and take it out of kup.yaml", name)
		}
	}
	if joined := r.joinedUnseen(); joined != "" {
		return fmt.Sprintf("node %s joined since: the snapshot knows nothing of it; shut it down, or stop its kubelet and its pods, and restore by hand: docs/disaster-recovery.md", joined)
	}
	for _, n := range r.state.nodes {
		if !r.before[n.Name].etcd.IsZero() && !n.member {
			return fmt.Sprintf("node %s ran an etcd member before hop %s and runs none now: bring it back first, or restore by hand: docs/disaster-recovery.md", n.Name, r.line)
		}
	}
	if r.replacedCA() {
		return "the cluster's CA was replaced since: nodes would not trust what the snapshot holds"
	}
	return ""
}

// deleted are the nodes that the API does not know any more and the snapshot brings back.
func (r *rollback) deleted() []string {
	var out []string
	for name := range r.before {
		if r.node(name) == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// joinedUnseen names a node that etcd knows and the API could not be asked about: its
// kubelet would not be stopped, and its pods would run twice.
func (r *rollback) joinedUnseen() string {
	if r.evidence.Facts != nil {
		return ""
	}
	for _, l := range r.evidence.Losses[plan.ScopeData] {
		if _, known := r.before[l.Name]; l.Kind == plan.LossCreated && l.Resource == "Node" && !known {
			return l.Name
		}
	}
	return ""
}

// peers are the members, as they were seen last.
func (r *rollback) peers() []cluster.Member { return r.facts.Etcd.Members }

// stored is where a node's member keeps its data, as far as its manifest was read: when
// the run that is taken back was planned, or now.
func (r *rollback) stored(node string) cluster.Member {
	for _, members := range [][]cluster.Member{r.undone.Plan.Facts.Etcd.Members, r.peers()} {
		for _, m := range members {
			if m.Node == node && m.DataDirectory != "" {
				return m
			}
		}
	}
	return cluster.Member{}
}

// dataDirectory is where a node's member keeps its data: kubeadm's own choice where
// its manifest was not read.
func (r *rollback) dataDirectory(node string) string {
	return cmp.Or(r.stored(node).DataDirectory, etcdData)
}

// touchedBy tells whether the hop changed something on the node itself.
func (r *rollback) touchedBy(node string) bool {
	found := false
	eachStep(r.hop, func(_ *plan.Stage, s *plan.Step) {
		host := s.Kind == plan.KindPackages || s.Kind == plan.KindCommand
		found = found || (host && s.Mutates && s.Node == node && r.undone.Begun(s.ID))
	})
	return found
}

// movedPackages are those that the hop began to move on the node.
func (r *rollback) movedPackages(node string) []string {
	var out []string
	eachStep(r.hop, func(_ *plan.Stage, s *plan.Step) {
		if s.Kind != plan.KindPackages || s.Node != node || !r.undone.Begun(s.ID) {
			return
		}
		for _, pin := range strings.Split(s.Args["packages"], "\n") {
			if name, _, _ := strings.Cut(pin, "="); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	})
	return out
}

// dataStages lay the restore out. From the standstill to the start of the API servers
// nothing asks the API.
func (r *rollback) dataStages() ([]plan.Stage, error) {
	d := dataBuilder{rollback: r, from: r.evidence.Saved}
	d.saved, _ = r.snapshot()
	d.token = fmt.Sprintf("kup-%s-%d", r.undone.Run, r.policy.Now.Unix())
	d.onNode = path.Join(onHosts, r.undone.Run, "etcd-"+r.line+".db")
	d.tell()
	return slices.Concat(
		staged(plan.Prepare, d.prepare()), staged(plan.Standstill, d.standstill()),
		staged(plan.Restore, d.restore()), staged(plan.Start, d.start()), d.lookBack(),
	), nil
}

// onHosts is where runs keep what they have on nodes.
const onHosts = "/var/lib/kup"

// dataBuilder lays out one restore.
type dataBuilder struct {
	*rollback
	from   *Saved
	saved  journal.Artefact
	onNode string // where the snapshot is on every member's node
	token  string // of the new etcd cluster
}

// tell says what happens, and what it costs.
func (d *dataBuilder) tell() {
	d.notice(true, "the API is away from the standstill until the API servers are started again, some minutes; pods that the snapshot knows where they are keep running, and Services keep the endpoints they have")
	d.notice(true, "etcd goes back to the snapshot of before hop %s, revision %d: what was written since is lost (%d revisions, up to %d). What is lost, and which pods stop, start or move, is listed in the plan", d.line, d.from.Revision, d.from.Live-d.from.Revision, d.from.Live)
	var kept, within []string
	for _, n := range d.state.members() {
		if aside := d.aside(n.Name); !slices.Contains(kept, aside) {
			kept, within = append(kept, aside), append(within, path.Join(d.dataDirectory(n.Name), path.Base(aside)))
		}
	}
	d.notice(false, "no file is deleted: the data of each member are kept beside its directory, %s; where that directory is a disk of its own, in it: %s", strings.Join(kept, ", "), strings.Join(within, ", "))
	if d.sealed() {
		var on []string
		for _, n := range d.state.members() {
			on = append(on, n.Name)
		}
		slices.Sort(on)
		d.notice(false, "from prepare on the snapshot is plain, for root to read, on the nodes of etcd's members, until the last stage removes it; who gives this rollback up removes it: rm -f %s on %s", d.onNode, strings.Join(on, ", "))
	}
	for _, name := range d.deleted() {
		d.notice(true, "node %s was deleted since and is not in kup.yaml: the snapshot brings it back to the API, and kup stops nothing there. Its host must be switched off or reset, or its kubelet starts the pods of then", name)
	}
	if d.evidence.Facts == nil {
		d.notice(true, "the API does not answer, so no Lease guards this rollback: the fence on every host alone keeps other runs of kup out")
	}
}

func (d *dataBuilder) aside(node string) string {
	return d.dataDirectory(node) + "-kup-" + d.undone.Run
}

// everywhere is a wave with a lane on each of the nodes, all at once.
func everywhere(nodes []*nodeState, lane func(*nodeState) plan.Lane) []plan.Wave {
	return atMost(len(nodes), lanesOf(nodes, lane)...)
}

// lanesOf gives each node's lane.
func lanesOf(nodes []*nodeState, lane func(*nodeState) plan.Lane) []plan.Lane {
	var out []plan.Lane
	for _, n := range nodes {
		out = append(out, lane(n))
	}
	return out
}

// restoring marks a step that only another restore takes back.
func restoring(s plan.Step) plan.Step {
	s.WayBack = plan.WayBackRestore
	return s
}
