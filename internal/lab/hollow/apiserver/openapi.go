package apiserver

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// young are fields that came with a minor: older servers' schemas lack them. The Go
// types have them all.
var young = []struct {
	structure, field string
	minor            int // of Kubernetes 1
}{
	{"CSIDriverSpec", "serviceAccountTokenInSecrets", 35},
	{"PodSpec", "workloadRef", 35},
}

// openAPI serves OpenAPI v3: the list of documents, or one of them. What they say is
// made of the Go types, without prose and paths.
func (c *call) openAPI(path []string) (reply, error) {
	served := c.store.served()
	if len(path) == 0 {
		paths := map[string]any{}
		for _, r := range served {
			paths[documentPath(r.GroupVersion())] = map[string]string{"serverRelativeURL": "/openapi/v3/" + documentPath(r.GroupVersion())}
		}
		return reply{http.StatusOK, map[string]any{"paths": paths}}, nil
	}
	want := strings.Join(path, "/")
	b := documentBuilder{minor: minorOf(c.server.release()), schemas: map[string]any{}}
	for _, r := range served {
		if documentPath(r.GroupVersion()) == want {
			b.root(r)
		}
	}
	if len(b.schemas) == 0 {
		return reply{}, errNoResource()
	}
	return reply{http.StatusOK, map[string]any{"openapi": "3.0.0", "components": map[string]any{"schemas": b.schemas}}}, nil
}

func documentPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.String()
}

func minorOf(release version.Info) int {
	var out int
	_ = json.Unmarshal([]byte(release.Minor), &out) // one that is no number is 0
	return out
}

// documentBuilder makes the schemas of one document.
type documentBuilder struct {
	minor   int
	schemas map[string]any
}

func (b *documentBuilder) root(r *resource) {
	name := r.Group + "." + r.Version + "." + r.kind
	out := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	if o := r.empty(); o != nil {
		t := reflect.TypeOf(o).Elem()
		out = map[string]any{"type": "object", "properties": b.properties(t)}
	}
	out["x-kubernetes-group-version-kind"] = []any{map[string]string{"group": r.Group, "version": r.Version, "kind": r.kind}}
	b.schemas[name] = out
}

// knownFields are the JSON names of a struct's fields, those of embedded structs among them,
// by type. They are asked for often.
var knownFields sync.Map // reflect.Type: map[string]reflect.Type

func jsonFields(t reflect.Type) map[string]reflect.Type {
	if known, ok := knownFields.Load(t); ok {
		return known.(map[string]reflect.Type) //nolint:errcheck // nothing else is stored
	}
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			for inner, of := range jsonFields(f.Type) {
				out[inner] = of
			}
		case name != "":
			out[name] = f.Type
		}
	}
	knownFields.Store(t, out)
	return out
}

func (b *documentBuilder) properties(t reflect.Type) map[string]any {
	out := map[string]any{}
	for name, of := range jsonFields(t) {
		out[name] = b.of(of)
	}
	for _, y := range young {
		if y.structure == t.Name() && b.minor < y.minor {
			delete(out, y.field)
		}
	}
	return out
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// of is the schema of a Go type. Structs are named, since some hold themselves.
func (b *documentBuilder) of(t reflect.Type) any {
	switch {
	case t.Kind() == reflect.Pointer:
		return b.of(t.Elem())
	case t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler):
		return map[string]any{} // quantities, times, whatever is raw
	case t.Kind() == reflect.Struct:
		name := t.PkgPath() + "." + t.Name()
		name = strings.ReplaceAll(name, "/", ".")
		if _, known := b.schemas[name]; !known {
			b.schemas[name] = nil // it is being made
			b.schemas[name] = map[string]any{"type": "object", "properties": b.properties(t)}
		}
		return map[string]any{"$ref": "#/components/schemas/" + name}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": b.of(t.Elem())}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return map[string]any{"type": "string", "format": "byte"}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": b.of(t.Elem())}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	}
	return map[string]any{"type": "integer"}
}
