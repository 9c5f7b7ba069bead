package controllers

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// schedule gives each pod that waits for a node the best one, oldest pod first.
// Requests for resources are not looked at.
func (c *controllers) schedule() error {
	all, err := apiserver.Typed[corev1.Pod](c.store, pods, "")
	if err != nil {
		return err
	}
	cluster, err := apiserver.Typed[corev1.Node](c.store, nodes, "")
	if err != nil {
		return err
	}
	byName := map[string]*corev1.Node{}
	for _, n := range cluster {
		byName[n.Name] = n
	}
	var there []placed
	for _, p := range all {
		if n := byName[p.Spec.NodeName]; n != nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			there = append(there, placed{p, n})
		}
	}
	waiting := filter(all, func(p *corev1.Pod) bool {
		return p.Spec.NodeName == "" && active(p) && p.Spec.SchedulerName == corev1.DefaultSchedulerName && len(p.Spec.SchedulingGates) == 0
	})
	slices.SortStableFunc(waiting, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, p := range waiting {
		n := choose(p, cluster, there)
		if n == nil {
			if err := c.refuse(p, len(cluster)); err != nil {
				return err
			}
			continue
		}
		if err := c.bind(p, n); err != nil {
			return err
		}
		there = append(there, placed{p, n})
	}
	return nil
}

// choose gives the node with the fewest pods like this one, then the fewest pods;
// nil when none takes it.
func choose(p *corev1.Pod, cluster []*corev1.Node, there []placed) *corev1.Node {
	alike, load := map[string]int{}, map[string]int{}
	for _, other := range there {
		load[other.node.Name]++
		if other.pod.DeletionTimestamp == nil && similar(p, other.pod) {
			alike[other.node.Name]++
		}
	}
	fit := filter(cluster, func(n *corev1.Node) bool {
		return wantsNode(p, n) && toleratesAll(p, n) && open(p, n) && !repelled(p, n, there)
	})
	if len(fit) == 0 {
		return nil
	}
	return slices.MinFunc(fit, func(a, b *corev1.Node) int {
		return cmp.Or(cmp.Compare(alike[a.Name], alike[b.Name]), cmp.Compare(load[a.Name], load[b.Name]), cmp.Compare(a.Name, b.Name))
	})
}

// similar tells of pods that are better spread: those of one controller, or of
// one Deployment before and after a change of its template.
func similar(a, b *corev1.Pod) bool {
	if a.Namespace != b.Namespace {
		return false
	}
	for _, key := range []string{"app", "k8s-app", "app.kubernetes.io/name"} {
		if value, there := a.Labels[key]; there {
			return b.Labels[key] == value
		}
	}
	x, y := metav1.GetControllerOf(a), metav1.GetControllerOf(b)
	return x != nil && y != nil && x.UID == y.UID
}

func (c *controllers) bind(p *corev1.Pod, n *corev1.Node) error {
	return absent(apiserver.Modify(c.store, pods, p.Namespace, p.Name, func(now *corev1.Pod) error {
		if now.UID != p.UID || now.Spec.NodeName != "" || now.DeletionTimestamp != nil {
			return apiserver.ErrUnchanged
		}
		now.Spec.NodeName = n.Name
		setScheduled(now, corev1.ConditionTrue, "", "")
		return nil
	}))
}

// refuse says in the pod's status that no node takes it.
func (c *controllers) refuse(p *corev1.Pod, of int) error {
	return absent(apiserver.Modify(c.store, pods, p.Namespace, p.Name, func(now *corev1.Pod) error {
		setScheduled(now, corev1.ConditionFalse, corev1.PodReasonUnschedulable,
			fmt.Sprintf("0/%d nodes are available: none is ready, schedulable, tolerated and matches the pod's rules.", of))
		return nil
	}))
}

func setScheduled(p *corev1.Pod, status corev1.ConditionStatus, reason, message string) {
	wanted := corev1.PodCondition{Type: corev1.PodScheduled, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
	for i, c := range p.Status.Conditions {
		if c.Type != wanted.Type {
			continue
		}
		if c.Status == status {
			wanted.LastTransitionTime = c.LastTransitionTime
		}
		p.Status.Conditions[i] = wanted
		return
	}
	p.Status.Conditions = append(p.Status.Conditions, wanted)
}
