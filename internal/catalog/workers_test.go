package catalog

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestWorkersData(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.NodeKubeadmApart() < 1 || c.nodeKubeadm.Source == "" {
		t.Errorf("kubeadm of a node moves by %d", c.NodeKubeadmApart())
	}
	for _, e := range c.nodeEdits {
		if e.Does == "" || e.Source == "" {
			t.Errorf("%s: incomplete: %+v", e.In, e)
		}
		if _, known := c.Minor(e.In); !known || e.Until.Less(e.In) {
			t.Errorf("%s to %s are no minors of the catalog", e.In, e.Until)
		}
	}
	for _, tc := range []struct {
		from, to string
		missed   int
	}{
		{"1.25", "1.26", 0}, {"1.25", "1.27", 1}, {"1.26", "1.29", 0},
		{"1.33", "1.35", 0}, {"1.33", "1.36", 1}, {"1.33", "1.37", 2}, {"1.34", "1.37", 1}, {"1.35", "1.37", 0},
	} {
		if got := c.MissedEdits(line(t, tc.from), line(t, tc.to)); len(got) != tc.missed {
			t.Errorf("%s to %s: %+v", tc.from, tc.to, got)
		}
	}
}

func line(t *testing.T, s string) cluster.Minor {
	t.Helper()
	m, err := cluster.ParseMinor(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
