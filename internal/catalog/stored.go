package catalog

import (
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// storedKinds is what API servers can read from etcd, generated from their own
// schemes by `kup-lab catalog-generate`.
type storedKinds struct {
	rows  map[groupKind][]storedVersion
	first cluster.Minor
	last  cluster.Minor
}

type groupKind struct{ group, kind string }

type storedVersion struct {
	Range
	version string
}

// StoredRow says in which minors some kinds of an API version can be read.
type StoredRow struct {
	Range
	Group   string   `json:"group"` // empty: core
	Version string   `json:"version"`
	Kinds   []string `json:"kinds"`
	Source  string   `json:"source"`
}

func (c *Catalog) loadStored() error {
	var file struct {
		Rows []StoredRow `json:"rows"`
	}
	if err := read("stored", &file); err != nil {
		return err
	}
	c.stored.rows = map[groupKind][]storedVersion{}
	for i, row := range file.Rows {
		if i == 0 || row.From.Less(c.stored.first) {
			c.stored.first = row.From
		}
		if c.stored.last.Less(row.To) {
			c.stored.last = row.To
		}
		for _, kind := range row.Kinds {
			key := groupKind{row.Group, kind}
			c.stored.rows[key] = append(c.stored.rows[key], storedVersion{row.Range, row.Version})
		}
	}
	return nil
}

// KnowsStored tells whether it is known what API servers of this line can read.
func (m Minor) KnowsStored() bool {
	return Range{m.c.stored.first, m.c.stored.last}.Holds(m.row.Minor)
}

// Decodes tells whether API servers of this line can read an object that is
// stored as that version of a kind of Kubernetes' own. The core group is empty.
// Not every version that can be read is served.
func (m Minor) Decodes(group, version, kind string) bool {
	return slices.Contains(m.StoredVersions(group, kind), version)
}

// StoredVersions are the versions of a kind that API servers of this line can
// read from storage, by name; none when the line does not have the kind.
func (m Minor) StoredVersions(group, kind string) []string {
	var out []string
	for _, v := range m.c.stored.rows[groupKind{group, kind}] {
		if v.Holds(m.row.Minor) {
			out = append(out, v.version)
		}
	}
	slices.Sort(out)
	return out
}

// Keeps tells whether API servers of this line serve the kind in any version, if
// only where an alpha or beta version was switched on. Where they do not, nothing
// reads what is stored of it.
func (m Minor) Keeps(group, kind string) bool {
	return slices.ContainsFunc(m.StoredVersions(group, kind), func(version string) bool {
		for _, r := range m.c.removed {
			if r.Group == group && r.Version == version && r.Kind == kind && !m.row.Minor.Less(r.In) {
				// Served by another group, which reads the same place.
				to, _, versioned := strings.Cut(r.Replacement, "/")
				return versioned && to != group && !strings.HasPrefix(r.Replacement, "none")
			}
		}
		return true
	})
}

// OwnKind tells whether the kind is, or was in any minor, one of Kubernetes' own.
func (c *Catalog) OwnKind(group, kind string) bool {
	return len(c.stored.rows[groupKind{group, kind}]) > 0
}
