package apiserver

import (
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Store holds all objects of a cluster. It is safe for concurrent use. Errors are
// those of the Kubernetes API. Whoever is in the same process calls it directly,
// and is trusted more than a client: status may be given along with the rest.
type Store struct {
	mu       sync.RWMutex // guards what follows
	revision int64        // of the last change, whatever it was to
	tables   map[schema.GroupResource]*table
	pages    pages
	mirror   func(key string, value []byte)
	watchers map[*subscription]bool
}

// NewStore makes a store that knows the built-in resources, with the namespaces
// that an API server makes itself.
func NewStore() *Store {
	s := &Store{tables: map[schema.GroupResource]*table{}, watchers: map[*subscription]bool{}}
	for _, r := range builtins() {
		s.tables[r.GroupResource()] = newTable(r, 0)
	}
	for _, name := range []string{"default", "kube-node-lease", "kube-public", "kube-system"} {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		o.SetName(name)
		if _, err := s.Create(namespaces, o); err != nil {
			panic(err) // the store is empty
		}
	}
	return s
}

var (
	namespaces = corev1.SchemeGroupVersion.WithResource("namespaces")
	pods       = corev1.SchemeGroupVersion.WithResource("pods")
)

// Mirror has every change told to a function, in their order, after it was told
// all that is there: the key that the object has in etcd and the object as JSON,
// nil when it was deleted. The function must neither block nor use the store.
func (s *Store) Mirror(write func(key string, value []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mirror = write
	for _, t := range s.tables {
		for _, r := range t.records {
			write(t.resource.key(r.object.GetNamespace(), r.object.GetName()), r.raw)
		}
	}
}

// Revision is that of the last change.
func (s *Store) Revision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Get gives an object, which is the caller's to change.
func (s *Store) Get(gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	r, err := s.get(gvr, namespace, name)
	if err != nil {
		return nil, err
	}
	return r.object.DeepCopy(), nil
}

// List gives the objects of a namespace, of all when it is empty, by name; they are
// shared and must not be changed.
func (s *Store) List(gvr schema.GroupVersionResource, namespace string) ([]*unstructured.Unstructured, error) {
	records, _, err := s.list(gvr, namespace)
	if err != nil {
		return nil, err
	}
	out := make([]*unstructured.Unstructured, len(records))
	for i, r := range records {
		out[i] = r.object
	}
	return out, nil
}

// All gives every object there is, by resource and name; they are shared and must
// not be changed.
func (s *Store) All() []*unstructured.Unstructured {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*unstructured.Unstructured
	for _, t := range s.sorted() {
		for _, r := range t.list("") {
			out = append(out, r.object)
		}
	}
	return out
}

// Create makes an object and gives it as it was stored. A name that is only
// generated is taken from generateName.
func (s *Store) Create(gvr schema.GroupVersionResource, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, err
	}
	r, err := s.create(t, o, writing{trusted: true})
	if err != nil {
		return nil, err
	}
	return r.object.DeepCopy(), nil
}

// Update replaces an object, status included, and gives it as it was stored. A
// resource version that is not empty must be the present one.
func (s *Store) Update(gvr schema.GroupVersionResource, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, err
	}
	r, err := s.change(t, o.GetNamespace(), o.GetName(), writing{trusted: true}, func(*unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return plain(o)
	})
	if err != nil {
		return nil, err
	}
	return r.object.DeepCopy(), nil
}

// ErrUnchanged is what the function given to Modify returns to leave the object
// as it is; Modify then returns nil.
var ErrUnchanged = errors.New("unchanged")

// Modify changes an object, status included. The function gets a copy to change,
// while nobody else can change the object: it must not use the store. When it
// changes nothing, the object keeps its resource version.
func (s *Store) Modify(gvr schema.GroupVersionResource, namespace, name string, change func(*unstructured.Unstructured) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(gvr)
	if err != nil {
		return err
	}
	_, err = s.change(t, namespace, name, writing{trusted: true}, func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		changed := old.DeepCopy()
		return changed, change(changed)
	})
	if errors.Is(err, ErrUnchanged) {
		return nil
	}
	return err
}

// table gives the table of a resource that is served.
func (s *Store) table(gvr schema.GroupVersionResource) (*table, error) {
	t := s.tables[gvr.GroupResource()]
	if t == nil || t.resource.Version != gvr.Version {
		return nil, errNoResource()
	}
	return t, nil
}

// errNoResource is what the real server says of a path that it does not serve.
func errNoResource() error {
	e := apierrors.NewGenericServerResponse(404, "", schema.GroupResource{}, "", "", 0, false)
	e.ErrStatus.Message, e.ErrStatus.Details = "the server could not find the requested resource", nil
	return e
}

func (s *Store) get(gvr schema.GroupVersionResource, namespace, name string) (*record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, err
	}
	return t.get(namespace, name)
}

// list gives the records of a namespace, or of all, and the revision they are of.
func (s *Store) list(gvr schema.GroupVersionResource, namespace string) ([]*record, int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, 0, err
	}
	return t.list(namespace), s.revision, nil
}

// now is the servers' clock, to the second as objects have it.
func now() string { return time.Now().UTC().Format(time.RFC3339) }

// ResourceOf gives the resource that has the objects of a kind.
func (s *Store) ResourceOf(kind schema.GroupVersionKind) (schema.GroupVersionResource, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tables {
		if t.resource.gvk() == kind {
			return t.resource.GroupVersionResource, nil
		}
	}
	return schema.GroupVersionResource{}, errNoResource()
}
