package e2e

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

// drainVerdict is how the drain of one node ends, predicted or real.
type drainVerdict struct {
	Node    string
	Drained bool
	// At is what it stands still at, an entry for each pod, sorted. Pods are told by
	// their controllers: evicted ones come back under new names.
	At []string
	// Waits are the controllers of pods without a node at that time, an entry for
	// each pod, sorted.
	Waits []string
}

func (v drainVerdict) String() string {
	text := "drained"
	if !v.Drained {
		text = "not drained: " + strings.Join(v.At, "; ")
	}
	if len(v.Waits) > 0 {
		text += " (no node for: " + strings.Join(v.Waits, "; ") + ")"
	}
	return text
}

func (v drainVerdict) equal(o drainVerdict) bool {
	return v.Node == o.Node && v.Drained == o.Drained && slices.Equal(v.At, o.At) && slices.Equal(v.Waits, o.Waits)
}

// severalBudgets stands for the budgets of a pod that has more than one.
const severalBudgets = "several budgets"

func behind(controller, budget string) string { return controller + " behind " + budget }

// nobodys is a pod that a drain would lose, so that it does not start.
func nobodys(namespace, name string) string {
	return "pod " + namespace + "/" + name + ", which nobody brings back"
}

// predictedDrain takes from a simulation what it says of one node.
func predictedDrain(p *cluster.Placement, r *drainsim.Result, node string) drainVerdict {
	v := drainVerdict{Node: node}
	for _, x := range r.Refused {
		if x.Node != node {
			continue
		}
		for _, i := range x.Bare {
			v.At = append(v.At, nobodys(p.Pods[i].Namespace, p.Pods[i].Name))
		}
		for _, i := range x.Data {
			v.At = append(v.At, controllerName(p, &p.Pods[i])+", which has data on the node")
		}
	}
	for _, x := range r.Stuck {
		if x.Node != node {
			continue
		}
		budget := severalBudgets
		if x.Cause != drainsim.SeveralBudgets {
			b := &p.Budgets[x.Budgets[0]]
			budget = budgetName(b.Namespace, b.Name)
		}
		v.At = append(v.At, behind(controllerName(p, &p.Pods[x.Pod]), budget))
	}
	for _, x := range r.Waiting {
		if x.From == node {
			v.Waits = append(v.Waits, controllerName(p, &p.Pods[x.Pod]))
		}
	}
	v.Drained = len(v.At) == 0
	slices.Sort(v.At)
	slices.Sort(v.Waits)
	return v
}

// drainedAs says how a real drain ended, by its error and by what runs where
// before and after it.
func drainedAs(before, after *cluster.Placement, node string, err error) drainVerdict {
	v := drainVerdict{Node: node, Drained: err == nil}
	if failed := new(kube.DrainError); errors.As(err, &failed) {
		v.At = stoodAt(before, after, node, failed)
	}
	for i := range after.Pods {
		if pod := &after.Pods[i]; pod.Node < 0 {
			v.Waits = append(v.Waits, controllerName(after, pod))
		}
	}
	slices.Sort(v.At)
	slices.Sort(v.Waits)
	return v
}

func stoodAt(before, after *cluster.Placement, node string, failed *kube.DrainError) []string {
	var out []string
	text := fmt.Sprint(failed.Err)
	for _, p := range failed.Pods {
		owner := "pod " + p.Namespace + "/" + p.Name
		if pod := podNamed(before, p.Namespace, p.Name); pod != nil {
			owner = controllerName(before, pod)
		}
		switch {
		// What kup says of it, and what the API did.
		case p.Several && strings.Contains(text, p.Namespace+"/"+p.Name) && strings.Contains(text, "more than one PodDisruptionBudget"):
			out = append(out, behind(owner, severalBudgets))
		case len(p.Budgets) > 0:
			for _, b := range p.Budgets {
				out = append(out, behind(owner, budgetName(p.Namespace, b)))
			}
		default:
			out = append(out, owner+", which "+p.Why)
		}
	}
	if len(failed.Pods) > 0 {
		return out
	}
	// The drain did not start: kubectl names the pods, and none may be gone.
	for _, pod := range podsOn(before, node) {
		if pod.Controller < 0 && strings.Contains(text, pod.Namespace+"/"+pod.Name) {
			out = append(out, nobodys(pod.Namespace, pod.Name))
		}
		if podNamed(after, pod.Namespace, pod.Name) == nil {
			out = append(out, "pod "+pod.Namespace+"/"+pod.Name+" evicted by a drain that was refused")
		}
	}
	if len(out) == 0 {
		out = append(out, text)
	}
	return out
}

func podsOn(p *cluster.Placement, node string) []*cluster.PlacedPod {
	var out []*cluster.PlacedPod
	for i := range p.Pods {
		if pod := &p.Pods[i]; pod.Node >= 0 && p.Nodes[pod.Node].Name == node {
			out = append(out, pod)
		}
	}
	return out
}

func podNamed(p *cluster.Placement, namespace, name string) *cluster.PlacedPod {
	for i := range p.Pods {
		if pod := &p.Pods[i]; pod.Namespace == namespace && pod.Name == name {
			return pod
		}
	}
	return nil
}

// controllerName names who makes the pod, as findings do.
func controllerName(p *cluster.Placement, pod *cluster.PlacedPod) string {
	if pod.Controller < 0 {
		return "pod " + pod.Namespace + "/" + pod.Name
	}
	c := &p.Controllers[pod.Controller]
	return c.Kind + " " + c.Namespace + "/" + c.Name
}

func budgetName(namespace, name string) string {
	return "PodDisruptionBudget " + namespace + "/" + name
}

// incomplete is nil when nothing is ending and Deployments have all their pods,
// running or not.
func incomplete(p *cluster.Placement) error {
	if p.Ending > 0 {
		return fmt.Errorf("%d pods are ending", p.Ending)
	}
	have := make([]int32, len(p.Controllers))
	for i := range p.Pods {
		if c := p.Pods[i].Controller; c >= 0 {
			have[c]++
		}
	}
	for i := range p.Controllers {
		if c := &p.Controllers[i]; c.Kind == "Deployment" && have[i] != c.Desired {
			return fmt.Errorf("deployment %s/%s has %d of %d pods", c.Namespace, c.Name, have[i], c.Desired)
		}
	}
	return nil
}

// unsteady is nil when, besides, all pods are ready, budgets are computed from
// that, and no pod is left of a Deployment that is gone.
func unsteady(p *cluster.Placement) error {
	if err := incomplete(p); err != nil {
		return err
	}
	for i := range p.Pods {
		pod := &p.Pods[i]
		if pod.Phase != cluster.PodFinished && !pod.Ready {
			return fmt.Errorf("pod %s/%s is not ready", pod.Namespace, pod.Name)
		}
		if pod.Controller >= 0 && p.Controllers[pod.Controller].Kind == "ReplicaSet" {
			return fmt.Errorf("pod %s/%s is left of a Deployment that is gone", pod.Namespace, pod.Name)
		}
	}
	for i := range p.Budgets {
		if b := &p.Budgets[i]; !rivalled(p, b) && (b.Expected == 0 || b.Healthy != b.Expected) {
			return fmt.Errorf("budget %s/%s: %d of %d pods are healthy", b.Namespace, b.Name, b.Healthy, b.Expected)
		}
	}
	for i := range p.Nodes {
		if p.Nodes[i].Cordoned {
			return fmt.Errorf("node %s is cordoned", p.Nodes[i].Name)
		}
	}
	return nil
}

// rivalled tells whether another budget chooses the same pods. What happens to such
// a pod reaches only one of them, so that the other's numbers stay what they were.
// Source: kubernetes pkg/controller/disruption/disruption.go, getPdbForPod.
func rivalled(p *cluster.Placement, b *cluster.PlacedBudget) bool {
	return slices.ContainsFunc(p.Budgets, func(o cluster.PlacedBudget) bool {
		return o.Name != b.Name && o.Namespace == b.Namespace && reflect.DeepEqual(o.Selector, b.Selector)
	})
}
