package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

func (d *drains) checkLosses(in Input) []Finding {
	bare := d.once(in, "pods", bareLosses)
	return append(bare, d.once(in, "workloads", dataLosses)...)
}

func bareLosses(h *drainHop) []about {
	if h.result == nil {
		return nil
	}
	var out []about
	for _, r := range h.result.Refused {
		for _, i := range r.Bare {
			pod := &h.placement.Pods[i]
			out = append(out, about{pod.Namespace, Finding{
				Object: podOf(pod),
				Why:    fmt.Sprintf("no controller owns it: evicted it would be lost, so the drain of %s does not start", r.Node),
				Fix:    fmt.Sprintf("give it a controller or delete it (kubectl -n %s delete pod %s), or set drain.force of the pool of %s in kup.yaml to lose it", pod.Namespace, pod.Name, r.Node),
			}})
		}
	}
	for _, i := range h.result.Lost {
		pod := &h.placement.Pods[i]
		out = append(out, about{pod.Namespace, Finding{
			Severity: Warn, Object: podOf(pod),
			Why: fmt.Sprintf("no controller owns it: it is lost when %s is drained, as drain.force of the pool in kup.yaml allows", h.placement.Nodes[pod.Node].Name),
			Fix: "give it a controller, or note what it did",
		}})
	}
	return out
}

func dataLosses(h *drainHop) []about {
	if h.result == nil {
		return nil
	}
	var out []about
	for _, r := range h.result.Refused {
		names, by := ownersOf(h.placement, r.Data)
		for _, name := range names {
			out = append(out, about{h.placement.Pods[by[name][0]].Namespace, Finding{
				Object: name,
				Why:    fmt.Sprintf("it has data in emptyDir volumes on %s, which kup.yaml does not allow to lose: the drain does not start", r.Node),
				Fix:    fmt.Sprintf("move the data to a persistent volume, or set drain.deleteEmptyDirData of the pool of %s in kup.yaml to true", r.Node),
			}})
		}
	}
	return out
}

// checkRoom leaves out pods that only wait for their own node, see [drains.checkOwnNode].
func (d *drains) checkRoom(in Input) []Finding {
	return d.once(in, "workloads", func(h *drainHop) []about {
		return waits(h, func(w *drainsim.Waiting) bool { return !w.Back || w.Lack.Room() }, func(w *drainsim.Waiting, pods int) Finding {
			what := "one of its pods has"
			if pods > 1 {
				what = fmt.Sprintf("%d of its pods have", pods)
			}
			then := "until a node is back"
			if !w.Back {
				then = "any more, its own included"
			}
			return Finding{Why: fmt.Sprintf("when %s is drained %s no node to go to %s (%s)", w.From, what, then, &w.Lack), Fix: roomFix(&w.Lack)}
		})
	})
}

// waits makes a finding of each workload whose pods had no node for a while.
func waits(h *drainHop, chosen func(*drainsim.Waiting) bool, tell func(w *drainsim.Waiting, pods int) Finding) []about {
	if h.result == nil {
		return nil
	}
	first, pods := map[int32]*drainsim.Waiting{}, []int32(nil)
	for i := range h.result.Waiting {
		w := &h.result.Waiting[i]
		if !chosen(w) {
			continue
		}
		if first[w.Pod] == nil {
			pods = append(pods, w.Pod)
		}
		if first[w.Pod] == nil || !w.Back {
			first[w.Pod] = w
		}
	}
	var out []about
	names, by := ownersOf(h.placement, pods)
	for _, name := range names {
		worst := by[name][0]
		if i := slices.IndexFunc(by[name], func(pod int32) bool { return !first[pod].Back }); i >= 0 {
			worst = by[name][i]
		}
		f := tell(first[worst], len(by[name]))
		f.Object = name
		out = append(out, about{h.placement.Pods[worst].Namespace, f})
	}
	return out
}

func roomFix(l *drainsim.Lack) string {
	if l.Room() {
		return fmt.Sprintf("%s would do: lower what the pod asks for, stop something there for the time of the upgrade, or add a node", l.Change())
	}
	return "add a node that fits it, or change what keeps it off the others: its selector, affinity, tolerations or volumes"
}

func (d *drains) checkTogether(in Input) []Finding {
	return d.once(in, "workloads", func(h *drainHop) []about {
		if h.result == nil {
			return nil
		}
		var out []about
		for _, t := range h.result.Together {
			c := &h.placement.Controllers[t.Controller]
			why := fmt.Sprintf("all its %d ready pods are on %s and no budget keeps one: the drain takes them at once", t.Pods, t.Nodes[0])
			if len(t.Nodes) > 1 {
				why = fmt.Sprintf("all its %d ready pods are on %s, which are drained at the same time, and no budget keeps one", t.Pods, fewOf(t.Nodes))
			}
			fix := fmt.Sprintf("give it a budget with maxUnavailable 1: kubectl -n %[1]s create pdb %[2]s --max-unavailable=1 --selector=SELECTOR, as kubectl -n %[1]s get %[3]s %[2]s -o wide shows it", c.Namespace, c.Name, strings.ToLower(c.Kind))
			if c.Kind == "Deployment" || c.Kind == "StatefulSet" {
				fix += fmt.Sprintf("; or let its pods be placed anew first: kubectl -n %s rollout restart %s/%s", c.Namespace, strings.ToLower(c.Kind), c.Name)
			}
			out = append(out, about{c.Namespace, Finding{Object: controllerOf(c), Why: why, Fix: fix}})
		}
		return out
	})
}

func (d *drains) checkSingle(in Input) []Finding {
	p := in.Scan.Placement
	var objects []string
	for _, i := range d.drained(in) {
		pod := &p.Pods[i]
		if pod.Controller < 0 || !pod.Ready || kindOf(p, pod) == "Job" {
			continue
		}
		if c := &p.Controllers[pod.Controller]; c.Desired == 1 {
			objects = append(objects, controllerOf(c))
		}
	}
	return inform("", "workloads", objects, "one pod only: it stops when its node is drained, in every hop, and starts elsewhere",
		"add a second pod where a short stop matters: kubectl -n NAMESPACE scale KIND/NAME --replicas=2")
}

func (d *drains) checkOwnNode(in Input) []Finding {
	var objects []string
	for i := range d.of(in) {
		list := waits(&d.hops[i], func(w *drainsim.Waiting) bool { return w.Back && !w.Lack.Room() }, func(*drainsim.Waiting, int) Finding { return Finding{} })
		for _, a := range list {
			objects = append(objects, a.Object)
		}
	}
	return inform("", "workloads", objects, "pods that must leave their node may run on no other (local volumes, affinity, spread or host ports): they wait until it is back",
		"nothing, if the workload does with a pod less for some minutes; else add a node that fits")
}

func (d *drains) checkEmptyDir(in Input) []Finding {
	p := in.Scan.Placement
	var objects []string
	for _, i := range d.drained(in) {
		pod := &p.Pods[i]
		if s := &p.Specs[pod.Spec]; s.EmptyDir && !s.InMemory && d.allow(in, p.Nodes[pod.Node].Name).DeleteEmptyDirData {
			objects = append(objects, ownerOf(p, pod))
		}
	}
	return inform("", "workloads", objects, "what the pods keep in emptyDir volumes is lost with each drain",
		"nothing, if these are caches; else move the data to a persistent volume, or set drain.deleteEmptyDirData of the pool in kup.yaml to false to keep such nodes from being drained")
}

func (d *drains) checkStatefulSets(in Input) []Finding {
	p := in.Scan.Placement
	var objects []string
	pods := d.drained(in)
	if len(pods) == 0 {
		return nil
	}
	budgets := map[string][]*cluster.PlacedBudget{} // by namespace
	for i := range p.Budgets {
		b := &p.Budgets[i]
		budgets[b.Namespace] = append(budgets[b.Namespace], b)
	}
	seen := map[int32]bool{} // controllers
	for _, i := range pods {
		pod := &p.Pods[i]
		if kindOf(p, pod) != "StatefulSet" || p.Controllers[pod.Controller].Desired < 2 || seen[pod.Controller] {
			continue
		}
		seen[pod.Controller] = true
		if !slices.ContainsFunc(budgets[pod.Namespace], func(b *cluster.PlacedBudget) bool {
			return drainsim.Chooses(b, pod.Namespace, p.LabelSets[pod.Labels])
		}) {
			objects = append(objects, controllerOf(&p.Controllers[pod.Controller]))
		}
	}
	return inform("", "StatefulSets", objects, "no disruption budget keeps two pods from being evicted while the first is not ready again",
		"give those that need a quorum a budget with maxUnavailable 1; kup itself waits after each wave until they are as ready as before")
}

func (d *drains) checkReturning(in Input) []Finding {
	return d.once(in, "workloads", func(h *drainHop) []about {
		if h.result == nil {
			return nil
		}
		var out []about
		names, by := ownersOf(h.placement, h.result.Returning)
		for _, name := range names {
			pod := &h.placement.Pods[by[name][0]]
			out = append(out, about{pod.Namespace, Finding{
				Object: name,
				Why:    fmt.Sprintf("it tolerates the taint node.kubernetes.io/unschedulable: the scheduler may put its pod back on %s while that is drained, and the drain then takes longer or times out", h.placement.Nodes[pod.Node].Name),
				Fix:    "name the taints it tolerates instead of all of them, or bind it to nodes that are not drained at the time",
			}})
		}
		return out
	})
}

func (d *drains) checkLimits(in Input) []Finding {
	var out []Finding
	for i := range d.of(in) {
		if r := d.hops[i].result; r != nil && len(r.Limits) > 0 {
			for _, limit := range r.Limits {
				out = append(out, Finding{Object: "the simulated drains", Why: limit, Fix: "look at these pods yourself: what is said of them may be wrong"})
			}
			return out
		}
	}
	return nil
}
