package machine

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Objects are the objects of the cluster's API, as the programs of a host use them.
// Errors are those of the API.
type Objects interface {
	Get(gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error)
	// List gives the objects of a namespace, of all when it is empty. They are shared
	// and must not be changed.
	List(gvr schema.GroupVersionResource, namespace string) ([]*unstructured.Unstructured, error)
	Create(gvr schema.GroupVersionResource, o *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Modify changes an object, status included, until nobody else changed it
	// meanwhile.
	Modify(gvr schema.GroupVersionResource, namespace, name string, change func(*unstructured.Unstructured) error) error
	// Remove deletes an object at once, without grace. A UID that is not empty must
	// be the object's.
	Remove(gvr schema.GroupVersionResource, namespace, name, uid string) error
	// Changes becomes readable when a pod that matters to the node has changed.
	Changes(node string) (changed <-chan struct{}, end func())
}

const systemNamespace = "kube-system"

// The resources that a node's programs use.
var (
	resourceNodes       = corev1.SchemeGroupVersion.WithResource("nodes")
	resourcePods        = corev1.SchemeGroupVersion.WithResource("pods")
	resourceConfigMaps  = corev1.SchemeGroupVersion.WithResource("configmaps")
	resourceLeases      = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	resourceDeployments = appsv1.SchemeGroupVersion.WithResource("deployments")
	resourceDaemonSets  = appsv1.SchemeGroupVersion.WithResource("daemonsets")
)

// typed reads an object into its Go type.
func typed[T any](u *unstructured.Unstructured) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return out, nil
}

// untyped is the reverse. The object has its kind set.
func untyped(o any) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: content}, nil
}

func get[T any](api Objects, gvr schema.GroupVersionResource, namespace, name string) (*T, error) {
	u, err := api.Get(gvr, namespace, name)
	if err != nil {
		return nil, err
	}
	return typed[T](u)
}

func list[T any](api Objects, gvr schema.GroupVersionResource, namespace string, keep func(*unstructured.Unstructured) bool) ([]*T, error) {
	all, err := api.List(gvr, namespace)
	if err != nil {
		return nil, err
	}
	return selected[T](all, keep)
}

// selected reads those of the objects that are to be kept into their Go type.
func selected[T any](all []*unstructured.Unstructured, keep func(*unstructured.Unstructured) bool) ([]*T, error) {
	var out []*T
	for _, u := range all {
		if keep != nil && !keep(u) {
			continue
		}
		o, err := typed[T](u)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// modify changes an object through its Go type.
func modify[T any](api Objects, gvr schema.GroupVersionResource, namespace, name string, change func(*T)) error {
	return api.Modify(gvr, namespace, name, func(u *unstructured.Unstructured) error {
		o, err := typed[T](u)
		if err != nil {
			return err
		}
		change(o)
		changed, err := untyped(o)
		if err != nil {
			return err
		}
		apiVersion, kind := u.GetAPIVersion(), u.GetKind()
		u.Object = changed.Object
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		return nil
	})
}

// create makes an object from its Go type, which has its kind set.
func create(api Objects, gvr schema.GroupVersionResource, o any) error {
	u, err := untyped(o)
	if err != nil {
		return err
	}
	_, err = api.Create(gvr, u)
	return err
}

// absent is no error when the object is not there.
func absent(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
