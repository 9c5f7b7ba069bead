package apiserver

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher follows what happens to the objects of a selection.
type watcher struct {
	store *Store
	table *table
	want  selector
	after int64 // everything up to this revision was seen
}

// notice is what a watcher tells of one object.
type notice struct {
	kind watch.EventType
	raw  []byte
}

// current gives the present objects as if they had just been added, and a watcher
// of what comes after.
func (s *Store) current(gvr schema.GroupVersionResource, want selector) ([]notice, *watcher, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, nil, err
	}
	var out []notice
	for _, r := range want.choose(t.list(want.namespace)) {
		out = append(out, notice{watch.Added, r.raw})
	}
	return out, &watcher{s, t, want, s.revision}, nil
}

// from gives a watcher of what comes after a revision.
func (s *Store) from(gvr schema.GroupVersionResource, want selector, revision int64) (*watcher, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, err
	}
	if _, err := t.since(revision); err != nil {
		return nil, err
	}
	return &watcher{s, t, want, revision}, nil
}

// next gives what has happened since the last call. When that is nothing, more
// is closed as soon as it is worth asking again.
func (w *watcher) next() (news []notice, more <-chan struct{}, err error) {
	w.store.mu.RLock()
	defer w.store.mu.RUnlock()
	if w.table.gone {
		return nil, nil, apierrors.NewResourceExpired("the resource is no longer served as it was")
	}
	events, err := w.table.since(w.after)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range events {
		if n, ok := w.notice(e); ok {
			news = append(news, n)
		}
	}
	w.after = max(w.after, w.store.revision)
	return news, w.table.grown, nil
}

// notice is what an event is for those who want a selection: an object that
// comes to match it was added for them.
func (w *watcher) notice(e event) (notice, bool) {
	before, after := w.want.matches(e.old), e.kind != watch.Deleted && w.want.matches(e.now)
	switch {
	case before && after:
		return notice{watch.Modified, e.now.raw}, true
	case after:
		return notice{watch.Added, e.now.raw}, true
	case before:
		return notice{watch.Deleted, e.now.raw}, true
	}
	return notice{}, false
}
