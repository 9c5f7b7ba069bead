package planner

import (
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// start brings up what was before the hop, from the bottom: etcd, which must agree on
// the restored data; then the API servers, all at once; then, together, what acts on
// what they say and the kubelets of workers: a controller manager that finds no sign of
// life from a node for 40 s takes its pods out of Services.
func (d *dataBuilder) start() []plan.Wave {
	cps := d.state.controlPlanes()
	store := everywhere(d.state.nodes, func(n *nodeState) plan.Lane {
		lane := d.oldNode(n)
		if n.Role != cluster.ControlPlane {
			return lane
		}
		if n.member {
			etcd := d.manifestBack(n, "etcd", "etcd-back", "the manifest of etcd "+d.before[n.Name].etcd.String(), append(d.certificateFiles(n, true), manifests+"etcd.yaml"))
			etcd.Args["component"], etcd.Args["version"] = plan.ComponentEtcd, d.before[n.Name].etcd.String()
			lane = append(lane, etcd)
		}
		return append(lane, d.kubelet(n))
	})
	servers := everywhere(cps, func(n *nodeState) plan.Lane {
		paths := append(d.certificateFiles(n, false), manifests+"kube-apiserver.yaml")
		return plan.Lane{d.gated(d.manifestBack(n, "kube-apiserver", "components-back", "the manifest of the API server "+d.before[n.Name].control.String(), paths), nil, []plan.GateID{"apiservers-ready"})}
	})
	acting := everywhere(d.state.nodes, func(n *nodeState) plan.Lane {
		if n.Role == cluster.ControlPlane {
			return d.controllers(n)
		}
		return plan.Lane{d.gated(d.kubelet(n), nil, []plan.GateID{gate("node-ready", n.Name, d.before[n.Name].kubelet.String())})}
	})
	waves := append(store, plan.Wave{Parallel: 1, Lanes: []plan.Lane{{d.raised()}}})
	return append(append(waves, servers...), acting...)
}

func (d *dataBuilder) controllers(n *nodeState) plan.Lane {
	old := d.before[n.Name].control
	s := d.manifestBack(n, "controllers", "components-back", "the manifests of controller manager and scheduler "+old.String(),
		[]string{manifests + "kube-controller-manager.yaml", manifests + "kube-scheduler.yaml"})
	s.Args["component"], s.Args["version"] = plan.ComponentControlPlane, old.String()
	s = d.gated(s, nil, []plan.GateID{gate("static-pods", n.Name, old.String()), gate("node-ready", n.Name, d.before[n.Name].kubelet.String())})
	return append(plan.Lane{s}, d.balanced(plan.Start, n, "")...)
}

// oldNode puts back what the hop moved of a node, its kubelet still stopped. Where
// nothing moved nothing is touched.
func (d *dataBuilder) oldNode(n *nodeState) plan.Lane {
	var lane plan.Lane
	if moved := d.movedPackages(n.Name); len(moved) > 0 {
		for _, s := range d.packagesBack(plan.Start, n, "packages", moved...) {
			lane = append(lane, restoring(s))
		}
	}
	if d.touchedBy(n.Name) {
		lane = append(lane, restoring(d.filesBack(plan.Start, n, "kubelet-files", "files", "the kubelet's files", d.kubeletFiles(n))))
	}
	return lane
}

func (d *dataBuilder) manifestBack(n *nodeState, name, estimate, what string, paths []string) plan.Step {
	return restoring(d.filesBack(plan.Start, n, name, estimate, what, paths))
}

// kubelet starts it: on a control plane it finds the manifest of etcd and, for now, of
// nothing else that was stopped.
func (d *dataBuilder) kubelet(n *nodeState) plan.Step {
	old := d.before[n.Name].kubelet
	s := restoring(d.unit(plan.Start, n, "start", plan.UnitRunning))
	s.Args["component"], s.Args["version"] = effectKubelet, old.String()
	return s
}

// raised proves that all members came up on the restored data, the revision raised,
// before anybody else may read them. Whether they hold the same is asked at the end: all
// that there is is marked as compacted, and etcd gives no hash of that.
func (d *dataBuilder) raised() plan.Step {
	s := reads(d.step(plan.KindRevision, plan.Start, "", "revision", "revision", "prove that every member is at the raised revision"))
	s.Args["least"] = strconv.FormatInt(d.from.Revision+d.from.bump(), 10)
	return d.gated(s, []plan.GateID{"etcd-healthy"}, nil)
}

// lookBack asks for everything that must hold, against how the run that is taken back
// found the workloads.
func (d *dataBuilder) lookBack() []plan.Stage {
	gates := append([]plan.GateID{"apiservers-ready", "etcd-healthy", "etcd-data-equal", "admission-available", gate("workloads-at-baseline", "", d.line)}, d.dnsGates()...)
	compare := reads(d.step(plan.KindCompare, plan.WorkloadStage, "", "compare", "compare", "compare the workloads with how hop "+d.line+" found them"))
	compare.Args["hop"] = d.line
	var restored []string
	for _, l := range d.evidence.Losses[plan.ScopeData] {
		if l.Kind == plan.LossPodStart || l.Kind == plan.LossPodMoves {
			restored = append(restored, l.Namespace+"/"+l.Name)
		}
	}
	if len(restored) > 0 {
		compare.Args["restored"] = strings.Join(restored, "\n")
	}
	return staged(plan.WorkloadStage, d.plainAway(), one(plan.Lane{d.gated(compare, nil, gates), d.reopen(nil)}))
}
