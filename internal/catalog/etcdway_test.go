package catalog

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestEtcdWay(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ from, to, want string }{
		{"v3.5.33", "v3.6.5", "v3.6.5"},
		{"v3.5.24", "v3.6.5", "v3.5.33 v3.6.5"},
		{"v3.5.26", "v3.6.5", "v3.6.5"},
		{"v3.4.13", "v3.6.5", "v3.5.33 v3.6.5"},
		{"v3.5.24", "v3.5.24", ""},
		{"v3.6.8", "v3.6.5", ""},
		{"v3.6.5", "v3.7.0", "v3.6.11 v3.7.0"},
		{"v3.5.24", "v3.7.0", "v3.5.33 v3.6.11 v3.7.0"},
	} {
		way, known := c.EtcdWay(cluster.MustParseVersion(tc.from), cluster.MustParseVersion(tc.to))
		var got []string
		for _, v := range way {
			got = append(got, v.String())
		}
		if s := strings.Join(got, " "); s != tc.want || !known {
			t.Errorf("%s to %s: %s (known %t), want %s", tc.from, tc.to, s, known, tc.want)
		}
	}
	if way, known := c.EtcdWay(cluster.MustParseVersion("v3.0.1"), cluster.MustParseVersion("v3.5.33")); known {
		t.Errorf("over a minor without a release: %v", way)
	}
}

// Whatever is asked for, a way goes up only, at most one minor a step, over no known-bad
// edge, and ends where it was meant to.
func FuzzEtcdWay(f *testing.F) {
	c, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(5), uint8(24), uint8(7), uint8(0))
	f.Add(uint8(3), uint8(0), uint8(6), uint8(8))
	f.Fuzz(func(t *testing.T, fromMinor, fromPatch, toMinor, toPatch uint8) {
		at := cluster.Version{Major: 3, Minor: uint64(fromMinor % 9), Patch: uint64(fromPatch % 50)}
		to := cluster.Version{Major: 3, Minor: uint64(toMinor % 9), Patch: uint64(toPatch % 50)}
		way, known := c.EtcdWay(at, to)
		if !known || !at.Less(to) {
			if len(way) > 0 {
				t.Errorf("%s to %s: %v", at, to, way)
			}
			return
		}
		for _, v := range way {
			if !at.Less(v) || to.Less(v) || (v.Line() != at.Line() && v.Line() != at.Line().Next()) {
				t.Errorf("%s to %s: from %s to %s", way, to, at, v)
			}
			if edge, hit := c.EtcdEdge(at, v); hit {
				t.Errorf("%s to %s goes over the edge into %s", at, v, edge.To)
			}
			at = v
		}
		if at != to {
			t.Errorf("ends at %s, want %s", at, to)
		}
	})
}
