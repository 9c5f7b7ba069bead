package catalog

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kup-project/kup/pkg/cluster"
)

func minor(t *testing.T, c *Catalog, name string) Minor {
	t.Helper()
	line, err := cluster.ParseMinor(name)
	if err != nil {
		t.Fatal(err)
	}
	m, known := c.Minor(line)
	if !known {
		t.Fatalf("no minor %s", name)
	}
	return m
}

func TestDecodes(t *testing.T) {
	c := load(t)
	between := func(from, to uint64) Range {
		return Range{cluster.Minor{Major: 1, Minor: from}, cluster.Minor{Major: 1, Minor: to}}
	}
	always := Range{c.Oldest(), c.Newest()}
	for _, tc := range []struct {
		group, version, kind string
		between              Range // the minors that read it
	}{
		{"", "v1", "Pod", always},
		{"", "v1", "RangeAllocation", always},
		{"apps", "v1", "Deployment", always},
		{"extensions", "v1beta1", "Ingress", always},
		{"batch", "v1beta1", "CronJob", always}, // not served since 1.25
		{"batch", "v2alpha1", "CronJob", between(16, 20)},
		{"batch", "v1", "CronJob", between(21, 37)},
		{"policy", "v1beta1", "PodSecurityPolicy", between(16, 28)}, // not served since 1.25
		{"autoscaling", "v2beta2", "HorizontalPodAutoscaler", between(16, 35)},
		{"resource.k8s.io", "v1alpha2", "ResourceClaim", between(27, 30)},
		{"coordination.k8s.io", "v1alpha1", "LeaseCandidate", between(31, 31)},
		{"apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition", always},
		{"apiregistration.k8s.io", "v1", "APIService", always},
		{"shop.example", "v1", "Widget", Range{}},
	} {
		for line := c.Oldest(); !c.Newest().Less(line); line = line.Next() {
			m, _ := c.Minor(line)
			want := tc.between.Holds(line)
			if got := m.Decodes(tc.group, tc.version, tc.kind); got != want {
				t.Errorf("%s decodes %s/%s %s: %v, want %v", line, tc.group, tc.version, tc.kind, got, want)
			}
		}
	}
}

func TestKeeps(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		minor, group, kind string
		want               bool
	}{
		{"1.24", "policy", "PodSecurityPolicy", true},
		{"1.25", "policy", "PodSecurityPolicy", false}, // read, not served
		{"1.29", "policy", "PodSecurityPolicy", false},
		{"1.37", "extensions", "Ingress", true}, // served as networking.k8s.io from the same place
		{"1.37", "batch", "CronJob", true},
		{"1.31", "resource.k8s.io", "PodSchedulingContext", true},
		{"1.32", "resource.k8s.io", "PodSchedulingContext", false},
		{"1.28", "networking.k8s.io", "ClusterCIDR", true},
		{"1.29", "networking.k8s.io", "ClusterCIDR", false},
	} {
		if got := minor(t, c, tc.minor).Keeps(tc.group, tc.kind); got != tc.want {
			t.Errorf("%s keeps %s %s: %v, want %v", tc.minor, tc.group, tc.kind, got, tc.want)
		}
	}
}

// TestDecodesWhatClientsKnow holds the table against another source: what the
// client library of the newest minor knows.
func TestDecodesWhatClientsKnow(t *testing.T) {
	c := load(t)
	newest, _ := c.Minor(c.Newest())
	seen := 0
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || strings.HasSuffix(gvk.Kind, "List") || strings.HasSuffix(gvk.Kind, "Options") ||
			slices.Contains([]string{"WatchEvent", "Status", "APIVersions", "APIGroup"}, gvk.Kind) || strings.HasPrefix(gvk.Group, "apidiscovery.") {
			continue
		}
		seen++
		if !newest.Decodes(gvk.Group, gvk.Version, gvk.Kind) {
			t.Errorf("clients of %s know %s, its API servers cannot read it", c.Newest(), gvk)
		}
	}
	if seen < 100 {
		t.Errorf("the client library knows %d kinds only", seen)
	}
}

func TestStoredRows(t *testing.T) {
	var file struct {
		Rows []StoredRow `json:"rows"`
	}
	if err := read("stored", &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string][]Range{}
	for _, r := range file.Rows {
		if r.Source == "" || r.Version == "" || len(r.Kinds) == 0 || r.To.Less(r.From) {
			t.Errorf("incomplete row %+v", r)
		}
		for _, kind := range r.Kinds {
			name := r.Group + "/" + r.Version + " " + kind
			for _, other := range seen[name] {
				if other.Holds(r.From) || other.Holds(r.To) {
					t.Errorf("two rows of %s: %v and %v", name, other, r.Range)
				}
			}
			seen[name] = append(seen[name], r.Range)
		}
	}
	c := load(t)
	for line := c.Oldest(); !c.Newest().Less(line); line = line.Next() {
		m, _ := c.Minor(line)
		if !m.KnowsStored() || len(c.stored.rows) < 50 {
			t.Errorf("nothing is known of what %s reads", line)
		}
	}
}
