package controllers

import (
	"errors"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// evictionTime is how long an eviction that was granted counts as a disruption,
// though its pod is still there. A pod of the same name that was made meanwhile is
// taken for it that long.
const (
	evictionTime      = 2 * time.Minute
	leastEvictionTime = 200 * time.Millisecond
)

// errDisrupted has the budgets looked at again: nothing tells when an eviction has
// had its time.
var errDisrupted = errors.New("an eviction is under way")

// syncBudgets says in each budget how many disruptions it allows now.
func (c *controllers) syncBudgets() error {
	all, err := apiserver.Typed[policyv1.PodDisruptionBudget](c.store, budgets, "")
	if err != nil || len(all) == 0 {
		return err
	}
	scales, err := c.scales()
	if err != nil {
		return err
	}
	var pending error
	for _, b := range all {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			selector = labels.Nothing()
		}
		theirs, err := apiserver.Typed[corev1.Pod](c.store, pods, b.Namespace)
		if err != nil {
			return err
		}
		theirs = filter(theirs, func(p *corev1.Pod) bool {
			return selector.Matches(labels.Set(p.Labels)) && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
		})
		status := c.budgetStatus(b, theirs, scales)
		if len(status.DisruptedPods) > 0 {
			pending = errDisrupted
		}
		if err := keep(c, budgets, b, b.Status, status, func(o *policyv1.PodDisruptionBudget, s policyv1.PodDisruptionBudgetStatus) { o.Status = s }); err != nil {
			return err
		}
	}
	return pending
}

// scale is how many pods a controller is to have.
type scale struct {
	of       types.UID // the controller, or the one that controls it
	replicas int32
}

// scales gives those of all controllers: a ReplicaSet's is its Deployment's.
func (c *controllers) scales() (map[types.UID]scale, error) {
	out := map[types.UID]scale{}
	all, err := apiserver.Typed[appsv1.Deployment](c.store, deployments, "")
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		out[d.UID] = scale{d.UID, orOne(d.Spec.Replicas)}
	}
	sets, err := apiserver.Typed[appsv1.ReplicaSet](c.store, replicaSets, "")
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		out[set.UID] = scale{set.UID, orOne(set.Spec.Replicas)}
		if owner := metav1.GetControllerOf(set); owner != nil {
			out[set.UID] = out[owner.UID]
		}
	}
	stateful, err := apiserver.Typed[appsv1.StatefulSet](c.store, statefulSets, "")
	for _, set := range stateful {
		out[set.UID] = scale{set.UID, orOne(set.Spec.Replicas)}
	}
	return out, err
}

func (c *controllers) budgetStatus(b *policyv1.PodDisruptionBudget, theirs []*corev1.Pod, scales map[types.UID]scale) policyv1.PodDisruptionBudgetStatus {
	expected, desired := demand(b, theirs, scales)
	disrupted := map[string]metav1.Time{}
	healthy := int32(0)
	for _, p := range theirs {
		at, granted := b.Status.DisruptedPods[p.Name]
		switch {
		case p.DeletionTimestamp != nil:
		case granted && time.Since(at.Time) < max(scaled(evictionTime, c.pace), leastEvictionTime):
			disrupted[p.Name] = at
		case ready(p):
			healthy++
		}
	}
	s := policyv1.PodDisruptionBudgetStatus{
		ObservedGeneration: b.Generation, DisruptedPods: disrupted, CurrentHealthy: healthy, DesiredHealthy: desired, ExpectedPods: expected,
		DisruptionsAllowed: max(0, healthy-desired),
	}
	if expected <= 0 {
		s.DisruptionsAllowed = 0
	}
	for _, c := range b.Status.Conditions {
		s.Conditions = append(s.Conditions, *c.DeepCopy())
	}
	condition := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionTrue, Reason: policyv1.SufficientPodsReason, ObservedGeneration: b.Generation}
	if s.DisruptionsAllowed == 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, policyv1.InsufficientPodsReason
	}
	meta.SetStatusCondition(&s.Conditions, condition)
	return s
}

// demand is how many pods there are to be, and how many of them healthy.
func demand(b *policyv1.PodDisruptionBudget, theirs []*corev1.Pod, scales map[types.UID]scale) (expected, desired int32) {
	if least := b.Spec.MinAvailable; least != nil && least.Type == intstr.Int {
		return int32(len(theirs)), least.IntVal
	}
	counted := map[types.UID]bool{}
	for _, p := range theirs {
		owner := metav1.GetControllerOf(p)
		if owner == nil {
			continue
		}
		if whole := scales[owner.UID]; !counted[whole.of] {
			counted[whole.of] = true
			expected += whole.replicas
		}
	}
	part := func(of *intstr.IntOrString) int32 {
		n, err := intstr.GetScaledValueFromIntOrPercent(of, int(expected), true)
		if err != nil {
			return 0
		}
		return int32(n)
	}
	switch {
	case b.Spec.MinAvailable != nil:
		return expected, part(b.Spec.MinAvailable)
	case b.Spec.MaxUnavailable != nil:
		return expected, max(0, expected-part(b.Spec.MaxUnavailable))
	}
	return expected, 0
}
