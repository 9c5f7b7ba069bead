package hollow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// passing are kinds whose objects come and go by themselves.
func passing(kind string) bool {
	return slices.Contains([]string{"Event", "Lease", "Endpoints", "EndpointSlice", "ControllerRevision", "Job", "Node", "Pod"}, kind)
}

// digests gives what each object says, by "Kind namespace/name", but for what
// differs between clusters that are equal, the network of their addresses among it.
func digests(objects []*unstructured.Unstructured, network int) (map[string]string, error) {
	out := map[string]string{}
	for _, o := range objects {
		if passing(o.GetKind()) || unused(o) {
			continue
		}
		content, err := json.Marshal(lasting(o))
		if err != nil {
			return nil, fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
		out[strings.TrimSpace(o.GetKind()+" "+strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))] = digest(renumbered(content, network, 0))
	}
	return out, nil
}

// unused tells of a ReplicaSet that is kept for its Deployment's history only.
func unused(o *unstructured.Unstructured) bool {
	n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas") //nolint:errcheck // no number is no replica
	return o.GetKind() == "ReplicaSet" && n == 0
}

// lasting is the object without what the API server fills in and without status.
func lasting(o *unstructured.Unstructured) map[string]any {
	c := o.DeepCopy()
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences"} {
		unstructured.RemoveNestedField(c.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(c.Object, "metadata", "annotations", "deployment.kubernetes.io/revision")
	unstructured.RemoveNestedField(c.Object, "status")
	return c.Object
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// PodsFacts are the pods of one controller.
type PodsFacts struct {
	Count  int      `json:"count"`
	Ready  int      `json:"ready"`
	Images []string `json:"images"`
}

// pods counts pods by controller, "ReplicaSet shop/web-5d9", since most of their
// names are random. Pods that ran to their end are left out.
func pods(objects []*unstructured.Unstructured) (map[string]PodsFacts, error) {
	out := map[string]PodsFacts{}
	for _, o := range objects {
		if o.GetKind() != "Pod" {
			continue
		}
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &p); err != nil {
			return nil, fmt.Errorf("pod %s/%s: %w", o.GetNamespace(), o.GetName(), err)
		}
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		owner := "Pod " + p.Namespace + "/" + p.Name
		if c := metav1.GetControllerOf(&p); c != nil && c.Kind != "Node" {
			owner = c.Kind + " " + p.Namespace + "/" + c.Name
		}
		f := out[owner]
		f.Count++
		if ready(&p) {
			f.Ready++
		}
		for _, container := range p.Spec.Containers {
			if !slices.Contains(f.Images, container.Image) {
				f.Images = append(f.Images, container.Image)
				slices.Sort(f.Images)
			}
		}
		out[owner] = f
	}
	return out, nil
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}
