package apiserver

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Delete deletes an object as a client does: a pod on a node ends with grace,
// finalizers hold an object back.
func (s *Store) Delete(gvr schema.GroupVersionResource, namespace, name string, o metav1.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(gvr)
	if err != nil {
		return err
	}
	_, _, err = s.delete(t, namespace, name, o)
	return err
}

// Remove deletes an object at once, without grace, as the kubelet does with a pod
// that has ended. A uid that is not empty must be the object's.
func (s *Store) Remove(gvr schema.GroupVersionResource, namespace, name, uid string) error {
	o := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	if uid != "" {
		o.Preconditions = metav1.NewUIDPreconditions(uid)
	}
	return s.Delete(gvr, namespace, name, o)
}

// delete begins or completes a deletion; gone tells which. The lock is held.
func (s *Store) delete(t *table, namespace, name string, d metav1.DeleteOptions) (r *record, gone bool, err error) {
	old, err := t.get(namespace, name)
	if err != nil {
		return nil, false, err
	}
	if err := checkPreconditions(t.resource, old.object, d.Preconditions); err != nil {
		return nil, false, err
	}
	o := old.object.DeepCopy()
	if t.resource.GroupResource() == pods.GroupResource() {
		endPod(o, d.GracePeriodSeconds)
	} else {
		endObject(t.resource, o, d.PropagationPolicy)
	}
	dry := len(d.DryRun) > 0
	if ended(t.resource, o) {
		r, err = s.commit(t, watch.Deleted, old, o, dry)
		return r, true, err
	}
	if same(old.object, o) {
		return old, false, nil
	}
	if t.resource.counted && old.object.GetDeletionTimestamp() == nil {
		o.SetGeneration(o.GetGeneration() + 1)
	}
	r, err = s.commit(t, watch.Modified, old, o, dry)
	return r, false, err
}

func checkPreconditions(r *resource, o *unstructured.Unstructured, p *metav1.Preconditions) error {
	switch {
	case p == nil:
	case p.UID != nil && *p.UID != o.GetUID():
		return apierrors.NewConflict(r.GroupResource(), o.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, o.GetUID())) //nolint:staticcheck,revive // as the real one says it
	case p.ResourceVersion != nil && *p.ResourceVersion != o.GetResourceVersion():
		return apierrors.NewConflict(r.GroupResource(), o.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, o.GetResourceVersion())) //nolint:staticcheck,revive // as the real one says it
	}
	return nil
}

// endPod marks a pod as ending. Grace can only become shorter.
func endPod(o *unstructured.Unstructured, wanted *int64) {
	grace := podGrace(o, wanted)
	at := time.Now()
	if ending := o.GetDeletionTimestamp(); ending != nil {
		before := deref(o.GetDeletionGracePeriodSeconds())
		if grace >= before {
			return
		}
		at = ending.Add(-time.Duration(before) * time.Second)
	}
	o.SetDeletionTimestamp(&metav1.Time{Time: at.Add(time.Duration(grace) * time.Second)})
	o.SetDeletionGracePeriodSeconds(&grace)
}

// podGrace is how long the kubelet may take: no time at all where there is
// nothing to end.
func podGrace(o *unstructured.Unstructured, wanted *int64) int64 {
	text := func(path ...string) string {
		value, _, _ := unstructured.NestedString(o.Object, path...) //nolint:errcheck // what is no text is none
		return value
	}
	phase := corev1.PodPhase(text("status", "phase"))
	switch {
	case text("spec", "nodeName") == "", phase == corev1.PodSucceeded, phase == corev1.PodFailed:
		return 0
	case wanted != nil:
		return max(*wanted, 0)
	}
	grace, found, err := unstructured.NestedInt64(o.Object, "spec", "terminationGracePeriodSeconds")
	if err != nil || !found {
		return corev1.DefaultTerminationGracePeriodSeconds
	}
	return grace
}

// endObject marks an object as deleted, with the finalizers that its dependants
// ask for.
func endObject(r *resource, o *unstructured.Unstructured, policy *metav1.DeletionPropagation) {
	finalizers := slices.DeleteFunc(slices.Clone(o.GetFinalizers()), func(f string) bool {
		return policy != nil && (f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents)
	})
	switch {
	case policy == nil:
	case *policy == metav1.DeletePropagationForeground:
		finalizers = append(finalizers, metav1.FinalizerDeleteDependents)
	case *policy == metav1.DeletePropagationOrphan:
		finalizers = append(finalizers, metav1.FinalizerOrphanDependents)
	}
	if !slices.Equal(finalizers, o.GetFinalizers()) {
		o.SetFinalizers(finalizers)
	}
	if o.GetDeletionTimestamp() != nil {
		return
	}
	o.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
	o.SetDeletionGracePeriodSeconds(new(int64))
	if r.GroupResource() == namespaces.GroupResource() {
		_ = unstructured.SetNestedField(o.Object, string(corev1.NamespaceTerminating), "status", "phase") // its status is an object: see prepare
	}
}

// ended tells that nothing holds a deleted object any more.
func ended(r *resource, o *unstructured.Unstructured) bool {
	if o.GetDeletionTimestamp() == nil || len(o.GetFinalizers()) > 0 || deref(o.GetDeletionGracePeriodSeconds()) > 0 {
		return false
	}
	if r.GroupResource() == namespaces.GroupResource() {
		held, _, _ := unstructured.NestedSlice(o.Object, "spec", "finalizers") //nolint:errcheck // what is no list holds nothing
		return len(held) == 0
	}
	return true
}

// addCause adds a cause to a refusal.
func addCause(e *apierrors.StatusError, kind metav1.CauseType, message, field string) {
	if e.ErrStatus.Details == nil {
		e.ErrStatus.Details = &metav1.StatusDetails{}
	}
	e.ErrStatus.Details.Causes = append(e.ErrStatus.Details.Causes, metav1.StatusCause{Type: kind, Message: message, Field: field})
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
