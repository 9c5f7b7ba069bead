package roundtrip

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// node is a schema of OpenAPI v3 as API servers write them, as far as it says what
// is kept.
type node struct {
	Ref        string           `json:"$ref"`
	AllOf      []*node          `json:"allOf"`
	Type       string           `json:"type"`
	Properties map[string]*node `json:"properties"`
	Items      *node            `json:"items"`
	Additional *additional      `json:"additionalProperties"`
	Enum       []any            `json:"enum"`
	Default    any              `json:"default"`
	Preserve   bool             `json:"x-kubernetes-preserve-unknown-fields"`
	Kinds      []groupKind      `json:"x-kubernetes-group-version-kind"`
}

type groupKind struct{ Group, Version, Kind string }

// additional is what a map's values look like: a schema, or whatever.
type additional struct {
	any  bool
	node *node
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *additional) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &a.any) == nil {
		return nil
	}
	return json.Unmarshal(b, &a.node)
}

// document is one group version's schemas by name.
type document map[string]*node

const refPrefix = "#/components/schemas/"

// api is one side.
type api struct {
	version   cluster.Version
	documents map[string]document // by path
	roots     map[groupKind]string
	served    map[resource][]cluster.APIResource // by group and name, in the server's order
}

type resource struct{ group, name string }

func readAPI(in cluster.API) (*api, error) {
	out := &api{version: in.Version, documents: map[string]document{}, roots: map[groupKind]string{}, served: map[resource][]cluster.APIResource{}}
	for path, raw := range in.Documents {
		var file struct {
			Components struct{ Schemas document }
		}
		if err := json.Unmarshal(raw, &file); err != nil {
			return nil, fmt.Errorf("the API's schema of %s, %s: %w", in.Version, path, err)
		}
		out.documents[path] = file.Components.Schemas
		for name, n := range file.Components.Schemas {
			// What all groups share, such as DeleteOptions, names many.
			if n != nil && len(n.Kinds) == 1 {
				out.roots[n.Kinds[0]] = name
			}
		}
	}
	for _, r := range in.Resources {
		key := resource{r.Group, r.Name}
		out.served[key] = append(out.served[key], r)
	}
	return out, nil
}

// root is the schema of a resource's objects, nil when none was read.
func (a *api) root(r cluster.APIResource) view {
	doc := a.documents[r.Path()]
	return view{doc, doc[a.roots[groupKind{r.Group, r.Version, r.Kind}]], ""}
}

// view is a node in its document, with the name it has there, if any.
type view struct {
	document document
	*node
	name string
}

// maxRefs bounds how many names lead to a schema.
const maxRefs = 16

// resolve follows names to what says something. Of several parts the properties come
// together.
func (v view) resolve() view {
	for range maxRefs {
		switch {
		case v.node == nil:
			return v
		case v.Ref != "":
			name := strings.TrimPrefix(v.Ref, refPrefix)
			v = view{v.document, v.document[name], name}
		case len(v.AllOf) == 1 && len(v.Properties) == 0:
			v = view{v.document, v.AllOf[0], v.name}
		case len(v.AllOf) > 0:
			return v.merged()
		default:
			return v
		}
	}
	return view{document: v.document}
}

func (v view) merged() view {
	out := *v.node
	out.AllOf, out.Properties = nil, map[string]*node{}
	for name, n := range v.Properties {
		out.Properties[name] = n
	}
	for _, part := range v.AllOf {
		p := view{v.document, part, ""}.resolve()
		if p.node == nil {
			continue
		}
		for name, n := range p.Properties {
			out.Properties[name] = n
		}
		out.Preserve = out.Preserve || p.Preserve
		if out.Additional == nil {
			out.Additional = p.Additional
		}
	}
	return view{v.document, &out, v.name}
}

// property is the schema of a field or of a map's value; known is false where the
// API server drops it.
func (v view) property(name string) (child view, known bool) {
	if v.node == nil {
		return view{document: v.document}, false
	}
	if n, ok := v.Properties[name]; ok {
		return view{v.document, n, ""}, true
	}
	if a := v.Additional; a != nil && a.any {
		return view{v.document, &node{}, ""}, true
	} else if a != nil && a.node != nil {
		return view{v.document, a.node, ""}, true
	}
	return view{document: v.document}, false
}

func (v view) items() view {
	if v.node == nil {
		return view{document: v.document}
	}
	return view{v.document, v.Items, ""}
}

// defaultOf is what a server sets where nothing is given: also beside a name.
func (v view) defaultOf() any {
	if v.node == nil {
		return nil
	}
	return v.Default
}

// Types whose content is whatever was given.
const (
	rawExtension = "io.k8s.apimachinery.pkg.runtime.RawExtension"
	fieldsV1     = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"
	// Definitions of custom resources nest in types that may also be a list or a bool.
	propsOr = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOr"
	props   = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
)

// nested gives what stands behind a type that may be more than one thing.
func (v view) nested() view {
	if strings.HasPrefix(v.name, propsOr) {
		return view{v.document, v.document[props], props}
	}
	return v
}

// keepsAll tells whether everything given is kept as it is.
func (v view) keepsAll() bool {
	n := v.node
	if n.Preserve || v.name == rawExtension || v.name == fieldsV1 {
		return true
	}
	return n.Type == "" && len(n.Properties) == 0 && n.Items == nil && n.Additional == nil
}
