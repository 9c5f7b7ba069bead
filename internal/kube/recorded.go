package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/kup-project/kup/pkg/cluster"
)

// recordable are the kinds of objects that are recorded and put back.
var recordable = map[string]schema.GroupVersionResource{
	"ConfigMap":  {Version: "v1", Resource: "configmaps"},
	"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"},
	"DaemonSet":  {Group: "apps", Version: "v1", Resource: "daemonsets"},
}

// counters are annotations that controllers and the API server count up themselves.
var counters = []string{"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"}

// object splits "ConfigMap/kube-system/coredns".
func (c *Client) object(ref string) (dynamic.ResourceInterface, string, error) {
	parts := strings.Split(ref, "/")
	if len(parts) != 3 {
		return nil, "", fmt.Errorf("object %q is not named kind/namespace/name", ref)
	}
	resource, known := recordable[parts[0]]
	if !known {
		return nil, "", fmt.Errorf("objects of kind %s are not recorded", parts[0])
	}
	return c.dynamic.Resource(resource).Namespace(parts[1]), parts[2], nil
}

// Recorded gives an object, "ConfigMap/kube-system/coredns", as JSON without what the
// API server and controllers fill in; nil when there is none.
func (c *Client) Recorded(ctx context.Context, ref string) (json.RawMessage, error) {
	in, name, err := c.object(ref)
	if err != nil {
		return nil, err
	}
	o, err := in.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return content(o)
}

// Marks are every node's labels and taints, and whether it is cordoned, by name.
func (c *Client) Marks(ctx context.Context) ([]cluster.NodeMarks, error) {
	nodes, err := all(ctx, metav1.ListOptions{}, c.lean.Nodes().List, func(l *corev1.NodeList) []corev1.Node { return l.Items })
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var out []cluster.NodeMarks
	for i := range nodes {
		n := &nodes[i]
		marks := cluster.NodeMarks{Name: n.Name, Labels: n.Labels, Cordoned: n.Spec.Unschedulable}
		for _, t := range n.Spec.Taints {
			marks.Taints = append(marks.Taints, t.ToString())
		}
		out = append(out, marks)
	}
	slices.SortFunc(out, func(a, b cluster.NodeMarks) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// content is what an object says; equal content is equal bytes.
func content(o *unstructured.Unstructured) (json.RawMessage, error) {
	meta := map[string]any{"name": o.GetName(), "namespace": o.GetNamespace()}
	if labels := o.GetLabels(); len(labels) > 0 {
		meta["labels"] = labels
	}
	annotations := o.GetAnnotations()
	for _, name := range counters {
		delete(annotations, name)
	}
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	out := map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": meta}
	for name, value := range o.Object {
		if name != "metadata" && name != "status" {
			out[name] = value
		}
	}
	return json.Marshal(out)
}

// Stands tells whether an object is what was recorded: whether to write that would
// change anything, which the API server itself is asked. It asks again when somebody,
// such as a controller that writes the status, wrote in between.
func (c *Client) Stands(ctx context.Context, ref string, recorded json.RawMessage) (stands bool, err error) {
	in, name, err := c.object(ref)
	if err != nil {
		return false, err
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := in.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			stands, _, err = compared(ctx, in, now, recorded)
		}
		return err
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", ref, err)
	}
	return stands, nil
}

// PutBack makes an object what was recorded. It stays the same object: only what it
// says is written, on the condition that nobody else wrote meanwhile, and again when
// somebody did. One that is gone is made anew. The number of a Deployment's replicas
// stays: it belongs to who scales it.
func (c *Client) PutBack(ctx context.Context, ref string, recorded json.RawMessage) error {
	in, name, err := c.object(ref)
	if err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := in.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			o := &unstructured.Unstructured{}
			if err := o.UnmarshalJSON(recorded); err != nil {
				return err
			}
			_, err = in.Create(ctx, o, metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		same, back, err := compared(ctx, in, now, recorded)
		if err != nil || same {
			return err
		}
		_, err = in.Update(ctx, back, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s back: %w", ref, err)
	}
	return nil
}

// compared gives the object with what was recorded in it, and whether writing that
// would leave it as it is.
func compared(ctx context.Context, in dynamic.ResourceInterface, now *unstructured.Unstructured, recorded json.RawMessage) (bool, *unstructured.Unstructured, error) {
	back, err := laidOver(now, recorded)
	if err != nil {
		return false, nil, err
	}
	would, err := in.Update(ctx, back, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return false, nil, err
	}
	is, err := content(now.DeepCopy())
	if err != nil {
		return false, nil, err
	}
	becomes, err := content(would)
	return err == nil && bytes.Equal(is, becomes), back, err
}

// laidOver gives what the object now becomes when it says what was recorded.
func laidOver(now *unstructured.Unstructured, recorded json.RawMessage) (*unstructured.Unstructured, error) {
	var was unstructured.Unstructured
	if err := was.UnmarshalJSON(recorded); err != nil {
		return nil, fmt.Errorf("what was recorded: %w", err)
	}
	back := now.DeepCopy()
	for name := range back.Object {
		if name != "metadata" && name != "status" {
			delete(back.Object, name)
		}
	}
	for name, value := range was.Object {
		if name != "metadata" {
			back.Object[name] = value
		}
	}
	if replicas, found, err := unstructured.NestedFieldNoCopy(now.Object, "spec", "replicas"); err == nil && found {
		if err := unstructured.SetNestedField(back.Object, replicas, "spec", "replicas"); err != nil {
			return nil, fmt.Errorf("what was recorded: %w", err)
		}
	}
	annotations := maps.Clone(was.GetAnnotations())
	for _, name := range counters {
		if value, found := now.GetAnnotations()[name]; found {
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[name] = value
		}
	}
	back.SetLabels(was.GetLabels())
	back.SetAnnotations(annotations)
	return back, nil
}
