package apiserver

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

var budgets = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")

// Evict deletes a pod if its disruption budget allows that, and counts it there.
// Otherwise the error is 429 with the budget as its cause.
func (s *Store) Evict(namespace, name string, d metav1.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[pods.GroupResource()]
	r, err := t.get(namespace, name)
	if err != nil {
		return err
	}
	if err := checkPreconditions(t.resource, r.object, d.Preconditions); err != nil {
		return err
	}
	pod, err := typedRecord[corev1.Pod](r)
	if err != nil {
		return err
	}
	if disrupts(pod) {
		if err := s.spend(pod, len(d.DryRun) > 0); err != nil {
			return err
		}
	}
	if len(d.DryRun) == 0 {
		if _, err := s.change(t, namespace, name, writing{trusted: true}, markEvicted); err != nil {
			return err
		}
	}
	d.Preconditions = nil // they held; marking the pod has changed its version
	_, _, err = s.delete(t, namespace, name, d)
	return err
}

// disrupts tells whether a pod's end is for a budget to allow.
func disrupts(p *corev1.Pod) bool {
	over := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	return !over && p.Status.Phase != corev1.PodPending && p.DeletionTimestamp == nil
}

// spend takes one disruption from the pod's budget, if it has one. The lock is
// held.
func (s *Store) spend(pod *corev1.Pod, dry bool) error {
	t := s.tables[budgets.GroupResource()]
	var covering []*policyv1.PodDisruptionBudget
	for _, r := range t.list(pod.Namespace) {
		b, err := typedRecord[policyv1.PodDisruptionBudget](r)
		if err != nil {
			return err
		}
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			covering = append(covering, b)
		}
	}
	switch len(covering) {
	case 0:
		return nil
	case 1:
	default:
		return apierrors.NewInternalError(errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")) //nolint:staticcheck,revive // as the real one says it
	}
	b := covering[0]
	if !podReady(pod) && sparesUnready(b) {
		return nil
	}
	if err := allows(b); err != nil {
		return err
	}
	_, err := s.change(t, b.Namespace, b.Name, writing{trusted: true, dry: dry}, func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		spent := b.DeepCopy()
		spent.Status.DisruptionsAllowed--
		if spent.Status.DisruptedPods == nil {
			spent.Status.DisruptedPods = map[string]metav1.Time{}
		}
		spent.Status.DisruptedPods[pod.Name] = metav1.Now()
		return untyped(spent, old.GroupVersionKind())
	})
	return err
}

// sparesUnready tells whether a pod that is not ready costs the budget nothing.
func sparesUnready(b *policyv1.PodDisruptionBudget) bool {
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// allows gives the refusal of a budget that allows no disruption.
func allows(b *policyv1.PodDisruptionBudget) error {
	const refusal = "Cannot evict pod as it would violate the pod's disruption budget."
	if b.Status.ObservedGeneration < b.Generation {
		e := apierrors.NewTooManyRequests(refusal, 10)
		addCause(e, policyv1.DisruptionBudgetCause, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name), "")
		return e
	}
	if b.Status.DisruptionsAllowed > 0 {
		return nil
	}
	text := fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name)
	condition := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	switch {
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		text = fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case condition != nil && condition.Status == metav1.ConditionFalse && condition.Message != "":
		text += fmt.Sprintf(" (%s): %s", condition.Reason, condition.Message)
	}
	e := apierrors.NewTooManyRequests(refusal, 0)
	addCause(e, policyv1.DisruptionBudgetCause, text, "")
	return e
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// markEvicted says in the pod's status why it ends.
func markEvicted(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o := old.DeepCopy()
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	mark := map[string]any{
		"type": string(corev1.DisruptionTarget), "status": "True", "lastTransitionTime": now(),
		"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
	}
	for i, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == mark["type"] {
			if c["status"] == "True" {
				return o, nil
			}
			conditions = append(conditions[:i], conditions[i+1:]...)
			break
		}
	}
	return o, unstructured.SetNestedSlice(o.Object, append(conditions, mark), "status", "conditions")
}
