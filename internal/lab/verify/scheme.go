package verify

import (
	"cmp"
	"context"
	_ "embed" // which release stands for a minor
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

//go:embed releases.yaml
var releaseData []byte

// Release is the release that stands for a minor: the one the catalog's row was
// read from, or another where that cannot be had.
func Release(m catalog.Minor) (cluster.Version, error) {
	var all struct {
		Releases []struct {
			Minor   cluster.Minor   `json:"minor"`
			Release cluster.Version `json:"release"`
			Why     string          `json:"why"`
			Source  string          `json:"source"`
		} `json:"releases"`
	}
	if err := yaml.UnmarshalStrict(releaseData, &all); err != nil {
		return cluster.Version{}, fmt.Errorf("releases.yaml: %w", err)
	}
	for _, r := range all.Releases {
		if r.Minor == m.Line() {
			return r.Release, nil
		}
	}
	return m.Seen(), nil
}

// Kind is a version of a kind.
type Kind struct{ Group, Version, Kind string }

// Scheme is what API servers of one release can read from storage.
type Scheme struct {
	Release cluster.Version
	Kinds   []Kind
}

// Scheme compiles and runs the program that prints it.
func (b *Builder) Scheme(ctx context.Context, v cluster.Version) (Scheme, error) {
	path, err := b.make(ctx, build{kind: "scheme", version: v, result: "scheme.txt", finish: func(ctx context.Context, binary, result string) error {
		out, err := run(ctx, os.TempDir(), nil, binary)
		if err != nil {
			return err
		}
		return os.WriteFile(result, out, 0o644)
	}})
	if err != nil {
		return Scheme{}, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Scheme{}, err
	}
	return parseScheme(v, string(raw))
}

// parseScheme reads the program's output and leaves out what is never stored.
func parseScheme(v cluster.Version, text string) (Scheme, error) {
	s := Scheme{Release: v}
	all := map[Kind]bool{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return s, fmt.Errorf("scheme of %s: the line %q is not a group, a version and a kind", v, line)
		}
		if f[0] == "core" {
			f[0] = ""
		}
		all[Kind{f[0], f[1], f[2]}] = true
	}
	for k := range all {
		if !neverStored(k, all) {
			s.Kinds = append(s.Kinds, k)
		}
	}
	if len(s.Kinds) == 0 {
		return s, fmt.Errorf("scheme of %s: no kinds", v)
	}
	return s, nil
}

// neverStored are lists, and what every group has for requests and answers.
func neverStored(k Kind, all map[Kind]bool) bool {
	if item, list := strings.CutSuffix(k.Kind, "List"); list && all[Kind{k.Group, k.Version, item}] {
		return true
	}
	switch k.Kind {
	case "WatchEvent", "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "ExportOptions",
		"Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList", "List":
		return true
	}
	return false
}

// Rows are the catalog's rows for schemes of consecutive minors, the oldest
// first.
func Rows(schemes []Scheme) []catalog.StoredRow {
	type span struct {
		group, version string
		from, to       cluster.Version
	}
	open, kinds := map[Kind]cluster.Version{}, map[span][]string{}
	for i, s := range schemes {
		here := map[Kind]bool{}
		for _, k := range s.Kinds {
			here[k] = true
			if _, known := open[k]; !known {
				open[k] = s.Release
			}
		}
		for k, from := range open {
			if !here[k] {
				key := span{k.Group, k.Version, from, schemes[i-1].Release}
				kinds[key] = append(kinds[key], k.Kind)
				delete(open, k)
			}
		}
	}
	for k, from := range open {
		key := span{k.Group, k.Version, from, schemes[len(schemes)-1].Release}
		kinds[key] = append(kinds[key], k.Kind)
	}
	var rows []catalog.StoredRow
	for key, names := range kinds {
		slices.Sort(names)
		rows = append(rows, catalog.StoredRow{
			Range: catalog.Range{From: key.from.Line(), To: key.to.Line()}, Group: key.group, Version: key.version, Kinds: names,
			Source: fmt.Sprintf("API server schemes of kubernetes %s to %s", key.from, key.to),
		})
	}
	slices.SortFunc(rows, func(a, b catalog.StoredRow) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	return rows
}

const rowsHeader = `# Which versions of kinds the API servers of each minor can read from etcd. Generated: do not edit, run
# kup-lab catalog-generate, which compiles a program against k8s.io/kubernetes of every minor. It prints what the
# schemes of the API server, of its extensions and of its aggregator convert to the internal version, as reading
# from storage does. Not every version that can be read is served.
rows:
`

// Write gives the rows as the catalog's data file, one a line.
func Write(rows []catalog.StoredRow) string {
	var b strings.Builder
	b.WriteString(rowsHeader)
	for _, r := range rows {
		fmt.Fprintf(&b, "  - {group: %q, version: %s, from: %q, to: %q, kinds: [%s], source: %q}\n",
			r.Group, r.Version, r.From, r.To, strings.Join(r.Kinds, ", "), r.Source)
	}
	return b.String()
}
