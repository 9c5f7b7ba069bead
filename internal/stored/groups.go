package stored

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// examplesKept is how many keys are named of each kind.
const examplesKept = 5

const (
	definitionPath = "apiextensions.k8s.io/customresourcedefinitions"
	apiServicePath = "apiregistration.k8s.io/apiservices"
)

type kindKey struct{ path, group, version, kind string }

// groups counts objects.
type groups struct {
	kinds       map[kindKey]*cluster.StoredPath
	encrypted   map[string]*cluster.StoredPath
	unreadable  map[string]*cluster.StoredPath
	definitions []cluster.StoredDefinition
	aggregated  map[string]bool
}

func newGroups() *groups {
	return &groups{
		kinds: map[kindKey]*cluster.StoredPath{}, encrypted: map[string]*cluster.StoredPath{},
		unreadable: map[string]*cluster.StoredPath{}, aggregated: map[string]bool{},
	}
}

// add counts the value at a key below the API servers' prefix.
func (g *groups) add(key string, value []byte) {
	path, name := resource(key)
	if encrypted(value) {
		count(g.encrypted, path, path, name)
		return
	}
	m, err := identify(value)
	if err == nil {
		err = g.register(path, value)
	}
	if err != nil {
		count(g.unreadable, path, path, name)
		return
	}
	group, version := m.split()
	count(g.kinds, kindKey{path, group, version, m.Kind}, path, name)
}

// register keeps what definitions and APIServices say about other objects.
func (g *groups) register(path string, value []byte) error {
	switch path {
	case definitionPath:
		d, err := definition(value)
		if err != nil {
			return err
		}
		g.definitions = append(g.definitions, d)
	case apiServicePath:
		group, err := aggregated(value)
		if err != nil {
			return err
		}
		if group != "" {
			g.aggregated[group] = true
		}
	}
	return nil
}

func count[K comparable](m map[K]*cluster.StoredPath, key K, path, name string) {
	p := m[key]
	if p == nil {
		p = &cluster.StoredPath{Path: path}
		m[key] = p
	}
	p.Count++
	if len(p.Examples) < examplesKept {
		p.Examples = append(p.Examples, name)
	}
}

// resource splits a key into where objects of its resource are kept and the rest.
// The first part is the resource, but for groups of their own (custom resources,
// definitions, APIServices), which come before it, and for services, whose
// endpoints are kept beside them (kubernetes pkg/kubeapiserver
// default_storage_factory_builder.go).
func resource(key string) (path, name string) {
	first, rest, more := strings.Cut(key, "/")
	if !more {
		return key, ""
	}
	if !strings.Contains(first, ".") && first != "services" {
		return first, rest
	}
	second, rest, more := strings.Cut(rest, "/")
	if !more {
		return first, second
	}
	return first + "/" + second, rest
}

func (g *groups) result() cluster.Stored {
	out := cluster.Stored{
		Encrypted: paths(g.encrypted), Unreadable: paths(g.unreadable),
		Definitions: g.definitions, Aggregated: slices.Sorted(maps.Keys(g.aggregated)),
	}
	for key, p := range g.kinds {
		slices.Sort(p.Examples)
		out.Kinds = append(out.Kinds, cluster.StoredKind{StoredPath: *p, Group: key.group, Version: key.version, Kind: key.kind})
	}
	slices.SortFunc(out.Kinds, func(a, b cluster.StoredKind) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Kind, b.Kind))
	})
	slices.SortFunc(out.Definitions, func(a, b cluster.StoredDefinition) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func paths(m map[string]*cluster.StoredPath) []cluster.StoredPath {
	var out []cluster.StoredPath
	for _, name := range slices.Sorted(maps.Keys(m)) {
		slices.Sort(m[name].Examples)
		out = append(out, *m[name])
	}
	return out
}
