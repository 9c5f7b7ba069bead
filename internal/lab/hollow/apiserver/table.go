package apiserver

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// history is how many changes a resource remembers for those who watch it.
const history = 1024

// table is all objects of one resource. It is guarded by its store.
type table struct {
	resource *resource
	records  map[string]*record // by key
	// log is the newest changes, oldest first; forgotten is the revision of the
	// newest one that is no longer there.
	log       []event
	forgotten int64
	grown     chan struct{} // closed, and made anew, when the log grows
	gone      bool          // nobody serves the resource any more
}

// record is an object at a revision. It never changes.
type record struct {
	object   *unstructured.Unstructured
	raw      []byte // the object as JSON
	revision int64

	once  sync.Once
	typed any // the object as its Go type: see typed.go
	err   error
}

// event is a change of an object.
type event struct {
	kind     watch.EventType
	revision int64
	old, now *record // old is nil when it was added; now of a deleted one is its last state
}

func newTable(r *resource, revision int64) *table {
	return &table{resource: r, records: map[string]*record{}, forgotten: revision, grown: make(chan struct{})}
}

func newRecord(o *unstructured.Unstructured, revision int64) (*record, error) {
	o.SetResourceVersion(fmt.Sprint(revision))
	raw, err := o.MarshalJSON()
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return &record{object: o, raw: raw[:len(raw)-1], revision: revision}, nil // it ends with a line break
}

func key(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func (r *record) key() string { return key(r.object.GetNamespace(), r.object.GetName()) }

func (t *table) get(namespace, name string) (*record, error) {
	r := t.records[key(namespace, name)]
	if r == nil {
		return nil, apierrors.NewNotFound(t.resource.GroupResource(), name)
	}
	return r, nil
}

// list gives the records of a namespace, or of all when it is empty, in etcd's
// order.
func (t *table) list(namespace string) []*record {
	out := make([]*record, 0, len(t.records))
	for _, r := range t.records {
		if namespace == "" || r.object.GetNamespace() == namespace {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *record) int { return cmp.Compare(a.key(), b.key()) })
	return out
}

// remember logs a change and wakes those who watch.
func (t *table) remember(e event) {
	if len(t.log) >= 2*history {
		drop := len(t.log) - history
		t.forgotten = t.log[drop-1].revision
		t.log = slices.Clone(t.log[drop:])
	}
	t.log = append(t.log, e)
	t.wake()
}

func (t *table) wake() {
	close(t.grown)
	t.grown = make(chan struct{})
}

// since gives the changes after a revision.
func (t *table) since(revision int64) ([]event, error) {
	if revision < t.forgotten {
		return nil, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", revision, t.forgotten))
	}
	first, _ := slices.BinarySearchFunc(t.log, revision+1, func(e event, r int64) int { return cmp.Compare(e.revision, r) })
	return t.log[first:len(t.log):len(t.log)], nil
}

// sorted gives the tables by group and name. The lock is held.
func (s *Store) sorted() []*table {
	out := make([]*table, 0, len(s.tables))
	for _, t := range s.tables {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *table) int {
		return cmp.Or(cmp.Compare(a.resource.Group, b.resource.Group), cmp.Compare(a.resource.Resource, b.resource.Resource))
	})
	return out
}
