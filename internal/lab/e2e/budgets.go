package e2e

import (
	"context"
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/lab/fault"
	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/lab/workload"
)

// blockingBudget is the name of the budget that allows nothing.
const blockingBudget = "kup-lab-blocks"

// budgets forbids evictions through the API.
type budgets struct{ client kubernetes.Interface }

var _ fault.Budgets = budgets{}

// ForbidEvictions implements fault.Budgets.
func (b budgets) ForbidEvictions(ctx context.Context, namespace, app string) error {
	none := intstr.FromInt32(0)
	_, err := b.client.PolicyV1().PodDisruptionBudgets(namespace).Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: blockingBudget, Namespace: namespace},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("budget %s/%s: %w", namespace, blockingBudget, err)
	}
	return nil
}

// AllowEvictions implements fault.Budgets.
func (b budgets) AllowEvictions(ctx context.Context, namespace, _ string) error {
	err := b.client.PolicyV1().PodDisruptionBudgets(namespace).Delete(ctx, blockingBudget, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("budget %s/%s: %w", namespace, blockingBudget, err)
	}
	return nil
}

// unguarded is a Deployment of the workload that no budget covers: the API allows
// one budget a pod only.
const unguarded = "lonely"

// breakable is the lab as faults see it, struck at a node.
func (e *env) breakable(name string) fault.Target {
	return fault.Target{
		Node: name, LoadBalancer: node.LoadBalancerMachine, Minor: e.to, Namespace: workload.Namespace, App: unguarded,
		SSH: e.lab, Power: e.lab, Services: e.lab, Processes: e.lab, Disks: e.lab, Kubelets: e.lab,
		Repository: e.lab, Packages: e.lab, Budgets: budgets{e.client},
	}
}
