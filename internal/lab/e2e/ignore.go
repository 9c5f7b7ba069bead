package e2e

import (
	_ "embed" // the list of what may differ
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed ignore.yaml
var ignoreYAML []byte

// Rule names differences that an upgrade makes by design, and says why. All the
// conditions that are set must hold.
type Rule struct {
	// Resource, Namespace and Name are globs ("*" any run of characters);
	// namespace and name empty: any.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Label and Annotation are "key=value".
	Label      string `json:"label,omitempty"`
	Annotation string `json:"annotation,omitempty"`
	// Replaced restricts the rule to objects that came, went or have a new uid.
	Replaced bool `json:"replaced,omitempty"`
	// Paths are the fields that may differ, with all below them; none: the
	// object as a whole. Segments are separated by dots and are globs too;
	// a segment with dots is written in brackets: metadata.annotations[a.b/c].
	Paths []string `json:"paths,omitempty"`
	// AnyOrder restricts the rule to lists that hold the same in another order.
	AnyOrder bool `json:"anyOrder,omitempty"`
	// Upgrade is set for what the components of a new minor write: it does not differ
	// when the data of before are restored.
	Upgrade bool   `json:"upgrade,omitempty"`
	Reason  string `json:"reason"`

	paths [][]string
}

// ignoreRules reads the embedded list.
func ignoreRules() ([]Rule, error) { return parseRules(ignoreYAML) }

// restoreRules are those for data that were restored.
func restoreRules() ([]Rule, error) {
	rules, err := ignoreRules()
	return slices.DeleteFunc(rules, func(r Rule) bool { return r.Upgrade }), err
}

func parseRules(raw []byte) ([]Rule, error) {
	var file struct {
		Rules []Rule `json:"rules"`
	}
	if err := yaml.UnmarshalStrict(raw, &file); err != nil {
		return nil, fmt.Errorf("ignore list: %w", err)
	}
	for i := range file.Rules {
		r := &file.Rules[i]
		if r.Reason == "" || r.Resource == "" {
			return nil, fmt.Errorf("ignore list: rule %d (%s %s): every rule has a resource and a reason", i, r.Resource, r.Name)
		}
		for _, p := range r.Paths {
			segments, err := splitPath(p)
			if err != nil {
				return nil, fmt.Errorf("ignore list: rule %d: %w", i, err)
			}
			r.paths = append(r.paths, segments)
		}
	}
	return file.Rules, nil
}

// covers says whether the rule speaks of the object; any of its two states
// serves for labels and annotations.
func (r *Rule) covers(k Key, o map[string]any, replaced bool) bool {
	if r.Replaced && !replaced {
		return false
	}
	if !hasPair(o, "labels", r.Label) || !hasPair(o, "annotations", r.Annotation) {
		return false
	}
	return glob(r.Resource, k.Resource) && glob(r.Namespace, k.Namespace) && glob(r.Name, k.Name)
}

func hasPair(o map[string]any, field, pair string) bool {
	if pair == "" {
		return true
	}
	key, value, _ := strings.Cut(pair, "=")
	metadata, _ := o["metadata"].(map[string]any)
	pairs, _ := metadata[field].(map[string]any)
	return pairs[key] == value
}

func glob(pattern, s string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	// Names may hold slashes and colons; path.Match treats only "/" specially.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}

// matches says whether the path is one of the rule's.
func (r *Rule) matches(at []string) bool {
	for _, p := range r.paths {
		if len(p) != len(at) {
			continue
		}
		same := true
		for i := range p {
			if !glob(p[i], at[i]) {
				same = false
				break
			}
		}
		if same {
			return true
		}
	}
	return false
}

func splitPath(p string) ([]string, error) {
	var out []string
	rest := p
	for rest != "" {
		if strings.HasPrefix(rest, "[") {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("path %q: no closing bracket", p)
			}
			out = append(out, rest[1:end])
			rest = strings.TrimPrefix(rest[end+1:], ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("path %q: empty segment", p)
		}
		out = append(out, rest[:end])
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	return out, nil
}

func joinPath(segments []string) string {
	var b strings.Builder
	for i, s := range segments {
		switch {
		case strings.ContainsAny(s, ".["):
			b.WriteString("[" + s + "]")
		case i > 0:
			b.WriteString("." + s)
		default:
			b.WriteString(s)
		}
	}
	return b.String()
}
