package roundtrip

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// grower makes an object of a schema's fields only, as bytes say.
type grower struct {
	bytes []byte
	left  int // values that may still be made
}

func (g *grower) next() int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b)
}

func (g *grower) value(v view) any {
	v = v.resolve().nested()
	g.left--
	switch {
	case v.node == nil || g.left <= 0:
		return nil
	case len(v.Enum) > 0:
		return v.Enum[g.next()%len(v.Enum)]
	case len(v.Properties) > 0:
		out := map[string]any{}
		for _, name := range sortedNodes(v.Properties) {
			if g.next()%4 == 1 {
				child, _ := v.property(name)
				out[name] = g.value(child)
			}
		}
		return out
	case v.Additional != nil:
		child, known := v.property("any")
		if !known {
			return map[string]any{}
		}
		return map[string]any{"any": g.value(child), "other": g.value(child)}
	case v.Items != nil:
		return []any{g.value(v.items())}
	}
	return []any{"text", float64(1), true, nil}[g.next()%4]
}

func sortedNodes(m map[string]*node) []string {
	names := map[string]any{}
	for name := range m {
		names[name] = nil
	}
	return sorted(names)
}

// An object made only of fields that the older schema has loses nothing; with one
// more field than that it loses this one.
func FuzzObjectsOfTheOlderSchemaLoseNothing(f *testing.F) {
	c := real(f)
	f.Add([]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, uint8(0))
	f.Add([]byte{1, 5, 9, 13, 1, 2, 3, 1, 1, 1, 1, 0, 1, 1}, uint8(1))
	kinds := []cluster.APIResource{
		pods, csiDrivers,
		{Group: "apps", Version: "v1", Name: "deployments", Kind: "Deployment"},
		{Version: "v1", Name: "configmaps", Kind: "ConfigMap"},
		{Version: "v1", Name: "services", Kind: "Service"},
	}
	f.Fuzz(func(t *testing.T, bytes []byte, which uint8) {
		r := kinds[int(which)%len(kinds)]
		root := c.before.root(r)
		if root.node == nil {
			t.Fatalf("no schema of %s", r.Kind)
		}
		o, ok := (&grower{bytes, 2000}).value(root).(map[string]any)
		if !ok {
			t.Fatalf("%s is no object", r.Kind)
		}
		if lost := c.Object(r, o); len(lost) > 0 {
			t.Errorf("%v lost %v", o, lost)
		}
		o["ofTomorrow"] = map[string]any{}
		if lost := c.Object(r, o); len(lost) != 1 || lost[0] != "ofTomorrow" {
			t.Errorf("with a field more: lost %v", lost)
		}
	})
}
