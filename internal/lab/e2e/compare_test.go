package e2e

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCompare(t *testing.T) {
	pod := Key{Resource: "pods", Namespace: "shop", Name: "web-1"}
	other := Key{Resource: "configmaps", Namespace: "shop", Name: "settings"}
	base := `{metadata: {uid: u1, resourceVersion: "1", labels: {app: web}}, spec: {a: [1, 2], b: {c: x}}}`
	for name, tt := range map[string]struct {
		rules         string
		before, after map[Key]string
		want          []string
		ignored       []int
	}{
		"equal": {
			rules:  `rules: []`,
			before: map[Key]string{pod: base}, after: map[Key]string{pod: base},
		},
		"fields": {
			rules:  `rules: [{resource: "*", paths: [metadata.resourceVersion], reason: r}]`,
			before: map[Key]string{pod: base},
			after:  map[Key]string{pod: `{metadata: {uid: u1, resourceVersion: "2", labels: {app: web}}, spec: {a: [1, 3], b: {d: z}}}`},
			want: []string{
				"pods shop/web-1: spec.a.1: 2 -> 3", `pods shop/web-1: spec.b.c: "x" -> absent`, `pods shop/web-1: spec.b.d: absent -> "z"`,
			},
			ignored: []int{1},
		},
		"lists of other lengths": {
			rules:  `rules: []`,
			before: map[Key]string{pod: `{spec: [1]}`}, after: map[Key]string{pod: `{spec: [1, 2]}`},
			want: []string{"pods shop/web-1: spec: [1] -> [1,2]"},
		},
		"came and went": {
			rules:  `rules: []`,
			before: map[Key]string{pod: base}, after: map[Key]string{other: base},
			want: []string{"configmaps shop/settings: absent -> present", "pods shop/web-1: present -> absent"},
		},
		"replaced pods are ignored, changed ones are not": {
			rules:   `rules: [{resource: pods, replaced: true, reason: r}]`,
			before:  map[Key]string{pod: base, other: base},
			after:   map[Key]string{pod: `{metadata: {uid: u2}}`, other: `{metadata: {uid: u2}}`},
			want:    []string{`configmaps shop/settings: metadata.labels.app: "web" -> absent`, `configmaps shop/settings: metadata.resourceVersion: "1" -> absent`, `configmaps shop/settings: metadata.uid: "u1" -> "u2"`, `configmaps shop/settings: spec.a: [1,2] -> absent`, `configmaps shop/settings: spec.b.c: "x" -> absent`},
			ignored: []int{1},
		},
		"another order": {
			rules:   `rules: [{resource: "*", paths: [spec.a], anyOrder: true, reason: r}]`,
			before:  map[Key]string{pod: base, other: base},
			after:   map[Key]string{pod: strings.Replace(base, "[1, 2]", "[2, 1]", 1), other: strings.Replace(base, "[1, 2]", "[2, 2]", 1)},
			want:    []string{"configmaps shop/settings: spec.a.0: 1 -> 2"},
			ignored: []int{1},
		},
		"label, name and namespace narrow": {
			rules: `
rules:
- {resource: pods, label: app=web, namespace: shop, name: web-*, paths: [spec], reason: r}
- {resource: pods, label: app=other, reason: r}
- {resource: pods, namespace: elsewhere, reason: r}`,
			before: map[Key]string{pod: base}, after: map[Key]string{pod: `{metadata: {uid: u1, resourceVersion: "1", labels: {app: web}}, spec: {}}`},
			ignored: []int{1, 0, 0},
		},
		"paths with dots and globs": {
			rules:   `rules: [{resource: configmaps, paths: ["metadata.annotations[a.b/c]", "data[jws-*]", "list.*.time"], reason: r}]`,
			before:  map[Key]string{other: `{metadata: {annotations: {a.b/c: "1", a.b/d: "1"}}, data: {jws-1: x}, list: [{time: 1, m: 1}]}`},
			after:   map[Key]string{other: `{metadata: {annotations: {a.b/c: "2", a.b/d: "2"}}, data: {jws-2: x}, list: [{time: 2, m: 2}]}`},
			want:    []string{`configmaps shop/settings: list.0.m: 1 -> 2`, `configmaps shop/settings: metadata.annotations[a.b/d]: "1" -> "2"`},
			ignored: []int{4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := parseRules([]byte(tt.rules))
			if err != nil {
				t.Fatal(err)
			}
			side := func(texts map[Key]string) map[Key]map[string]any {
				out := map[Key]map[string]any{}
				for k, text := range texts {
					out[k] = object(t, text)
				}
				return out
			}
			c := Compare(side(tt.before), side(tt.after), rules)
			var got []string
			for _, d := range c.Differences {
				got = append(got, d.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
			if tt.ignored != nil && !slices.Equal(c.Ignored, tt.ignored) {
				t.Errorf("ignored %v, want %v", c.Ignored, tt.ignored)
			}
		})
	}
}

func TestIgnoreRules(t *testing.T) {
	rules, err := ignoreRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Resource == "*" && len(r.Paths) == 0 {
			t.Errorf("a rule ignores everything: %+v", r)
		}
		// What users put on a cluster must be compared.
		k := Key{Resource: "secrets", Namespace: "shop", Name: "canary"}
		if len(r.Paths) == 0 && r.covers(k, nil, true) {
			t.Errorf("a user's Secret is ignored by %+v", r)
		}
	}
}

func TestParseRulesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":     `rules: [{resource: pods}]`,
		"unknown field": `rules: [{resource: pods, reason: r, nam: x}]`,
		"bad path":      `rules: [{resource: pods, reason: r, paths: ["a..b"]}]`,
		"open bracket":  `rules: [{resource: pods, reason: r, paths: ["a[b"]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseRules([]byte(text)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestPathsRoundTrip(t *testing.T) {
	for _, p := range []string{"a", "a.b.0.c", "metadata.annotations[a.b/c].d", "data[x.yaml]"} {
		s, err := splitPath(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := joinPath(s); got != p {
			t.Errorf("%q became %q by way of %q", p, got, s)
		}
	}
}
