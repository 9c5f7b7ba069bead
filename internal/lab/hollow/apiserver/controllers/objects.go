package controllers

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

var (
	pods           = corev1.SchemeGroupVersion.WithResource("pods")
	nodes          = corev1.SchemeGroupVersion.WithResource("nodes")
	services       = corev1.SchemeGroupVersion.WithResource("services")
	namespaces     = corev1.SchemeGroupVersion.WithResource("namespaces")
	endpoints      = corev1.SchemeGroupVersion.WithResource("endpoints")
	endpointSlices = discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
	deployments    = appsv1.SchemeGroupVersion.WithResource("deployments")
	replicaSets    = appsv1.SchemeGroupVersion.WithResource("replicasets")
	statefulSets   = appsv1.SchemeGroupVersion.WithResource("statefulsets")
	daemonSets     = appsv1.SchemeGroupVersion.WithResource("daemonsets")
	budgets        = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	jobs           = batchv1.SchemeGroupVersion.WithResource("jobs")
)

// owned gives, of the objects of a resource, those that each owner controls.
func owned[T any, P interface {
	*T
	metav1.Object
}](c *controllers, gvr schema.GroupVersionResource) (map[types.UID][]*T, error) {
	all, err := apiserver.Typed[T](c.store, gvr, "")
	if err != nil {
		return nil, err
	}
	out := map[types.UID][]*T{}
	for _, o := range all {
		if owner := metav1.GetControllerOf(P(o)); owner != nil {
			out[owner.UID] = append(out[owner.UID], o)
		}
	}
	return out, nil
}

// keep writes something of an object, a status, when it is not what it should be.
func keep[T, S any](c *controllers, gvr schema.GroupVersionResource, o metav1.Object, have, want S, set func(*T, S)) error {
	if equality.Semantic.DeepEqual(have, want) {
		return nil
	}
	return absent(apiserver.Modify(c.store, gvr, o.GetNamespace(), o.GetName(), func(now *T) error {
		set(now, want)
		return nil
	}))
}

// remove deletes an object in the background, if it is still that one.
func (c *controllers) remove(gvr schema.GroupVersionResource, o metav1.Object) error {
	return absent(c.store.Delete(gvr, o.GetNamespace(), o.GetName(), metav1.DeleteOptions{
		Preconditions: metav1.NewUIDPreconditions(string(o.GetUID())), PropagationPolicy: new(metav1.DeletePropagationBackground),
	}))
}

// active tells of a pod that runs, or will.
func active(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// readyNow tells of a pod that is counted as ready.
func readyNow(p *corev1.Pod) bool { return active(p) && ready(p) }

func filter[T any](all []T, want func(T) bool) []T {
	var out []T
	for _, one := range all {
		if want(one) {
			out = append(out, one)
		}
	}
	return out
}

func count[T any](all []T, want func(T) bool) int32 { return int32(len(filter(all, want))) }

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

func orOne(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}
