package roundtrip

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// Check compares what an API server of before serves with what one of now does.
type Check struct{ before, now *api }

// New reads both sides; the error names the document that is no schema.
func New(before, now cluster.API) (*Check, error) {
	b, err := readAPI(before)
	if err != nil {
		return nil, err
	}
	n, err := readAPI(now)
	if err != nil {
		return nil, err
	}
	return &Check{b, n}, nil
}

// Reading is one resource to look through, in a version that both sides serve if
// there is one.
type Reading struct {
	Resource cluster.APIResource
	// Why is what happens to every object of the resource, whatever is in it; empty:
	// objects are judged one by one.
	Why string
	// Unread: they cannot be judged.
	Unread bool
}

// Readings are the resources of now that can have objects which the API server of
// before answers for, by group and name. Custom resources are judged by their
// definition, which stays.
func (c *Check) Readings() []Reading {
	var out []Reading
	for key, served := range c.now.served {
		if slices.ContainsFunc(served, func(r cluster.APIResource) bool { return r.Custom || !r.Listable }) {
			continue
		}
		out = append(out, c.reading(key, served))
	}
	slices.SortFunc(out, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(a.Resource.Group, b.Resource.Group), cmp.Compare(a.Resource.Name, b.Resource.Name))
	})
	return out
}

func (c *Check) reading(key resource, served []cluster.APIResource) Reading {
	older := c.before.served[key]
	for _, r := range served {
		at := slices.IndexFunc(older, func(o cluster.APIResource) bool { return o.Version == r.Version && o.Kind == r.Kind })
		if at < 0 {
			continue
		}
		if c.before.root(r).node == nil {
			return Reading{Resource: r, Unread: true, Why: fmt.Sprintf("the schema of %s in %s was not recorded", r.APIVersion(), c.before.version)}
		}
		return Reading{Resource: r}
	}
	r := served[0]
	if len(older) == 0 {
		return Reading{Resource: r, Why: fmt.Sprintf("%s does not serve %s: nobody sees it until the cluster is upgraded again", c.before.version, r.Called())}
	}
	return Reading{Resource: r, Why: fmt.Sprintf("%s serves %s as %s only", c.before.version, r.Called(), older[0].APIVersion())}
}

// Object gives what an object, as its reading's version has it, loses: paths of
// fields with what happens to them, in order; none when it comes back as it is. Values
// are never quoted: they may be secrets.
func (c *Check) Object(r cluster.APIResource, object map[string]any) []string {
	w := &walk{before: c.before.version}
	older, newer := c.before.root(r).resolve(), c.now.root(r).resolve()
	if older.node == nil || older.keepsAll() { // a reading without schema is unread
		return nil
	}
	for _, name := range sorted(object) {
		if name == "status" || name == "apiVersion" || name == "kind" {
			continue
		}
		w.field("", name, object[name], older, newer)
	}
	return w.lost
}

// walk goes through one object with both schemas side by side.
type walk struct {
	before cluster.Version
	lost   []string
}

// field judges one field of a struct, or one entry of a map.
func (w *walk) field(at, name string, value any, older, newer view) {
	path := join(at, name, older, newer)
	if path == "metadata.managedFields" {
		return
	}
	child, known := older.property(name)
	now, _ := newer.property(name)
	if known {
		w.value(path, value, child, now)
		return
	}
	if !zero(value) && !reflect.DeepEqual(value, now.defaultOf()) {
		w.lost = append(w.lost, path)
	}
}

func (w *walk) value(path string, value any, older, newer view) {
	older, newer = older.resolve().nested(), newer.resolve().nested()
	switch {
	case older.node == nil:
		w.lost = append(w.lost, path+" (the schema of "+w.before.String()+" does not say what it is)")
		return
	case older.keepsAll():
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range sorted(v) {
			w.field(path, name, v[name], older, newer)
		}
	case []any:
		for i, item := range v {
			// A type that may be one or many says nothing of its items.
			in, now := older.items(), newer.items()
			if older.Items == nil {
				in, now = older, newer
			}
			w.value(fmt.Sprintf("%s[%d]", path, i), item, in, now)
		}
	default:
		w.scalar(path, value, older, newer)
	}
}

// scalar judges values of which there is a list. Some lists are not complete: a value
// that the newer server does not list either says nothing.
func (w *walk) scalar(path string, value any, older, newer view) {
	if len(older.Enum) == 0 || zero(value) || contains(older.Enum, value) || newer.node == nil || !contains(newer.Enum, value) {
		return
	}
	w.lost = append(w.lost, path+" (its value is none that "+w.before.String()+" takes)")
}

func contains(list []any, value any) bool {
	return slices.ContainsFunc(list, func(v any) bool { return reflect.DeepEqual(v, value) })
}

// zero tells of what those who know the field do not write. An object without fields
// is not: to be there may be all it says.
func zero(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return false
	case []any:
		return len(v) == 0
	}
	return reflect.ValueOf(value).IsZero()
}

// join names a field as people do: a map's keys stand in brackets.
func join(at, name string, older, newer view) string {
	for _, v := range []view{older, newer} {
		if v.node != nil && v.Additional != nil && v.Properties[name] == nil {
			return at + "[" + name + "]"
		}
	}
	return strings.TrimPrefix(at+"."+name, ".")
}

func sorted(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
