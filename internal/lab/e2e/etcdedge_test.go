package e2e

import (
	"os"
	"slices"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/pkg/plan"
)

// The lab serves what kup raises etcd to.
func TestTheLabServesTheRaise(t *testing.T) {
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	if safe := artifact.SafeEtcd(defaultFrom) + "-0"; !slices.Contains(known.EtcdRaises(), safe) {
		t.Errorf("a lab at %s serves etcd %s, and kup raises to %v", defaultFrom, safe, known.EtcdRaises())
	}
}

func TestRaising(t *testing.T) {
	for file, want := range map[string]int{
		"../../planner/testdata/3+2-1.33-1.34-etcd-edge.plan.json": 3,
		"../../planner/testdata/3+2-1.33-1.34.plan.json":           0,
	} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := raising(p)
		if len(got) != want {
			t.Errorf("%s: %v, want %d nodes", file, got, want)
		}
		for name, ids := range got {
			if len(ids) != 1 || ids[0] != "1.34/etcd/"+name+"/raise-etcd" {
				t.Errorf("%s: %s in %v", file, name, ids)
			}
		}
	}
}
