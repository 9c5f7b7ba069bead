package apiserver

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// subscription is somebody who wants to know that something changed, not what.
type subscription struct {
	wanted  func(r *resource, old, now *record) bool
	changed chan struct{}
}

// Subscribe gives a channel that becomes readable when an object of one of the
// resources changes; many changes may make it readable once. The function ends it.
func (s *Store) Subscribe(gvrs ...schema.GroupVersionResource) (changed <-chan struct{}, end func()) {
	return s.subscribe(func(r *resource, _, _ *record) bool { return slices.Contains(gvrs, r.GroupVersionResource) })
}

// Changes is Subscribe for the pods of one node.
func (s *Store) Changes(node string) (changed <-chan struct{}, end func()) {
	on := func(r *record) bool { return r != nil && nodeOf(r.object) == node }
	return s.subscribe(func(r *resource, old, now *record) bool {
		return r.GroupVersionResource == pods && (on(old) || on(now))
	})
}

func nodeOf(pod *unstructured.Unstructured) string {
	node, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName") //nolint:errcheck // what is no text is none
	return node
}

func (s *Store) subscribe(wanted func(*resource, *record, *record) bool) (<-chan struct{}, func()) {
	sub := &subscription{wanted: wanted, changed: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[sub] = true
	return sub.changed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, sub)
	}
}

// tell wakes the subscribers of a change. The lock is held.
func (s *Store) tell(r *resource, old, now *record) {
	for sub := range s.watchers {
		if sub.wanted(r, old, now) {
			sub.wake()
		}
	}
}

func (s *subscription) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // it has one to come for already
	}
}
