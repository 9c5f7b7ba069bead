package kube

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// budget is a PodDisruptionBudget of whichever version the server has.
type budget struct {
	cluster.Budget
	selector labels.Selector
}

func (b budget) covers(namespace string, l map[string]string) bool {
	return b.Namespace == namespace && b.selector.Matches(labels.Set(l))
}

// Budgets lists the PodDisruptionBudgets.
func (c *Client) Budgets(ctx context.Context) ([]cluster.Budget, error) {
	list, err := c.budgets(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]cluster.Budget, len(list))
	for i := range list {
		out[i] = list[i].Budget
	}
	return out, nil
}

// budgets asks for policy/v1 and, of servers before 1.21, for policy/v1beta1.
func (c *Client) budgets(ctx context.Context) ([]budget, error) {
	list, err := all(ctx, metav1.ListOptions{}, c.clientset.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List,
		func(l *policyv1.PodDisruptionBudgetList) []policyv1.PodDisruptionBudget { return l.Items })
	if apierrors.IsNotFound(err) {
		return c.oldBudgets(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list PodDisruptionBudgets: %w", err)
	}
	out := make([]budget, 0, len(list))
	for i := range list {
		b := &list[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			selector = labels.Nothing()
		}
		out = append(out, budget{cluster.Budget{
			Namespace: b.Namespace, Name: b.Name, DisruptionsAllowed: b.Status.DisruptionsAllowed,
			DesiredHealthy: b.Status.DesiredHealthy, ExpectedPods: b.Status.ExpectedPods,
		}, selector})
	}
	return out, nil
}

func (c *Client) oldBudgets(ctx context.Context) ([]budget, error) {
	list, err := all(ctx, metav1.ListOptions{}, c.clientset.PolicyV1beta1().PodDisruptionBudgets(metav1.NamespaceAll).List,
		func(l *policyv1beta1.PodDisruptionBudgetList) []policyv1beta1.PodDisruptionBudget { return l.Items })
	if err != nil {
		return nil, fmt.Errorf("list PodDisruptionBudgets (policy/v1beta1): %w", err)
	}
	out := make([]budget, 0, len(list))
	for i := range list {
		b := &list[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || selector.Empty() { // an empty selector matches nothing in this version
			selector = labels.Nothing()
		}
		out = append(out, budget{cluster.Budget{
			Namespace: b.Namespace, Name: b.Name, DisruptionsAllowed: b.Status.DisruptionsAllowed,
			DesiredHealthy: b.Status.DesiredHealthy, ExpectedPods: b.Status.ExpectedPods,
		}, selector})
	}
	return out, nil
}
