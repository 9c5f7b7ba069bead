package planner

import (
	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/plan"
)

// workers is one wave for each pool, as wide as the pool's budget, after one of the
// workers whose kubelets wait for a later hop.
func (h *hopBuilder) workers() []plan.Stage {
	var waiting []*nodeState
	waves := h.workerWaves(func(n *nodeState) plan.Lane {
		switch {
		case !n.kubelet.Less(h.to):
			return nil
		case h.waits(n):
			h.waiting[n.Name] = true
			waiting = append(waiting, n)
			return nil
		}
		return h.workerLane(n, h.policy.pool(n.Pool).Drain)
	})
	return staged(plan.Workers, atMost(maxPrepare, h.waitingLanes(waiting)...), waves)
}

// workerWaves is one wave for each pool, as wide as the pool's budget. A node for
// which lane gives nothing is left alone.
func (h *hopBuilder) workerWaves(lane func(*nodeState) plan.Lane) []plan.Wave {
	names, pools := h.state.pools()
	var waves []plan.Wave
	for _, name := range names {
		var lanes []plan.Lane
		for _, n := range pools[name] {
			lanes = append(lanes, lane(n))
		}
		// The budget is of the pool as it is, also when half of it is done.
		waves = append(waves, atMost(h.policy.pool(name).MaxUnavailable.of(len(pools[name])), lanes...)...)
	}
	return waves
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
