package planner

import (
	"fmt"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// WorkerHops says in which hops the kubelets of workers move.
type WorkerHops string

// The ways.
const (
	// EachHop moves them in every hop; so does the empty value.
	EachHop WorkerHops = "each-hop"
	// Fewest leaves them behind for as many hops as every rule of skew allows, so
	// that a worker is drained as rarely as can be. See docs/decisions/0012.
	Fewest WorkerHops = "fewest"
)

// waits tells whether a worker's kubelet can stay where it is in this hop: kubeadm
// of the hop supports it, and the hop after next to it does too.
func (h *hopBuilder) waits(n *nodeState) bool {
	if h.policy.Workers != Fewest || h.next.IsZero() || n.kubelet.IsZero() {
		return false
	}
	next, known := h.catalog.Minor(h.next.Line())
	if !known {
		return false
	}
	behind := h.catalog.KubeletBehind(n.kubelet.Line())
	now := n.kubelet.Minor + min(behind, h.minor.KubeletBehind())
	then := n.kubelet.Minor + min(behind, next.KubeletBehind())
	return h.to.Minor <= now && h.next.Minor <= then
}

// waitingLanes keep the workers that wait managed by kubeadm: its rule is that the
// kubeadm of a node moves by so many minors at once, and some minors change on a
// node what no later one does. Nothing restarts, so they are not bound by a pool's
// budget.
func (h *hopBuilder) waitingLanes(nodes []*nodeState) []plan.Lane {
	var lanes []plan.Lane
	for _, n := range nodes {
		near := h.next.Minor <= n.managed.Minor+h.catalog.NodeKubeadmApart()
		if near && len(h.catalog.MissedEdits(n.managed, h.next.Line())) == 0 {
			continue
		}
		lanes = append(lanes, h.waitingLane(n))
	}
	return lanes
}

func (h *hopBuilder) waitingLane(n *nodeState) plan.Lane {
	const stage = plan.Workers
	var lane plan.Lane
	if !h.equipped[n.Name] {
		h.equipped[n.Name] = true
		s := h.step(plan.KindPackages, stage, n.Name, "kubeadm", "package-kubeadm", "install kubeadm and kubectl "+h.revision)
		s.Args = h.packageArgs(n, waitingPackages...)
		s.WayBack = plan.WayBackNode
		lane = append(lane, s)
	}
	s := h.command(stage, n.Name, "node", "kubelet-config", h.minor.Worker(h.workerOptions(n)).Argv, shortTimeout)
	s.Title += fmt.Sprintf(" (the kubelet stays at %s)", n.kubelet)
	lane = append(lane, h.gated(s, nil, []plan.GateID{gate("node-ready", n.Name, "")}))
	lane[0].Before = h.apiServersMoved()
	n.managed = h.to.Line()
	return lane
}

// waitingPackages move while the kubelet waits: kubectl may be one minor away from
// the API servers only.
var waitingPackages = []string{"kubeadm", "kubectl"}

// tellSaving says what it is worth that workers skip hops, and what it means.
func tellSaving(out *plan.Plan, eachHop plan.Plan) {
	few, many := workerDrains(out), workerDrains(&eachHop)
	if few >= many {
		return
	}
	text := fmt.Sprintf("workers: fewest: a worker is drained %s instead of %s", times(few), times(many))
	if saved := (eachHop.Estimate() - out.Estimate()).Round(time.Minute); saved > 0 {
		text += fmt.Sprintf(", about %d min saved", int(saved.Minutes()))
	}
	out.Notices = append(out.Notices, plan.Notice{Text: text + ". In the hops between, kubeadm writes the workers' kubelet configuration anew while the older kubelet runs on: one that restarts by itself then reads it with the old binary"})
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// workerDrains is how often the worker that is drained most often is.
func workerDrains(p *plan.Plan) int {
	most, drains := 0, map[string]int{}
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if st.Name == plan.Workers && s.Kind == plan.KindDrain {
			drains[s.Node]++
			most = max(most, drains[s.Node])
		}
		return true
	})
	return most
}

// following is the target after the one at i; zero: there is none.
func following(targets []cluster.Version, i int) cluster.Version {
	if i+1 < len(targets) {
		return targets[i+1]
	}
	return cluster.Version{}
}
