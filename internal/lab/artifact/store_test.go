package artifact

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestEnsureBuildsOnce(t *testing.T) {
	var log bytes.Buffer
	s, err := New(t.TempDir(), &log)
	if err != nil {
		t.Fatal(err)
	}
	r := recipe{kind: "thing", name: "a", inputs: []string{"1"}}
	var built atomic.Int32
	build := func(_ context.Context, dir string) error {
		built.Add(1)
		return os.WriteFile(filepath.Join(dir, "out"), []byte("x"), 0o600)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			dir, err := s.ensure(t.Context(), r, build)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "out")); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if built.Load() != 1 {
		t.Errorf("built %d times, want once", built.Load())
	}
	other := r
	other.inputs = []string{"2"}
	if _, err := s.ensure(t.Context(), other, build); err != nil {
		t.Fatal(err)
	}
	if built.Load() != 2 {
		t.Error("another recipe was not built")
	}
}

func TestEnsureLeavesNothingOnFailure(t *testing.T) {
	s, err := New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	_, err = s.ensure(t.Context(), recipe{kind: "thing", name: "a"}, func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want boom", err)
	}
	left, err := os.ReadDir(filepath.Join(s.Dir(), "thing"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestRecipeKeysDoNotRunTogether(t *testing.T) {
	a := recipe{kind: "k", name: "n", inputs: []string{"ab", "c"}}
	b := recipe{kind: "k", name: "n", inputs: []string{"a", "bc"}}
	if a.key() == b.key() {
		t.Error("different inputs share a key")
	}
	if first, second := a.key(), a.key(); first != second {
		t.Error("a key is not stable")
	}
}

func TestLockFileGivesUpWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	unlock, err := LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := LockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v while another holds the lock", err)
	}
	unlock()
	again, err := LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := os.Stat(path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file is left: %v", err)
	}
}

func TestCommandErrorHoldsStderr(t *testing.T) {
	_, err := command{argv: []string{"sh", "-c", "echo why >&2; exit 3"}}.run(t.Context())
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Stderr != "why\n" {
		t.Fatalf("got %v", err)
	}
}

func TestNewSweepsWhatKilledBuildsLeft(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "kubernetes", ".building-4194999-1")
	alive := filepath.Join(dir, scratch("gocache")+"1")
	kept := filepath.Join(dir, "kubernetes", "v1.33.13-0123")
	for _, d := range []string{dead, alive, kept} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New(dir, nil); err != nil {
		t.Fatal(err)
	}
	if isDir(dead) || !isDir(alive) || !isDir(kept) {
		t.Errorf("dead %v, alive %v, kept %v", isDir(dead), isDir(alive), isDir(kept))
	}
}
