package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestPruneKeepsTheNewestAndItsOwn(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	base, err := stateDir("uid-1")
	if err != nil {
		t.Fatal(err)
	}
	// The run that just ended has the oldest file of all: a clock that jumped.
	for i, name := range []string{"now/etcd-1.34.db", "a/etcd-1.33.db", "b/etcd-1.33.db", "c/etcd-1.33.db", "c/plan.json"} {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune("uid-1", "now", "", 2); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(base, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range left {
		rel, err := filepath.Rel(base, p)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, rel)
	}
	if want := []string{"c/etcd-1.33.db", "c/plan.json", "now/etcd-1.34.db"}; !slices.Equal(names, want) {
		t.Errorf("left %v, want %v", names, want)
	}
}
