package planner

import (
	"slices"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/plan"
)

// workers is one wave for each pool, as wide as the pool's budget, after one of the
// workers whose kubelets wait for a later hop.
func (h *hopBuilder) workers() []plan.Stage {
	names, pools := h.state.pools()
	var waves []plan.Wave
	var waiting []*nodeState
	for _, name := range names {
		pool := h.policy.pool(name)
		var lanes []plan.Lane
		for _, n := range pools[name] {
			switch {
			case !n.kubelet.Less(h.to):
			case h.waits(n):
				h.waiting[n.Name] = true
				waiting = append(waiting, n)
			default:
				lanes = append(lanes, h.workerLane(n, pool.Drain))
			}
		}
		if len(lanes) > 0 {
			// The budget is of the pool as it is, also when half of it is done.
			width := min(pool.MaxUnavailable.of(len(pools[name])), len(lanes))
			waves = append(waves, plan.Wave{Parallel: width, Lanes: lanes})
		}
	}
	if lanes := h.waitingLanes(waiting); len(lanes) > 0 {
		waves = slices.Insert(waves, 0, plan.Wave{Parallel: min(len(lanes), maxPrepare), Lanes: lanes})
	}
	if len(waves) == 0 {
		return nil
	}
	return []plan.Stage{{Name: plan.Workers, Waves: waves}}
}

// workerLane empties the node first and then changes it, its configuration
// included: an old kubelet that restarts by itself must not find the new one.
func (h *hopBuilder) workerLane(n *nodeState, d Drain) plan.Lane {
	const stage = plan.Workers
	lane := h.emptied(stage, n, d, h.apiServersMoved())
	lane = append(lane, h.kubeadmPackage(stage, n)...)
	lane = append(lane,
		h.imagesStep(stage, n, "images", "images-again", "check the images once more", h.nodeImages(n)),
		h.command(stage, n.Name, "node", "kubelet-config", h.minor.Worker(h.workerOptions(n)).Argv, shortTimeout),
		h.gated(h.kubeletPackages(stage, n), nil, []plan.GateID{gate("node-ready", n.Name, h.to.String())}),
	)
	return h.uncordoned(stage, n, lane, append([]plan.GateID{gate("node-ready", n.Name, h.to.String())}, h.workloadGates()...))
}

// workerOptions leave the patches out where their directory is not: patches are
// for control planes first, and kubeadm stops on a directory that is missing.
func (h *hopBuilder) workerOptions(n *nodeState) catalog.Options {
	o := h.options
	if n.Host == nil || !n.Host.PatchesPresent {
		o.Patches = ""
	}
	return o
}
