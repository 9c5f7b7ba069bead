package apiserver

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// As reads an object into its Go type.
func As[T any](u *unstructured.Unstructured) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s %s: %w", u.GetKind(), key(u.GetNamespace(), u.GetName()), err))
	}
	return out, nil
}

// Typed gives the objects of a namespace, of all when it is empty, by name, as
// their Go type, and costs next to nothing. They are shared and must not be
// changed.
func Typed[T any](s *Store, gvr schema.GroupVersionResource, namespace string) ([]*T, error) {
	records, _, err := s.list(gvr, namespace)
	if err != nil {
		return nil, err
	}
	out := make([]*T, len(records))
	for i, r := range records {
		if out[i], err = typedRecord[T](r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Create makes an object of a Go type.
func Create[T any](s *Store, gvr schema.GroupVersionResource, o *T) (*T, error) {
	u, err := untyped(o, schema.GroupVersionKind{})
	if err != nil {
		return nil, err
	}
	u.SetGroupVersionKind(schema.GroupVersionKind{}) // the resource says it
	stored, err := s.Create(gvr, u)
	if err != nil {
		return nil, err
	}
	return As[T](stored)
}

// Modify is [Store.Modify] through the object's Go type.
func Modify[T any](s *Store, gvr schema.GroupVersionResource, namespace, name string, change func(*T) error) error {
	return s.Modify(gvr, namespace, name, func(u *unstructured.Unstructured) error {
		o, err := As[T](u)
		if err != nil {
			return err
		}
		if err := change(o); err != nil {
			return err
		}
		changed, err := untyped(o, u.GroupVersionKind())
		if err != nil {
			return err
		}
		u.Object = changed.Object
		return nil
	})
}

// typedRecord reads a record once into its Go type.
func typedRecord[T any](r *record) (*T, error) {
	r.once.Do(func() { r.typed, r.err = As[T](r.object) })
	if r.err != nil {
		return nil, r.err
	}
	if o, ok := r.typed.(*T); ok {
		return o, nil
	}
	return As[T](r.object) // another type than the one that is kept
}

// untyped is the reverse of [As]; it sets the kind.
func untyped(o any, gvk schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	return u, nil
}
