package preflight

import (
	"maps"
	"slices"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

func placementRules() []Rule {
	const (
		budgets   = "https://kubernetes.io/docs/tasks/run-application/configure-pdb/"
		eviction  = "https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/"
		filters   = "k8s.io/kubectl pkg/drain/filters.go"
		drain     = "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/"
		scheduler = "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/"
		taints    = "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"
		emptyDir  = "https://kubernetes.io/docs/concepts/storage/volumes/#emptydir"
		control   = "https://github.com/kubernetes/enhancements/tree/master/keps/sig-cluster-lifecycle/kubeadm/2067-rename-master-label-taint"
	)
	d := &drains{allow: Input.drainOf}
	return []Rule{
		{"KUP-130", "every disruption budget can let a pod go", Block, budgets, d.checkNever},
		{"KUP-131", "enough of the pods behind a budget are ready and have room to move", Warn, eviction, d.checkWaits},
		{"KUP-132", "no pod has two disruption budgets", Block, eviction, d.checkTwoBudgets},
		{"KUP-133", "drains lose nothing that kup.yaml does not allow to lose", Block, filters, d.checkLosses},
		{"KUP-135", "evicted pods find another node", Warn, scheduler, d.checkRoom},
		{"KUP-136", "no workload loses all its pods at once", Warn, drain, d.checkTogether},
		{"KUP-137", "no workload has a single pod", Info, drain, d.checkSingle},
		{"KUP-138", "pods need not wait for their own node", Info, scheduler, d.checkOwnNode},
		{"KUP-139", "evicted pods keep nothing in emptyDir volumes", Info, emptyDir, d.checkEmptyDir},
		{"KUP-140", "nothing selects nodes by a label that a hop removes", Block, control, d.checkRemovedLabels},
		{"KUP-141", "running pods still match the labels of their node", Warn, "https://github.com/kubernetes/kubernetes/issues/99708", d.checkDrifted},
		{"KUP-142", "DaemonSets tolerate the taints that a hop adds", Warn, control, d.checkAddedTaints},
		{"KUP-143", "pods outlast a node that is not Ready for a moment", Warn, taints + "#taint-based-evictions", d.checkTolerations},
		{"KUP-144", "StatefulSets have a disruption budget", Info, budgets, d.checkStatefulSets},
		{"KUP-145", "no evicted pod returns to the node that is being drained", Warn, taints, d.checkReturning},
		{"KUP-146", "the drains could be simulated in full", Info, scheduler, d.checkLimits},
	}
}

// drains keeps what the rules have in common, which is costly: the drains of
// every hop, simulated.
type drains struct {
	// allow is what a drain of the node may lose.
	allow     func(in Input, node string) drainsim.Drain
	placement *cluster.Placement // whose drains these are
	path      []cluster.Version
	hops      []drainHop
}

// drainHop is the cluster as one hop drains it.
type drainHop struct {
	hop
	// before and placement differ in what kubeadm does to nodes in this hop.
	before, placement *cluster.Placement
	changes           []catalog.NodeChange
	result            *drainsim.Result // nil: as in the hop before
}

// of gives the hops of the input; none when pods were not looked at.
func (d *drains) of(in Input) []drainHop {
	p := in.Scan.Placement
	if p == nil || len(in.Path) == 0 {
		return nil
	}
	if d.placement == p && slices.Equal(d.path, in.Path) {
		return d.hops
	}
	d.placement, d.path, d.hops = p, in.Path, nil
	for i, h := range in.hops() {
		dh := drainHop{hop: h, before: p, placement: p, changes: in.Catalog.NodeChanges(h.to.Line())}
		if h.to.Line() == h.from.Line() {
			dh.changes = nil // a patch of the same minor
		}
		p = changed(p, dh.changes)
		dh.placement = p
		unready := in.Catalog.UnreadyGo(h.to.Line())
		if i == 0 || dh.before != p || unready != in.Catalog.UnreadyGo(h.from.Line()) {
			r := drainsim.Simulate(p, in.Waves, drainsim.Options{UnreadyGo: unready, Drain: func(node string) drainsim.Drain { return d.allow(in, node) }})
			dh.result = &r
		}
		d.hops = append(d.hops, dh)
	}
	return d.hops
}

// drainOf is what the inventory allows a drain of the node to lose.
func (in Input) drainOf(node string) drainsim.Drain {
	if d, named := in.Drains[node]; named {
		return d
	}
	return drainsim.Default()
}

// changed is the placement after kubeadm has changed nodes; the same one when it
// changes none.
func changed(p *cluster.Placement, changes []catalog.NodeChange) *cluster.Placement {
	out := p
	for _, c := range changes {
		for i := range p.Nodes {
			n := &out.Nodes[i]
			if !concerns(c, n) {
				continue
			}
			if out == p {
				copied := *p
				copied.Nodes = slices.Clone(p.Nodes)
				out = &copied
				n = &out.Nodes[i]
			}
			apply(c, n)
		}
	}
	return out
}

func concerns(c catalog.NodeChange, n *cluster.PlacedNode) bool {
	if _, has := n.Labels[c.HasLabel]; c.HasLabel != "" && !has {
		return false
	}
	if c.HasTaint != "" && !hasTaint(n, c.HasTaint) {
		return false
	}
	if _, has := n.Labels[c.AddLabel]; c.AddLabel != "" && has {
		return false
	}
	return c.AddTaint == "" || !hasTaint(n, c.AddTaint)
}

func hasTaint(n *cluster.PlacedNode, key string) bool {
	return slices.ContainsFunc(n.Taints, func(t cluster.Taint) bool { return isNoSchedule(t, key) })
}

// isNoSchedule tells whether it is the taint that kubeadm puts on control planes:
// without a value.
func isNoSchedule(t cluster.Taint, key string) bool {
	return t == cluster.Taint{Key: key, Effect: "NoSchedule"}
}

func apply(c catalog.NodeChange, n *cluster.PlacedNode) {
	n.Labels = maps.Clone(n.Labels)
	switch {
	case c.AddLabel != "":
		n.Labels[c.AddLabel] = ""
	case c.RemoveLabel != "":
		delete(n.Labels, c.RemoveLabel)
	case c.AddTaint != "":
		n.Taints = append(slices.Clone(n.Taints), cluster.Taint{Key: c.AddTaint, Effect: "NoSchedule"})
	case c.RemoveTaint != "":
		n.Taints = slices.DeleteFunc(slices.Clone(n.Taints), func(t cluster.Taint) bool { return isNoSchedule(t, c.RemoveTaint) })
	}
}

// drained are the pods that the first hop evicts, by index, whatever it waits for.
func (d *drains) drained(in Input) []int32 {
	if len(d.of(in)) == 0 {
		return nil
	}
	p, names := in.Scan.Placement, map[string]bool{}
	for _, wave := range in.Waves {
		for _, name := range wave {
			names[name] = true
		}
	}
	var out []int32
	for i := range p.Pods {
		pod := &p.Pods[i]
		if pod.Node < 0 || pod.Mirror || pod.Phase != cluster.PodRunning || kindOf(p, pod) == "DaemonSet" || !names[p.Nodes[pod.Node].Name] {
			continue
		}
		out = append(out, int32(i))
	}
	return out
}

func kindOf(p *cluster.Placement, pod *cluster.PlacedPod) string {
	if pod.Controller < 0 {
		return ""
	}
	return p.Controllers[pod.Controller].Kind
}
