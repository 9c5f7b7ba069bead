//go:build stories

package hollow_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// TestRollbackOfTheDataGoesOn: kup that ends in the middle of a restore, wherever, is gone
// on with by kup rollback, to the same end.
func TestRollbackOfTheDataGoesOn(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	kup(t, c, 0, "apply", "--to", "v1.34", "--yes", "--accept-notices")
	api := client(t, c)
	written(t, api)
	before := revision(t, api)
	moments := []struct {
		when string
		at   journal.Record
	}{
		{"in the standstill", journal.Record{Kind: journal.StepAfter, Step: "1.33/standstill/cp-2/standstill"}},
		{"between the restores of two members", journal.Record{Kind: journal.StepAfter, Step: "1.33/restore/cp-3/etcd"}},
		{"before the API servers start", journal.Record{Kind: journal.StepAfter, Step: "1.33/start/revision"}},
	}
	ended := &endings{}
	args := []string{"rollback", "--scope", "data", "--accept-data-loss", "--yes", "--accept-notices"}
	for _, m := range moments {
		ended.at = append(ended.at, m.at)
		code, out := kupEnding(t, c, ended, args...)
		if code == 5 || len(ended.at) > 0 {
			t.Fatalf("%s: kup was to end early: exit code %d, still to end at %v\n%s", m.when, code, ended.at, out)
		}
		t.Logf("%s: exit code %d", m.when, code)
		args = []string{"rollback", "--yes"}
	}
	if code, out := kupEnding(t, c, ended, args...); code != 5 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	back(t, c, before)
	// What had its effect before kup ended is not done again: data that were restored
	// already may have been written to since.
	attempts := map[string]int{}
	for _, m := range c.Mutations() {
		if strings.HasPrefix(m.Step, "1.33/restore/") && strings.HasSuffix(m.Step, "/etcd") {
			attempts[m.Step] = max(attempts[m.Step], m.Attempt)
		}
	}
	if want := map[string]int{"1.33/restore/cp-1/etcd": 1, "1.33/restore/cp-2/etcd": 1, "1.33/restore/cp-3/etcd": 1}; !maps.Equal(attempts, want) {
		t.Errorf("attempts at restores: %v, want %v", attempts, want)
	}
}
