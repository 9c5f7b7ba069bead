package planner

import (
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// addons moves CoreDNS and kube-proxy, on the first control plane. Where kubeadm
// cannot split them off, they have moved in the control-plane stage.
func (h *hopBuilder) addons() []plan.Stage {
	cps := h.state.controlPlanes()
	if len(cps) == 0 {
		return nil
	}
	n := cps[0]
	var lane plan.Lane
	for _, a := range []struct {
		name, image string
		command     catalog.Command
	}{
		{"coredns", h.images.CoreDNS, h.minor.CoreDNS(h.options)},
		{"kube-proxy", h.images.KubeProxy, h.minor.KubeProxy(h.options)},
	} {
		if len(a.command.Argv) == 0 || !h.addonWanted(a.name, a.image) {
			continue
		}
		s := h.command(plan.Addons, n.Name, a.name, "addon", a.command.Argv, shortTimeout)
		lane = append(lane, h.gated(s, h.apiServersMoved(), append(h.workloadGates(), "admission-available")))
	}
	if len(lane) == 0 {
		return nil
	}
	lane = append(h.kubeadmPackage(plan.Addons, n), lane...)
	return staged(plan.Addons, one(lane))
}

// addonWanted is false for an add-on the cluster does not have, such as
// kube-proxy where the network add-on replaces it, and for one that is where the
// hop would bring it.
func (h *hopBuilder) addonWanted(name, image string) bool {
	if !h.addonsSeen() {
		return !h.onlyAddonsLeft()
	}
	a := h.addon(name)
	return a != nil && (h.state.fresh || !strings.HasPrefix(a.Image+"@", image+"@"))
}

// addonsSeen tells whether the workloads were read, the add-ons among them.
func (h *hopBuilder) addonsSeen() bool { return len(h.facts.Addons)+len(h.facts.Workload) > 0 }

// addon is one of kubeadm's add-ons, nil where the cluster does not have it.
func (h *hopBuilder) addon(name string) *cluster.Addon {
	for i := range h.facts.Addons {
		if h.facts.Addons[i].Name == name {
			return &h.facts.Addons[i]
		}
	}
	return nil
}

// onlyAddonsLeft tells whether nothing else of the hop is to be done: an add-on
// that cannot be seen is then taken as done.
func (h *hopBuilder) onlyAddonsLeft() bool { return len(h.touched) == 0 }

// workloads compares with the baseline and closes the hop.
func (h *hopBuilder) workloads() []plan.Stage {
	s := reads(h.step(plan.KindCompare, plan.WorkloadStage, "", "compare", "compare", "compare the workloads with the baseline; name users of deprecated APIs"))
	s.Args["hop"] = h.to.Line().String()
	s = h.gated(s, nil, append(h.workloadGates(), "admission-available"))
	return staged(plan.WorkloadStage, one(plan.Lane{s}))
}
