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

// history is how many changes a resource remembers at least, for those who watch.
const history = 512

// table is all objects of one resource. It is guarded by its store.
type table struct {
	resource *resource
	records  map[string]*record // by key
	// order is the records by key, as etcd has them. It is made anew, never changed,
	// so that whoever lists may keep it.
	order []*record
	// log is the newest changes, oldest first; forgotten is the revision of the
	// newest one that is no longer there.
	log       []event
	forgotten int64
	grown     chan struct{} // closed, and made anew, when the log grows
	gone      bool          // nobody serves the resource any more
}

// record is an object at a revision. It never changes.
type record struct {
	key      string
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
	return &record{key: key(o.GetNamespace(), o.GetName()), object: o, raw: raw[:len(raw)-1], revision: revision}, nil // it ends with a line break
}

func key(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func (t *table) get(namespace, name string) (*record, error) {
	r := t.records[key(namespace, name)]
	if r == nil {
		return nil, apierrors.NewNotFound(t.resource.GroupResource(), name)
	}
	return r, nil
}

// list gives the records of a namespace, or of all when it is empty, by key. They
// are shared.
func (t *table) list(namespace string) []*record {
	if namespace == "" || !t.resource.namespaced {
		return t.order
	}
	from, _ := t.find(namespace + "/")
	to, _ := t.find(namespace + "0") // which is what comes after the slash
	return t.order[from:to:to]
}

// find gives where a key is, or would be.
func (t *table) find(key string) (int, bool) {
	return slices.BinarySearchFunc(t.order, key, func(r *record, key string) int { return cmp.Compare(r.key, key) })
}

func (t *table) put(r *record) {
	t.records[r.key] = r
	i, there := t.find(r.key)
	t.order = slices.Clone(t.order)
	if there {
		t.order[i] = r
	} else {
		t.order = slices.Insert(t.order, i, r)
	}
}

func (t *table) remove(key string) {
	delete(t.records, key)
	if i, there := t.find(key); there {
		t.order = slices.Delete(slices.Clone(t.order), i, i+1)
	}
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
