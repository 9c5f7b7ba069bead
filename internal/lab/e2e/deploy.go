package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/lab/workload"
)

const deployTimeout = 5 * time.Minute

// deploy puts the sample workload on the lab.
func (e *env) deploy(ctx context.Context, secret, annotation string) error {
	began := time.Now()
	program, err := workload.Build(ctx, e.dir)
	if err != nil {
		return err
	}
	if err := e.lab.ImportImage(ctx, workload.Image, program, []string{workload.Entrypoint}); err != nil {
		return err
	}
	cert, err := workload.NewCert(time.Now())
	if err != nil {
		return err
	}
	workers := 0
	for _, n := range e.lab.Nodes() {
		if n.Role == node.RoleWorker {
			workers++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, deployTimeout)
	defer cancel()
	err = workload.Deploy(ctx, e.config, workload.Params{
		TolerateControlPlane: workers < 2,
		ProbePeriod:          insidePeriod(len(e.lab.Nodes())),
		CanarySecret:         secret, CanaryAnnotation: annotation, Cert: cert,
	})
	if err != nil {
		return fmt.Errorf("deploy the workload: %w", err)
	}
	e.printf("workload is ready (%s)", seconds(time.Since(began)))
	return nil
}

// settled waits until nodes are Ready and every Deployment, StatefulSet and
// DaemonSet is: the state that is compared must not be on its way anywhere.
func (e *env) settled(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not settled within %s", within))
	defer cancel()
	return poll(ctx, time.Second, func(ctx context.Context) error {
		nodes, err := e.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var late []error
		for i := range nodes.Items {
			if !nodeReady(&nodes.Items[i]) {
				late = append(late, fmt.Errorf("node %s is not Ready", nodes.Items[i].Name))
			}
		}
		for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
			gvr := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
			list, err := e.dynamic.Resource(gvr).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			for i := range list.Items {
				o := &list.Items[i]
				if missing := workload.Missing(o); missing != "" {
					late = append(late, fmt.Errorf("%s %s/%s: %s", o.GetKind(), o.GetNamespace(), o.GetName(), missing))
				}
			}
		}
		return errors.Join(late...)
	})
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
