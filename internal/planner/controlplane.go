package planner

import (
	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// controlPlane is two waves: API servers, controller managers and schedulers on
// every node first; the kubelets only when ALL API servers are at the new minor,
// because a kubelet must never be newer than an API server it may talk to.
func (h *hopBuilder) controlPlane() []plan.Stage {
	return staged(plan.ControlPlane, one(h.componentLanes()...), one(h.kubeletLanes()...))
}

// upgrade is one control plane and the kubeadm command it gets.
type upgrade struct {
	node           *nodeState
	name, estimate string
	command        catalog.Command
}

// upgrades lists who runs what: `apply` on one node while kubeadm's own record
// is behind (again where it was cut short), `node` on the rest.
func (h *hopBuilder) upgrades() []upgrade {
	cps := h.state.controlPlanes()
	var out []upgrade
	var first *nodeState
	if h.state.kubeadmConfig != h.to && len(cps) > 0 {
		first = cps[0]
		for _, n := range cps {
			if n.control == h.to && h.from != h.to {
				first = n
				break
			}
		}
		out = append(out, upgrade{first, "apply", "apply", h.minor.Apply(h.to, h.options)})
	}
	for _, n := range cps {
		if n != first && n.control.Less(h.to) {
			out = append(out, upgrade{n, "node", "node", h.minor.Node(h.options)})
		}
	}
	return out
}

func (h *hopBuilder) componentLanes() []plan.Lane {
	upgrades := h.upgrades()
	var lanes []plan.Lane
	for i, u := range upgrades {
		n := u.node
		before := h.storeGates("etcd-healthy")
		before = append(before, h.othersReady(n)...)
		after := []plan.GateID{
			gate("static-pods", n.Name, h.to.String()),
			"apiservers-ready",
		}
		if h.options.CertificateRenewal {
			after = append(after, gate("certificates-renewed", n.Name, h.to.Line().String()))
		}
		last := i == len(upgrades)-1
		s := h.command(plan.ControlPlane, n.Name, u.name, u.estimate, u.command.Argv, upgradeTimeout)
		s.Args["component"] = plan.ComponentControlPlane
		if u.command.Does(catalog.PartAddons) || (u.command.Does(catalog.PartAddonsWhenLast) && last) {
			s.Title += " (CoreDNS and kube-proxy move here too)"
			after = append(after, h.workloadGates()...)
		}
		if u.command.Does(catalog.PartDropsSocket) && n.CRISocket != "" {
			s.Args["argv"] = plan.JoinArgv(keepSocket(n, u.command.Argv)...)
			s.Title += " (with the node's cri-socket annotation kept)"
		}
		if u.command.Does(catalog.PartKubeletConfig) {
			s.Title += " (writes the kubelet's new configuration too)"
		}
		lane := h.kubeadmPackage(plan.ControlPlane, n)
		lane = append(lane, h.imagesStep(plan.ControlPlane, n, "images", "images-again", "check the images once more", h.nodeImages(n)))
		lane = append(lane, h.aroundRestart(plan.ControlPlane, n, "", before, plan.Lane{h.gated(s, before, after)})...)
		lanes = append(lanes, lane)
	}
	return lanes
}

// keepSocketScript runs a kubeadm command that removes the cri-socket annotation
// of its own node before the file that replaces it is there, and puts it back:
// before, for an attempt that was cut short, and after.
const keepSocketScript = `node=$1 socket=$2
shift 2
keep() {
	[ -e /var/lib/kubelet/instance-config.yaml ] ||
		kubectl --kubeconfig /etc/kubernetes/admin.conf annotate --overwrite node "$node" "kubeadm.alpha.kubernetes.io/cri-socket=$socket"
}
keep || exit
code=0
"$@" || code=$?
keep || exit
exit "$code"`

func keepSocket(n *nodeState, argv []string) []string {
	return append([]string{"sh", "-uc", keepSocketScript, "kup", n.Name, n.CRISocket}, argv...)
}

func (h *hopBuilder) kubeletLanes() []plan.Lane {
	var lanes []plan.Lane
	for _, n := range h.state.controlPlanes() {
		if n.kubelet.Less(h.to) {
			lanes = append(lanes, h.kubeletLane(n))
		}
	}
	return lanes
}

func (h *hopBuilder) kubeletLane(n *nodeState) plan.Lane {
	lane := h.emptied(plan.ControlPlane, n, h.policy.pool(n.Pool).Drain, h.apiServersMoved())
	lane[0].Before = append(lane[0].Before, h.othersReady(n)...)
	if config := h.minor.KubeletConfig(h.options); len(config.Argv) > 0 {
		lane = append(lane, h.kubeadmPackage(plan.ControlPlane, n)...)
		lane = append(lane, h.command(plan.ControlPlane, n.Name, "kubelet-config", "kubelet-config", config.Argv, shortTimeout))
	}
	// A kubelet of another minor restarts the node's static pods: the API server's and
	// etcd's among them.
	if n.member {
		lane = append(lane, h.moveLeader(plan.ControlPlane, n, ""))
	}
	after := []plan.GateID{
		gate("node-ready", n.Name, h.to.String()),
		gate("static-pods", n.Name, h.to.String()),
		"apiservers-ready",
	}
	after = append(after, h.storeGates("etcd-healthy")...)
	before := append(h.othersReady(n), h.storeGates("etcd-healthy")...)
	swap := h.gated(h.kubeletPackages(plan.ControlPlane, n), before, after)
	lane = append(lane, h.aroundRestart(plan.ControlPlane, n, "kubelet-", before, plan.Lane{swap})...)
	// CoreDNS often runs on control planes and has no budget of its own: the next
	// drain waits until what this one moved is back.
	back := append([]plan.GateID{gate("node-ready", n.Name, h.to.String())}, h.workloadGates()...)
	return h.uncordoned(plan.ControlPlane, n, lane, back)
}

// apiServersMoved is the barrier before any kubelet of the new minor starts.
func (h *hopBuilder) apiServersMoved() []plan.GateID {
	return []plan.GateID{gate("apiservers-at", "", h.to.Line().String())}
}

// othersReady is asked before a node's API server goes away; with one control
// plane there is nothing to ask.
func (h *hopBuilder) othersReady(n *nodeState) []plan.GateID {
	if n.Role != cluster.ControlPlane || len(h.state.controlPlanes()) < 2 {
		return nil
	}
	return []plan.GateID{gate("others-ready", n.Name, "")}
}

func (h *hopBuilder) workloadGates() []plan.GateID {
	return append([]plan.GateID{gate("workloads-at-baseline", "", h.to.Line().String())}, h.dnsGates()...)
}

// dnsGates ask the cluster's DNS, where it is kubeadm's.
func (h *hopBuilder) dnsGates() []plan.GateID {
	if h.addonsSeen() && h.addon("coredns") == nil {
		return nil
	}
	return []plan.GateID{"dns-answers"}
}
