package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// openLane is a node's steps in one stage of the hop of which some may have had their
// effect.
type openLane struct {
	node  string
	stage plan.StageName
	steps []string // begun, in their order
	ended bool     // all of the lane's steps ended well

	packages []string // begun to move
	swapped  bool     // the kubelet too
	control  bool     // API server, controller manager, scheduler
	etcd     bool
	crossed  bool // to the etcd minor that the hop brings
	command  bool // another command of kubeadm's: the kubelet's configuration
	cordoned bool
	balanced bool       // out of the load balancer
	swap     *plan.Step // of an external etcd's member
}

// openLanes are the lanes of nodes that changed something; those of prepare, of the
// add-ons and of the whole cluster are not of them.
func (r *rollback) openLanes() []openLane {
	var out []openLane
	for _, st := range r.hop.Stages {
		if st.Name != plan.Workers && st.Name != plan.ControlPlane && st.Name != plan.EtcdStage {
			continue
		}
		for _, w := range st.Waves {
			for _, lane := range w.Lanes {
				if l, changed := r.openLane(st.Name, lane); changed {
					out = append(out, l)
				}
			}
		}
	}
	return out
}

func (r *rollback) openLane(stage plan.StageName, lane plan.Lane) (openLane, bool) {
	l := openLane{node: lane[0].Node, stage: stage, ended: true}
	changed := false
	for i := range lane {
		s := &lane[i]
		l.ended = l.ended && r.undone.State.Steps[s.ID].Outcome == journal.Done
		if !r.undone.Begun(s.ID) {
			continue
		}
		l.steps = append(l.steps, s.ID)
		changed = changed || s.Mutates
		l.add(s)
		// A member that is raised within its minor, before the hop's own turn, reads
		// its data with either etcd.
		l.crossed = l.crossed || s.Args["component"] == plan.ComponentEtcd && etcdAfter(r.hop, s).Line() == r.hop.Etcd.Line()
	}
	return l, changed
}

func (l *openLane) add(s *plan.Step) {
	switch s.Kind {
	case plan.KindPackages:
		for _, pin := range strings.Split(s.Args["packages"], "\n") {
			name, _, _ := strings.Cut(pin, "=")
			l.packages = append(l.packages, name)
		}
		l.swapped = l.swapped || s.Args["restart"] == "kubelet"
	case plan.KindCommand:
		l.control = l.control || s.Args["component"] == plan.ComponentControlPlane
		l.etcd = l.etcd || s.Args["component"] == plan.ComponentEtcd
		l.command = l.command || s.Args["component"] == ""
	case plan.KindEtcdSwap:
		l.swap = s
	case plan.KindCordon:
		l.cordoned = true
	case plan.KindLocal:
		l.balanced = true
	default:
	}
}

// taken are the lanes of the scope node: of the nodes that were asked for, or of those
// that were left in the middle.
func (r *rollback) taken() []openLane {
	wanted, broken := r.evidence.Wanted, r.evidence.Failed
	return slices.DeleteFunc(r.openLanes(), func(l openLane) bool {
		if len(wanted) > 0 {
			// etcd of a member whose turn is over stays: it is a stage of its own.
			return !slices.Contains(wanted, l.node) || (l.ended && l.stage == plan.EtcdStage)
		}
		return l.ended || (len(broken) > 0 && !slices.Contains(broken, l.node))
	})
}

// halfway are the nodes that stay in the middle of their steps.
func (r *rollback) halfway() []string {
	var out []string
	for _, l := range r.openLanes() {
		if !l.ended && !slices.Contains(r.nodes, l.node) && !slices.Contains(out, l.node) {
			out = append(out, l.node)
		}
	}
	slices.Sort(out)
	return out
}

// nodeWay judges the way back of single nodes.
func (r *rollback) nodeWay() Way {
	lanes := r.taken()
	w := Way{}
	for _, l := range lanes {
		if !slices.Contains(w.Nodes, l.node) {
			w.Nodes = append(w.Nodes, l.node)
		}
	}
	slices.Sort(w.Nodes)
	for _, name := range r.evidence.Wanted {
		if !slices.Contains(w.Nodes, name) {
			w.Why = fmt.Sprintf("hop %s changed nothing on node %s", r.line, name)
			return w
		}
	}
	if len(w.Nodes) == 0 {
		w.Why = fmt.Sprintf("no node is in the middle of its steps in hop %s: those that were begun are done", r.line)
		return w
	}
	for _, l := range lanes {
		if w.Why = r.refuses(l); w.Why != "" {
			return w
		}
	}
	if r.replacedCA() {
		w.Why = "the cluster's CA was replaced since: certificates of before would not be trusted"
		return w
	}
	if r.noneStays(lanes) {
		w.Why = r.refusesAll()
	}
	return w
}

func (r *rollback) node(name string) *nodeState {
	i := slices.IndexFunc(r.state.nodes, func(n *nodeState) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return r.state.nodes[i]
}

// nodeStages take the nodes back, their kubelets before their API servers, and record
// which steps no longer stand.
func (r *rollback) nodeStages() ([]plan.Stage, error) {
	lanes := r.taken()
	workers := r.workerWaves(func(n *nodeState) plan.Lane {
		return r.laneBack(lanes, n, func(l openLane) bool { return l.stage == plan.Workers })
	})
	of := func(pick func(openLane) bool) []plan.Wave {
		var out []plan.Lane
		for _, n := range r.state.controlPlanes() {
			out = append(out, r.laneBack(lanes, n, pick))
		}
		return one(out...)
	}
	kubelets := of(func(l openLane) bool { return l.stage == plan.ControlPlane && l.cordoned })
	servers := of(func(l openLane) bool { return l.stage == plan.ControlPlane && !l.cordoned })
	members := append(of(func(l openLane) bool { return l.stage == plan.EtcdStage }), r.externalBack(lanes)...)
	var steps []string
	for _, l := range lanes {
		steps = append(steps, l.steps...)
	}
	// Nothing but an API server of before may be left to read them from; kubeadm of
	// before is installed by then, and has not run.
	var configs plan.Lane
	if r.noneStays(lanes) {
		configs = r.objectsBack(plan.ControlPlane, "configs")
	}
	r.tellNode()
	return slices.Concat(
		r.prepareBack(lanes), staged(plan.Workers, workers), staged(plan.ControlPlane, kubelets, servers, one(configs)),
		staged(plan.EtcdStage, members), r.lookBack(steps),
	), nil
}

// laneBack is a node's way back from the lanes that are picked.
func (r *rollback) laneBack(lanes []openLane, n *nodeState, pick func(openLane) bool) plan.Lane {
	all := openLane{node: n.Name}
	for _, l := range lanes {
		if l.node == n.Name && pick(l) {
			all = all.with(l)
		}
	}
	return r.fromLane(all, n)
}

// with joins lanes of one stage: etcd may have had two turns.
func (l openLane) with(other openLane) openLane {
	l.stage, l.steps, l.packages = other.stage, slices.Concat(l.steps, other.steps), slices.Concat(l.packages, other.packages)
	l.swapped, l.control, l.etcd = l.swapped || other.swapped, l.control || other.control, l.etcd || other.etcd
	l.crossed = l.crossed || other.crossed
	l.command, l.cordoned, l.balanced = l.command || other.command, l.cordoned || other.cordoned, l.balanced || other.balanced
	return l
}

// fromLane undoes what a lane may have done, and no more: a node that was emptied only
// is not emptied again.
func (r *rollback) fromLane(l openLane, n *nodeState) plan.Lane {
	if l.swapped {
		return r.kubeletBack(l.stage, n, l.packages...)
	}
	var lane plan.Lane
	kubelet := []string{kubeletRun + "config.yaml", kubeletRun + "instance-config.yaml", kubeletRun + "kubeadm-flags.env"}
	switch {
	case l.control: // kubeadm of some minors writes the kubelet's configuration with it
		lane = r.componentsBack(l.stage, n, kubelet...)
	case l.etcd:
		lane = r.memberBack(l.stage, n, l.crossed)
	case l.command:
		lane = plan.Lane{r.filesBack(l.stage, n, "kubelet-files", "files", "the kubelet's configuration", kubelet)}
	}
	if l.balanced && !l.control && !l.etcd {
		lane = append(lane, r.balanced(l.stage, n, "")...)
	}
	if l.control || l.command {
		lane = append(lane, r.socketBack(l.stage, n)...)
	}
	if len(l.packages) > 0 {
		lane = append(lane, r.packagesBack(l.stage, n, "packages", l.packages...)...)
	}
	if l.cordoned && !n.Cordoned {
		lane = r.uncordoned(l.stage, n, lane, []plan.GateID{gate("node-ready", n.Name, r.before[n.Name].kubelet.String())})
	}
	return lane
}

// prepareBack brings to the nodes what they go back to, before anything changes.
func (r *rollback) prepareBack(lanes []openLane) []plan.Stage {
	var out []plan.Lane
	for _, n := range r.state.nodes {
		var packages []string
		images := false
		for _, l := range lanes {
			if l.node == n.Name {
				packages = append(packages, l.packages...)
				images = images || l.control || l.etcd || l.swapped
			}
		}
		var wanted []string
		if images {
			wanted = r.imagesBack(n, r.memberImage(n))
		}
		out = append(out, r.bring(n, packages, wanted))
	}
	waves := one(out...)
	if r.evidence.Facts != nil {
		waves = append(waves, one(plan.Lane{r.baselineNow()})...)
	}
	return staged(plan.Prepare, waves)
}

// bring sees to it that a node has packages and images of before.
func (r *rollback) bring(n *nodeState, packages, images []string) plan.Lane {
	var lane plan.Lane
	if len(packages) > 0 {
		lane = r.fetchBack(plan.Prepare, n, packages...)
	}
	if len(images) > 0 {
		lane = append(lane, r.imagesStep(plan.Prepare, n, "images", "images", fmt.Sprintf("see to %d images of before", len(images)), images))
	}
	return lane
}

// imagesBack are what the node ran before the hop, its member the given one.
func (r *rollback) imagesBack(n *nodeState, etcd string) []string {
	out := []string{r.images.KubeProxy, r.images.Pause}
	if n.Role == cluster.ControlPlane {
		out = append(slices.Clone(r.images.ControlPlane), out...)
	}
	if n.member {
		out = append(out, etcd)
	}
	return withSandbox(n, out)
}

// lookBack asks at the end for everything that must hold, and closes the rollback.
func (r *rollback) lookBack(steps []string) []plan.Stage {
	gates := append([]plan.GateID{"apiservers-ready", "admission-available"}, r.dnsGates()...)
	gates = append(gates, r.storeGates("etcd-healthy")...)
	for _, name := range r.nodes {
		if !r.external(name) {
			gates = append(gates, gate("node-ready", name, ""))
		}
	}
	var lane plan.Lane
	if r.evidence.Facts != nil {
		compare := reads(r.step(plan.KindCompare, plan.WorkloadStage, "", "compare", "compare", "compare the workloads with how the rollback found them"))
		compare.Args["hop"] = r.to.Line().String()
		lane = append(lane, r.gated(compare, nil, gates))
		gates = nil
	}
	lane = append(lane, r.gated(r.reopen(steps), gates, nil))
	return staged(plan.WorkloadStage, one(lane))
}

// tellNode says what goes back and what stays.
func (r *rollback) tellNode() {
	nodes := strings.Join(r.nodes, ", ")
	r.notice(false, "%s goes back to what it was before the hop to %s; everything else of the hop stands, and when the cause is mended `kup apply --resume` goes on with run %s", nodes, r.from, r.undone.Run)
	if rest := r.halfway(); len(rest) > 0 {
		r.notice(false, "in the middle of their steps, cordoned where they had come to that, stay %s: `kup apply --resume` goes on with them", strings.Join(rest, ", "))
	}
	if r.noneStays(r.taken()) {
		r.notice(false, "no API server stays at %s: kubeadm's and the kubelets' configuration in the API become what they were before the hop, and what anybody else changed in them since is lost", r.from)
	}
	cps := r.state.controlPlanes()
	if len(cps) == 1 && slices.Contains(r.nodes, cps[0].Name) {
		r.notice(true, "there is one control plane: the API is down while it goes back, about a minute; workloads keep running")
	}
}
