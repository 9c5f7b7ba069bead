package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

// held is a budget that a drain waits for.
type held struct {
	budget *cluster.PlacedBudget
	first  *drainsim.Stuck
	pods   []int32
	nodes  []string
}

// heldBy gathers the pods that are stuck for one of the causes, by budget.
func heldBy(h *drainHop, causes ...drainsim.Cause) []held {
	if h.result == nil {
		return nil
	}
	by := map[int32]*held{}
	var order []int32
	for i := range h.result.Stuck {
		s := &h.result.Stuck[i]
		if !slices.Contains(causes, s.Cause) {
			continue
		}
		b := s.Budgets[0]
		if by[b] == nil {
			by[b] = &held{budget: &h.placement.Budgets[b], first: s}
			order = append(order, b)
		}
		by[b].pods = append(by[b].pods, s.Pod)
		if !slices.Contains(by[b].nodes, s.Node) {
			by[b].nodes = append(by[b].nodes, s.Node)
		}
	}
	out := make([]held, 0, len(order))
	for _, b := range order {
		out = append(out, *by[b])
	}
	slices.SortFunc(out, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.budget.Namespace, b.budget.Namespace), cmp.Compare(a.budget.Name, b.budget.Name))
	})
	return out
}

func (x held) object() string {
	return fmt.Sprintf("PodDisruptionBudget %s/%s", x.budget.Namespace, x.budget.Name)
}

func (x held) waits() string {
	if len(x.nodes) == 1 {
		return fmt.Sprintf("the drain of %s waits until it times out", x.nodes[0])
	}
	return fmt.Sprintf("the drains of %s wait until they time out", fewOf(x.nodes))
}

// once leaves out what an earlier hop has said already.
func (d *drains) once(in Input, noun string, find func(*drainHop) []about) []Finding {
	var list []about
	said := map[string]bool{}
	for i := range d.of(in) {
		h := &d.hops[i]
		for _, a := range find(h) {
			if said[a.Object] {
				continue
			}
			said[a.Object] = true
			a.Hop = h.name
			list = append(list, a)
		}
	}
	return bundled(noun, list)
}

func (d *drains) checkNever(in Input) []Finding {
	return d.once(in, "disruption budgets", func(h *drainHop) []about {
		var out []about
		for _, x := range heldBy(h, drainsim.Never, drainsim.Failing) {
			b := x.budget
			why := fmt.Sprintf("it never lets a pod go (%d of %d must stay ready): %s", b.Desired, b.Expected, x.waits())
			switch {
			case b.Failing != "":
				why = fmt.Sprintf("the disruption controller cannot compute it and allows nothing (%s): %s", b.Failing, x.waits())
			case b.Expected <= 0:
				why = fmt.Sprintf("the disruption controller expects no pods behind it and allows nothing, although %s is: %s", podOf(&h.placement.Pods[x.pods[0]]), x.waits())
			}
			out = append(out, about{b.Namespace, Finding{Object: x.object(), Why: why, Fix: budgetFix(h.placement, x)}})
		}
		return out
	})
}

// budgetFix is the smallest change that lets one pod go.
func budgetFix(p *cluster.Placement, x held) string {
	b := x.budget
	patch := func(spec string) string {
		return fmt.Sprintf(`kubectl -n %s patch pdb %s --type merge -p '{"spec":{%s}}'`, b.Namespace, b.Name, spec)
	}
	switch {
	case b.Failing != "", b.Expected <= 0:
		return fmt.Sprintf("see kubectl -n %s describe pdb %s: a percentage and maxUnavailable need pods whose controller has a scale; for others set minAvailable to a number", b.Namespace, b.Name)
	case b.MaxUnavailable != "":
		return "let one pod go: " + patch(`"maxUnavailable":1`)
	case strings.HasSuffix(b.MinAvailable, "%"):
		return "let one pod go: " + patch(`"minAvailable":null,"maxUnavailable":1`)
	}
	var ways []string
	if scale := scaleFix(p, x); scale != "" {
		ways = append(ways, "add a pod: "+scale)
	}
	if b.Expected > 1 {
		ways = append(ways, "let one go: "+patch(fmt.Sprintf(`"minAvailable":%d`, b.Expected-1)))
	} else {
		ways = append(ways, "let it stop for a moment: "+patch(`"minAvailable":null,"maxUnavailable":1`))
	}
	return strings.Join(ways, ", or ")
}

// scaleFix adds pods to the one workload behind a budget; empty when there is not
// exactly one that can be scaled.
func scaleFix(p *cluster.Placement, x held) string {
	c := p.Pods[x.pods[0]].Controller
	for _, i := range x.pods {
		if p.Pods[i].Controller != c {
			return ""
		}
	}
	if c < 0 || !slices.Contains([]string{"Deployment", "StatefulSet"}, p.Controllers[c].Kind) {
		return ""
	}
	w := &p.Controllers[c]
	replicas := w.Desired + x.budget.Desired + 1 - x.budget.Expected
	return fmt.Sprintf("kubectl -n %s scale %s/%s --replicas=%d", w.Namespace, strings.ToLower(w.Kind), w.Name, replicas)
}

func (d *drains) checkWaits(in Input) []Finding {
	return d.once(in, "disruption budgets", func(h *drainHop) []about {
		var out []about
		for _, x := range heldBy(h, drainsim.Unready, drainsim.NoPlace) {
			b := x.budget
			f := Finding{
				Object: x.object(),
				Why:    fmt.Sprintf("%d of its %d pods are ready and %d must stay so: %s", x.first.Healthy, b.Expected, b.Desired, x.waits()),
				Fix:    fmt.Sprintf("bring the pods up that are not ready: kubectl -n %s get pods", b.Namespace),
			}
			if !h.placement.Pods[x.first.Pod].Ready {
				f.Fix += "; where pods that are not ready may go at any time, set unhealthyPodEvictionPolicy: AlwaysAllow in the budget (from 1.27)"
			}
			if lack := &x.first.Because; x.first.Cause == drainsim.NoPlace {
				f.Why = fmt.Sprintf("pods that had to leave find no node (%s), and until they are ready it lets no other go: %s", lack, x.waits())
				f.Fix = roomFix(lack)
			}
			out = append(out, about{b.Namespace, f})
		}
		return out
	})
}

func (d *drains) checkTwoBudgets(in Input) []Finding {
	return d.once(in, "pods", func(h *drainHop) []about {
		if h.result == nil {
			return nil
		}
		var pods []int32
		budgets, node := map[int32][]string{}, map[int32]string{}
		for _, s := range h.result.Stuck {
			if s.Cause != drainsim.SeveralBudgets {
				continue
			}
			pods, node[s.Pod] = append(pods, s.Pod), s.Node
			for _, b := range s.Budgets {
				budgets[s.Pod] = append(budgets[s.Pod], h.placement.Budgets[b].Name)
			}
		}
		var out []about
		names, by := ownersOf(h.placement, pods)
		for _, name := range names {
			pod := by[name][0]
			namespace := h.placement.Pods[pod].Namespace
			var nodes []string
			for _, i := range by[name] {
				if !slices.Contains(nodes, node[i]) {
					nodes = append(nodes, node[i])
				}
			}
			out = append(out, about{namespace, Finding{
				Object: name,
				Why:    fmt.Sprintf("the budgets %s choose the same pods, and the eviction API refuses to evict such pods: no drain of %s gets rid of them", fewOf(budgets[pod]), fewOf(nodes)),
				Fix:    fmt.Sprintf("delete one of them: kubectl -n %s delete pdb %s", namespace, budgets[pod][len(budgets[pod])-1]),
			}})
		}
		return out
	})
}
