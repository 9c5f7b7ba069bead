package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

var definitionsResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// defined serves what a CustomResourceDefinition defines, and no longer serves it
// with its objects when the definition goes. The lock is held.
func (s *Store) defined(r *resource, kind watch.EventType, changed *record) {
	if r.GroupVersionResource != definitionsResource {
		return
	}
	defines := customResource(changed.object)
	if defines == nil {
		return
	}
	old := s.tables[defines.GroupResource()]
	switch {
	case kind == watch.Deleted && old != nil:
		s.abandon(old)
	case kind != watch.Deleted && old == nil:
		s.tables[defines.GroupResource()] = newTable(defines, s.revision)
	case kind != watch.Deleted:
		old.resource = defines
	}
}

// abandon takes a resource out of service. The lock is held.
func (s *Store) abandon(t *table) {
	for _, r := range t.list("") {
		o := r.object.DeepCopy()
		o.SetFinalizers(nil)
		_, _ = s.commit(t, watch.Deleted, r, o, false) // what was stored can be stored
	}
	delete(s.tables, t.resource.GroupResource())
	t.gone = true
	t.wake()
}

// customResource reads a definition; nil when it stores no version.
func customResource(o *unstructured.Unstructured) *resource {
	text := func(path ...string) string {
		value, _, _ := unstructured.NestedString(o.Object, path...) //nolint:errcheck // what is no text is none
		return value
	}
	group, plural := text("spec", "group"), text("spec", "names", "plural")
	r := &resource{
		kind: text("spec", "names", "kind"), namespaced: text("spec", "scope") == "Namespaced", counted: true, custom: true,
		folder: group + "/" + plural,
	}
	r.short, _, _ = unstructured.NestedStringSlice(o.Object, "spec", "names", "shortNames") //nolint:errcheck // what is no list is empty
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")                //nolint:errcheck // what is no list is empty
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok || version["storage"] != true {
			continue
		}
		name, _ := version["name"].(string) //nolint:errcheck // a version without a name is none
		r.GroupVersionResource = schema.GroupVersionResource{Group: group, Version: name, Resource: plural}
		_, r.status, _ = unstructured.NestedMap(version, "subresources", "status") //nolint:errcheck // what is no object is none
		return r
	}
	return nil
}

// establish fills in a definition as the server's controllers do. It may be used
// at once.
func establish(o *unstructured.Unstructured) {
	names, _, _ := unstructured.NestedMap(o.Object, "spec", "names") //nolint:errcheck // what is no object is empty
	if names == nil {
		names = map[string]any{}
	}
	kind, _ := names["kind"].(string) //nolint:errcheck // what is no text is none
	if names["singular"] == nil {
		names["singular"] = strings.ToLower(kind)
	}
	if names["listKind"] == nil {
		names["listKind"] = kind + "List"
	}
	set := func(value any, path ...string) {
		_ = unstructured.SetNestedField(o.Object, value, path...) // where the path is no object, the definition defines nothing
	}
	set(names, "spec", "names")
	if _, there, _ := unstructured.NestedMap(o.Object, "spec", "conversion"); !there { //nolint:errcheck // as above
		set(map[string]any{"strategy": "None"}, "spec", "conversion")
	}
	if _, there := o.Object["status"]; there {
		return
	}
	condition := func(kind, reason, message string) map[string]any {
		return map[string]any{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now()}
	}
	var stored []any
	if r := customResource(o); r != nil {
		stored = append(stored, r.Version)
	}
	set(names, "status", "acceptedNames")
	set(stored, "status", "storedVersions")
	set([]any{
		condition("NamesAccepted", "NoConflicts", "no conflicts found"),
		condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
	}, "status", "conditions")
}
