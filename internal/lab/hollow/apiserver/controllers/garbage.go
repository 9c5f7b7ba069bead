package controllers

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// collectGarbage deletes what no owner needs any more, and the pods of nodes that
// are no more.
func (c *controllers) collectGarbage() error {
	all := c.store.All()
	there, dependants := map[types.UID]bool{}, map[types.UID][]*unstructured.Unstructured{}
	var have []*unstructured.Unstructured // those with owners
	for _, o := range all {
		there[o.GetUID()] = true
		owners := o.GetOwnerReferences()
		for _, owner := range owners {
			dependants[owner.UID] = append(dependants[owner.UID], o)
		}
		if len(owners) > 0 {
			have = append(have, o)
		}
	}
	for _, o := range have {
		if o.GetDeletionTimestamp() != nil || slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return there[r.UID] }) {
			continue
		}
		if err := c.discard(o, metav1.DeletePropagationBackground); err != nil {
			return err
		}
	}
	for _, o := range all {
		if o.GetDeletionTimestamp() == nil {
			continue
		}
		if err := c.finalize(o, dependants[o.GetUID()]); err != nil {
			return err
		}
	}
	return c.collectPods()
}

// discard deletes an object of any kind, if it is still that one.
func (c *controllers) discard(o *unstructured.Unstructured, policy metav1.DeletionPropagation) error {
	gvr, err := c.store.ResourceOf(o.GroupVersionKind())
	if err != nil {
		return err
	}
	return absent(c.store.Delete(gvr, o.GetNamespace(), o.GetName(), metav1.DeleteOptions{
		Preconditions: metav1.NewUIDPreconditions(string(o.GetUID())), PropagationPolicy: &policy,
	}))
}

// finalize does what the finalizers for dependants say, and takes them away when
// it is done.
func (c *controllers) finalize(o *unstructured.Unstructured, dependants []*unstructured.Unstructured) error {
	switch {
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents):
		for _, d := range dependants {
			if d.GetDeletionTimestamp() == nil {
				if err := c.discard(d, metav1.DeletePropagationForeground); err != nil {
					return err
				}
			}
		}
		if len(dependants) > 0 {
			return nil
		}
		return c.modify(o, func(o *unstructured.Unstructured) { dropFinalizer(o, metav1.FinalizerDeleteDependents) })
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents):
		for _, d := range dependants {
			if err := c.modify(d, func(d *unstructured.Unstructured) { disown(d, o.GetUID()) }); err != nil {
				return err
			}
		}
		return c.modify(o, func(o *unstructured.Unstructured) { dropFinalizer(o, metav1.FinalizerOrphanDependents) })
	}
	return nil
}

func (c *controllers) modify(o *unstructured.Unstructured, change func(*unstructured.Unstructured)) error {
	gvr, err := c.store.ResourceOf(o.GroupVersionKind())
	if err != nil {
		return err
	}
	return absent(c.store.Modify(gvr, o.GetNamespace(), o.GetName(), func(now *unstructured.Unstructured) error {
		if now.GetUID() != o.GetUID() {
			return apiserver.ErrUnchanged
		}
		change(now)
		return nil
	}))
}

func dropFinalizer(o *unstructured.Unstructured, name string) {
	o.SetFinalizers(slices.DeleteFunc(o.GetFinalizers(), func(f string) bool { return f == name }))
}

func disown(o *unstructured.Unstructured, owner types.UID) {
	o.SetOwnerReferences(slices.DeleteFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == owner }))
}

// collectPods removes the pods of nodes that are no more: nobody else ends them.
func (c *controllers) collectPods() error {
	known := map[string]bool{"": true}
	all, err := apiserver.Typed[corev1.Node](c.store, nodes, "")
	if err != nil {
		return err
	}
	for _, n := range all {
		known[n.Name] = true
	}
	theirs, err := apiserver.Typed[corev1.Pod](c.store, pods, "")
	if err != nil {
		return err
	}
	for _, p := range theirs {
		if known[p.Spec.NodeName] {
			continue
		}
		if err := absent(c.store.Remove(pods, p.Namespace, p.Name, string(p.UID))); err != nil {
			return err
		}
	}
	return nil
}

// endNamespaces empties the namespaces that are to go, and lets them go.
func (c *controllers) endNamespaces() error {
	all, err := apiserver.Typed[corev1.Namespace](c.store, namespaces, "")
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.DeletionTimestamp == nil {
			continue
		}
		empty := true
		for _, o := range c.store.All() {
			if o.GetNamespace() != n.Name {
				continue
			}
			empty = false
			if o.GetDeletionTimestamp() == nil {
				if err := c.discard(o, metav1.DeletePropagationBackground); err != nil {
					return err
				}
			}
		}
		if !empty {
			continue
		}
		if err := absent(apiserver.Modify(c.store, namespaces, "", n.Name, func(o *corev1.Namespace) error {
			o.Spec.Finalizers = nil
			return nil
		})); err != nil {
			return err
		}
	}
	return nil
}
