package survey

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// differences collects what differs between two documents: "flag --x added".
type differences struct{ names []string }

// ways in which one side differs, as seen from the file that is there.
const (
	added   = " added"
	removed = " removed"
	changed = " changed"
)

func (d *differences) add(path []string, way string) {
	d.names = append(d.names, describe(path)+way)
}

// describe names a place: flags, volumes and variables by their kind and name,
// fields by their path within the container.
func describe(path []string) string {
	if len(path) >= 3 && path[0] == "spec" && path[1] == "containers" {
		path = path[3:]
	}
	if len(path) > 0 && path[0] == "spec" {
		path = path[1:]
	}
	if len(path) >= 2 {
		kinds := map[string]string{"command": "flag", "args": "flag", "volumes": "volume", "volumeMounts": "mount", "env": "variable"}
		if kind, known := kinds[path[0]]; known {
			return kind + " " + path[1]
		}
	}
	if len(path) == 0 {
		return "container"
	}
	return "field " + strings.Join(path, ".")
}

func (d *differences) values(path []string, have, want any) {
	switch h := have.(type) {
	case map[string]any:
		if w, ok := want.(map[string]any); ok {
			d.maps(path, h, w)
			return
		}
	case []any:
		if w, ok := want.([]any); ok {
			d.lists(path, h, w)
			return
		}
	}
	if !reflect.DeepEqual(have, want) {
		d.add(path, changed)
	}
}

func (d *differences) maps(path []string, have, want map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(have)) {
		at := append(slices.Clone(path), key)
		if w, there := want[key]; there {
			d.values(at, have[key], w)
		} else {
			d.add(at, added)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if _, there := have[key]; !there {
			d.add(append(slices.Clone(path), key), removed)
		}
	}
}

// lists compares by name what has names, and as a whole what has none.
func (d *differences) lists(path []string, have, want []any) {
	h, hok := named(path, have)
	w, wok := named(path, want)
	switch {
	case hok && wok:
		d.maps(path, h, w)
	case !reflect.DeepEqual(have, want):
		d.add(path, changed)
	}
}

// named makes a map of a list of flags, or of a list of objects with names.
func named(path []string, list []any) (map[string]any, bool) {
	out := map[string]any{}
	isCommand := len(path) > 0 && (path[len(path)-1] == "command" || path[len(path)-1] == "args")
	for i, item := range list {
		name, value := "", item
		switch x := item.(type) {
		case string:
			if !isCommand {
				return nil, false
			}
			name, value = flag(x, i)
		case map[string]any:
			name, _ = x["name"].(string)
			if path, mounted := x["mountPath"].(string); mounted && name != "" {
				name += " at " + path
			}
		}
		if name == "" {
			return nil, false
		}
		if _, twice := out[name]; twice {
			return nil, false
		}
		out[name] = value
	}
	dropOwn(path, out)
	return out, true
}

// flag splits "--x=y". What is no flag is known by its place, since it may be
// a value.
func flag(word string, place int) (string, string) {
	if !strings.HasPrefix(word, "-") {
		return "word " + string(rune('1'+min(place, 8))), word
	}
	name, value, _ := strings.Cut(word, "=")
	return name, value
}

// dropOwn leaves out the flags that tell how a member first found the others:
// they are each member's own, and mean nothing once it has joined.
func dropOwn(path []string, flags map[string]any) {
	if slices.Contains(path, "command") {
		delete(flags, "--initial-cluster")
		delete(flags, "--initial-cluster-state")
	}
}
