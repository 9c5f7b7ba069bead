package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/snapshot"
)

func TestPruneKeepsTheNewestAndItsOwn(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	base, err := stateDir("uid-1")
	if err != nil {
		t.Fatal(err)
	}
	// The run that just ended has the oldest file of all: a clock that jumped.
	for i, name := range []string{"20260109-010101-00000f/etcd-1.34.db", "20260101-010101-00000a/etcd-1.33.db", "20260102-010101-00000b/etcd-1.33.db", "20260103-010101-00000c/etcd-1.33.db", "20260103-010101-00000c/plan.json"} {
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
	if err := prune(t.Context(), storeIn(t, ""), "20260109-010101-00000f", 2); err != nil {
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
	if want := []string{"20260103-010101-00000c/etcd-1.33.db", "20260103-010101-00000c/plan.json", "20260109-010101-00000f/etcd-1.34.db"}; !slices.Equal(names, want) {
		t.Errorf("left %v, want %v", names, want)
	}
}

// storeIn is where snapshots of the cluster uid-1 go when kup.yaml names a directory.
func storeIn(t *testing.T, directory string) *snapshot.Store {
	t.Helper()
	s := &session{inv: &inventory.Inventory{Snapshots: inventory.Snapshots{Directory: directory}}}
	store, err := s.snapshots("uid-1")
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// A directory for snapshots may hold those of other clusters, and files of other
// programs: none of them is this cluster's to remove.
func TestPruneLeavesForeignFilesAlone(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	base, err := stateDir("uid-1")
	if err != nil {
		t.Fatal(err)
	}
	runs := []string{"20260101-010101-00000a", "20260102-010101-00000b", "20260103-010101-00000c"}
	for _, run := range runs {
		if err := os.MkdirAll(filepath.Join(base, run), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	shared := t.TempDir()
	for i, name := range []string{
		"nightly-etcd-20251231.db",                // another program's
		"20251230-010101-ffffff-etcd-1.33.db",     // another cluster's
		"20260101-010101-00000a-etcd-1.32.db",     // the oldest of this one
		"20260101-010101-00000a-etcd-1.32.db.old", // put aside by hand
		"20260102-010101-00000b-etcd-1.33.db",
		"20260103-010101-00000c-etcd-1.34.db",
	} {
		path := filepath.Join(shared, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(t.Context(), storeIn(t, shared), runs[2], 2); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(shared)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	want := []string{
		"20251230-010101-ffffff-etcd-1.33.db", "20260101-010101-00000a-etcd-1.32.db.old", "20260102-010101-00000b-etcd-1.33.db",
		"20260103-010101-00000c-etcd-1.34.db", "nightly-etcd-20251231.db",
	}
	if !slices.Equal(names, want) {
		t.Errorf("left %v, want %v", names, want)
	}
}
