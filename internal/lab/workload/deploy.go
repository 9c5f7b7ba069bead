package workload

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	pollEvery    = time.Second
	fieldManager = "kup-lab"
)

// Deploy applies the workload, phase after phase, and returns when everything
// is ready. On a cluster that has it already, only what differs is changed. The
// context bounds the wait.
func Deploy(ctx context.Context, cfg *rest.Config, p Params) error {
	phases, err := Phases(p)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return err
	}
	for _, phase := range phases {
		disco, err := discovery.NewDiscoveryClientForConfig(cfg)
		if err != nil {
			return err
		}
		groups, err := restmapper.GetAPIGroupResources(disco)
		if err != nil {
			return fmt.Errorf("discover resources: %w", err)
		}
		mapper := restmapper.NewDiscoveryRESTMapper(groups)
		var waiting []waitFor
		for _, o := range phase.Objects {
			gvk := o.GroupVersionKind()
			mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
			if err != nil {
				return fmt.Errorf("%s: %w", phase.Name, err)
			}
			r := client.Resource(mapping.Resource).Namespace(o.GetNamespace())
			if err := apply(ctx, r, o); err != nil {
				return fmt.Errorf("apply %s %s: %w", gvk.Kind, o.GetName(), err)
			}
			waiting = append(waiting, waitFor{client: r, kind: gvk.Kind, name: o.GetName()})
		}
		for _, w := range waiting {
			if err := w.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply tries again what fails for a passing reason: a webhook whose Service
// is not yet known to the API server's node, a namespace just made.
func apply(ctx context.Context, r dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		_, err := r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
		switch {
		case err == nil:
			return nil
		case !apierrors.IsInternalError(err) && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

type waitFor struct {
	client     dynamic.ResourceInterface
	kind, name string
}

func (w waitFor) wait(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		o, err := w.client.Get(ctx, w.name, metav1.GetOptions{})
		var missing string
		if err == nil {
			if missing = Missing(o); missing == "" {
				return nil
			}
		} else {
			missing = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s %s: %w; last: %s", w.kind, w.name, context.Cause(ctx), missing)
		case <-tick.C:
		}
	}
}

// Missing says what an object of the workload, or any Deployment, StatefulSet,
// DaemonSet or CustomResourceDefinition, still lacks to be ready; empty means
// that it is ready.
func Missing(o *unstructured.Unstructured) string {
	num := func(path ...string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, path...)
		return n
	}
	var want, have int64
	switch o.GetKind() {
	case "Deployment":
		want, have = num("spec", "replicas"), min(num("status", "availableReplicas"), num("status", "updatedReplicas"))
	case "StatefulSet":
		want, have = num("spec", "replicas"), num("status", "readyReplicas")
	case "DaemonSet":
		want, have = num("status", "desiredNumberScheduled"), num("status", "numberAvailable")
		if want == 0 {
			return "not scheduled yet"
		}
	case "CustomResourceDefinition":
		return missingCRD(o)
	default:
		return ""
	}
	if num("status", "observedGeneration") < o.GetGeneration() {
		return "not observed yet"
	}
	// A rollout that is not over still has pods of before.
	if o.GetKind() == "Deployment" && num("status", "replicas") > want {
		return fmt.Sprintf("%d pods where %d are wanted", num("status", "replicas"), want)
	}
	if have < want {
		return fmt.Sprintf("%d of %d ready", have, want)
	}
	return ""
}

func missingCRD(o *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if ok && m["type"] == "Established" && m["status"] == "True" {
			return ""
		}
	}
	return "not established yet"
}
