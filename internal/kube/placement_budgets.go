package kube

import (
	"context"

	"github.com/kup-project/kup/pkg/cluster"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// budgets asks for policy/v1 and, of servers before 1.21, for policy/v1beta1.
func (p *placing) budgets(ctx context.Context) error {
	reset := func() { p.out.Budgets = nil }
	err := eachPage(ctx, p.client.clientset.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List, func(l *policyv1.PodDisruptionBudgetList) error {
		for i := range l.Items {
			p.out.Budgets = append(p.out.Budgets, placedBudget(&l.Items[i]))
		}
		return nil
	}, reset)
	if !apierrors.IsNotFound(err) {
		return err
	}
	return eachPage(ctx, p.client.clientset.PolicyV1beta1().PodDisruptionBudgets(metav1.NamespaceAll).List, func(l *policyv1beta1.PodDisruptionBudgetList) error {
		for i := range l.Items {
			old := &l.Items[i]
			b := placedBudget(&policyv1.PodDisruptionBudget{
				ObjectMeta: old.ObjectMeta,
				Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: old.Spec.MinAvailable, MaxUnavailable: old.Spec.MaxUnavailable, Selector: old.Spec.Selector},
				Status: policyv1.PodDisruptionBudgetStatus{
					DisruptionsAllowed: old.Status.DisruptionsAllowed, CurrentHealthy: old.Status.CurrentHealthy,
					DesiredHealthy: old.Status.DesiredHealthy, ExpectedPods: old.Status.ExpectedPods, Conditions: old.Status.Conditions,
				},
			})
			b.Nothing = b.Nothing || len(b.Selector) == 0 // an empty selector matches nothing in this version
			p.out.Budgets = append(p.out.Budgets, b)
		}
		return nil
	}, reset)
}

func placedBudget(b *policyv1.PodDisruptionBudget) cluster.PlacedBudget {
	selector, ok := selectorOf(b.Spec.Selector)
	out := cluster.PlacedBudget{
		Namespace: b.Namespace, Name: b.Name, Nothing: !ok, Selector: selector,
		MinAvailable: written(b.Spec.MinAvailable), MaxUnavailable: written(b.Spec.MaxUnavailable),
		AlwaysAllow: b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == policyv1.AlwaysAllow,
		Allowed:     b.Status.DisruptionsAllowed, Healthy: b.Status.CurrentHealthy, Desired: b.Status.DesiredHealthy, Expected: b.Status.ExpectedPods,
	}
	if c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition); c != nil && c.Reason == policyv1.SyncFailedReason {
		out.Failing = c.Message
		if out.Failing == "" {
			out.Failing = c.Reason
		}
	}
	return out
}

func written(v *intstr.IntOrString) string {
	if v == nil {
		return ""
	}
	return v.String()
}
