package apiserver

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
)

// writing says how something is written.
type writing struct {
	// trusted: the writer sets status and the rest at once, and knows what is valid.
	trusted bool
	// status: only what the subresource of that name may change.
	status bool
	dry    bool
	author author
}

// create makes an object. The store's lock is held.
func (s *Store) create(t *table, given *unstructured.Unstructured, w writing) (*record, error) {
	o, err := plain(given)
	if err != nil {
		return nil, err
	}
	if err := s.identify(t, o); err != nil {
		return nil, err
	}
	for _, field := range []string{"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	if t.resource.status && !w.trusted && t.resource.Resource != "nodes" {
		delete(o.Object, "status")
	}
	o.SetUID(uuid.NewUUID())
	unstructured.RemoveNestedField(o.Object, "metadata", "generation")
	if t.resource.counted {
		o.SetGeneration(1)
	}
	if err := s.prepare(t.resource, o, true); err != nil {
		return nil, err
	}
	setCreated(o)
	w.author.sign(o)
	return s.commit(t, watch.Added, nil, o, w.dry)
}

// plain is a copy that has numbers as they are read from JSON: what was read from
// YAML, or written by hand, may have others.
func plain(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(o.Object)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	out := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &out.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return out, nil
}

func setCreated(o *unstructured.Unstructured) {
	_ = unstructured.SetNestedField(o.Object, now(), "metadata", "creationTimestamp") // metadata is there: the object has a name
}

// identify settles kind, namespace and name of a new object. The lock is held.
func (s *Store) identify(t *table, o *unstructured.Unstructured) error {
	r := t.resource
	if err := checkKind(r, o); err != nil {
		return err
	}
	if o.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if r.namespaced && o.GetNamespace() == "" {
		return apierrors.NewBadRequest(r.kind + ": an empty namespace may not be set during creation")
	}
	if !r.namespaced {
		o.SetNamespace("")
	}
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(s.generate(t, o))
	}
	if err := checkName(r, o.GetName()); err != nil {
		return err
	}
	if err := s.checkNamespace(r, o); err != nil {
		return err
	}
	if t.records[key(o.GetNamespace(), o.GetName())] != nil {
		return apierrors.NewAlreadyExists(r.GroupResource(), o.GetName())
	}
	return nil
}

// generate finds a name that is free.
func (s *Store) generate(t *table, o *unstructured.Unstructured) string {
	const letters, most = 5, 58
	base := o.GetGenerateName()
	if len(base) > most {
		base = base[:most]
	}
	for {
		if name := base + rand.String(letters); t.records[key(o.GetNamespace(), name)] == nil {
			return name
		}
	}
}

func checkKind(r *resource, o *unstructured.Unstructured) error {
	if o.Object == nil {
		o.Object = map[string]any{}
	}
	if m, there := o.Object["metadata"]; there {
		if _, ok := m.(map[string]any); !ok {
			return apierrors.NewBadRequest("the object provided is unrecognized: metadata is no object")
		}
	}
	if version, kind := o.GetAPIVersion(), o.GetKind(); version == "" && kind == "" {
		o.SetGroupVersionKind(r.gvk())
	} else if o.GroupVersionKind() != r.gvk() {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %s %s", r.kind, version, kind))
	}
	return nil
}

func checkName(r *resource, name string) error {
	at := field.NewPath("metadata", "name")
	if name == "" {
		return apierrors.NewInvalid(r.gvk().GroupKind(), name, field.ErrorList{field.Required(at, "name or generateName is required")})
	}
	check := validation.NameIsDNSSubdomain
	switch {
	case r.Group == "rbac.authorization.k8s.io":
		check = pathSegment
	case r.Resource == "namespaces" || r.Resource == "services":
		check = validation.NameIsDNSLabel
	}
	if wrong := check(name, false); len(wrong) > 0 {
		return apierrors.NewInvalid(r.gvk().GroupKind(), name, field.ErrorList{field.Invalid(at, name, wrong[0])})
	}
	return nil
}

// pathSegment is what the names of roles need to be: "system:node" is one.
func pathSegment(name string, _ bool) []string {
	if name == "." || name == ".." || strings.ContainsAny(name, "/%") {
		return []string{"may not be '.' or '..', nor contain '/' or '%'"}
	}
	return nil
}

// checkNamespace refuses objects in a namespace that is not there or is going.
func (s *Store) checkNamespace(r *resource, o *unstructured.Unstructured) error {
	if !r.namespaced {
		return nil
	}
	n, err := s.tables[namespaces.GroupResource()].get("", o.GetNamespace())
	if err != nil {
		return err
	}
	if n.object.GetDeletionTimestamp() == nil {
		return nil
	}
	refused := apierrors.NewForbidden(r.GroupResource(), o.GetName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", o.GetNamespace()))
	addCause(refused, "NamespaceTerminating", "namespace "+o.GetNamespace()+" is being terminated", "metadata.namespace")
	return refused
}

// change replaces an object by what the function makes of it. The function must
// not change what it is given. The lock is held.
func (s *Store) change(t *table, namespace, name string, w writing, make func(*unstructured.Unstructured) (*unstructured.Unstructured, error)) (*record, error) {
	old, err := t.get(namespace, name)
	if err != nil {
		return nil, err
	}
	o, err := make(old.object)
	if err != nil {
		return nil, err
	}
	if err := s.reconcile(t.resource, old.object, o, w); err != nil {
		return nil, err
	}
	if same(old.object, o) {
		return old, nil
	}
	if t.resource.counted && wantsOther(old.object, o) {
		o.SetGeneration(old.object.GetGeneration() + 1)
	}
	w.author.sign(o)
	if ended(t.resource, o) {
		return s.commit(t, watch.Deleted, old, o, w.dry)
	}
	return s.commit(t, watch.Modified, old, o, w.dry)
}

// reconcile brings a changed object into the shape in which it may be stored:
// what cannot be changed is as before.
func (s *Store) reconcile(r *resource, old, o *unstructured.Unstructured, w writing) error {
	if err := checkKind(r, o); err != nil {
		return err
	}
	if v := o.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return apierrors.NewConflict(r.GroupResource(), old.GetName(), errStale)
	}
	if uid := o.GetUID(); uid != "" && uid != old.GetUID() {
		return apierrors.NewConflict(r.GroupResource(), old.GetName(), fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, old.GetUID())) //nolint:staticcheck,revive // as the real one says it
	}
	if o.GetName() != "" && o.GetName() != old.GetName() {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", o.GetName(), old.GetName()))
	}
	o.SetName(old.GetName())
	o.SetNamespace(old.GetNamespace())
	switch {
	case w.trusted:
	case w.status:
		for field := range old.Object {
			if field != "status" && field != "metadata" {
				o.Object[field] = old.Object[field]
			}
		}
	case r.status:
		if status, there := old.Object["status"]; there {
			o.Object["status"] = status
		} else {
			delete(o.Object, "status")
		}
	}
	if !w.trusted {
		if err := s.prepare(r, o, false); err != nil {
			return err
		}
	}
	keepMetadata(old, o)
	return nil
}

var errStale = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// keepMetadata has what the server alone decides as it was.
func keepMetadata(old, o *unstructured.Unstructured) {
	before, _ := old.Object["metadata"].(map[string]any) //nolint:errcheck // every stored object has metadata
	after, _ := o.Object["metadata"].(map[string]any)    //nolint:errcheck // it has a name
	for _, field := range []string{
		"namespace", "name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
		"deletionGracePeriodSeconds", "generateName", "managedFields",
	} {
		if value, there := before[field]; there {
			after[field] = value
		} else {
			delete(after, field)
		}
	}
}

func same(old, o *unstructured.Unstructured) bool { return reflect.DeepEqual(old.Object, o.Object) }

// wantsOther tells whether what is wanted differs, and not only what is.
func wantsOther(old, o *unstructured.Unstructured) bool {
	for _, pair := range [][2]map[string]any{{old.Object, o.Object}, {o.Object, old.Object}} {
		for field, value := range pair[0] {
			if field != "metadata" && field != "status" && !reflect.DeepEqual(value, pair[1][field]) {
				return true
			}
		}
	}
	return false
}

// commit stores a change of any kind, tells everybody, and gives what is stored.
// A dry one is only computed. The lock is held.
func (s *Store) commit(t *table, kind watch.EventType, old *record, o *unstructured.Unstructured, dry bool) (*record, error) {
	r, err := newRecord(o, s.revision+1)
	if err != nil || dry {
		return r, err
	}
	s.revision++
	value := r.raw
	if kind == watch.Deleted {
		value = nil
		t.remove(r.key)
	} else {
		t.put(r)
	}
	t.remember(event{kind: kind, revision: r.revision, old: old, now: r})
	if s.mirror != nil {
		s.mirror(t.resource.key(o.GetNamespace(), o.GetName()), value)
	}
	s.tell(t.resource, old, r)
	s.defined(t.resource, kind, r)
	return r, nil
}
