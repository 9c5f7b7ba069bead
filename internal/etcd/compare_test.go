package etcd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestClusterVerify: a file is held against the members, for as long as these can tell.
func TestClusterVerify(t *testing.T) {
	t.Parallel()
	lab, other := startCluster(t, 1), startCluster(t, 1)
	c, foreign := lab.connect(t), other.connect(t)
	revision := fill(t, c, 100)
	fill(t, foreign, 30)
	s, err := c.Snapshot(t.Context(), t.TempDir(), "s.db", nil)
	check(t, err)
	fill(t, c, 10)
	scratch := t.TempDir()
	verify := func(by *Cluster, want Snapshot) (string, error) {
		t.Helper()
		_, compared, err := by.Verify(t.Context(), s.Path, scratch, want)
		if left := names(t, scratch); len(left) > 0 {
			t.Errorf("left in scratch: %v", left)
		}
		return compared, err
	}
	for name, want := range map[string]Snapshot{"described": s, "not described": {}} {
		if compared, err := verify(c, want); err != nil || !strings.Contains(compared, "the 1 members, at revision") {
			t.Errorf("%s: %q, %v", name, compared, err)
		}
	}
	_, err = verify(c, withHash(s, s.Hash+1)) // the members know better than what was written down
	check(t, err)
	_, err = verify(foreign, Snapshot{})
	wantProof(t, err, ProofIdentity, ErrForeign)
	if compared, err := verify(foreign, s); err != nil || !strings.Contains(compared, "made anew") {
		t.Errorf("after a restore: %q, %v", compared, err)
	}

	_, err = c.testClient(t).Compact(t.Context(), revision+5, clientv3.WithCompactPhysical())
	check(t, err)
	if compared, err := verify(c, s); err != nil || !strings.Contains(compared, "no longer hold") {
		t.Errorf("compacted since: %q, %v", compared, err)
	}
	_, err = verify(c, withHash(s, s.Hash+1)) // and now only that is left
	wantProof(t, err, ProofHash, ErrHash)

	content, err := os.ReadFile(s.Path)
	check(t, err)
	check(t, os.WriteFile(s.Path, content[:len(content)-4096], 0o600))
	_, err = verify(c, s)
	wantProof(t, err, ProofTrailer, ErrChecksum)
}

// TestSnapshotThrottled: what comes slowly is whole, and waiting ends with its context.
func TestSnapshotThrottled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1).connect(t)
	fill(t, c, 50)
	s, err := c.SnapshotAt(t.Context(), t.TempDir(), "s.db", 4<<20, nil)
	check(t, err)
	if _, err := Verify(t.Context(), s.Path, s); err != nil {
		t.Error(err)
	}
	slow := newThrottle(cancelled(t), 1024)
	if n, err := slow.Write(make([]byte, 100<<10)); err == nil || n == 100<<10 {
		t.Errorf("%d bytes were let through at once: %v", n, err)
	}
}

// TestDataDir: a directory that a member starts from, with the revision raised; and
// nothing is written where something is.
func TestDataDir(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1).connect(t)
	fill(t, c, 50)
	s, err := c.Snapshot(t.Context(), t.TempDir(), "s.db", nil)
	check(t, err)
	good := DataDir{
		Dir: filepath.Join(t.TempDir(), "new", "etcd"), Name: "cp-1", PeerURLs: []string{"https://10.0.0.11:2380"},
		InitialCluster: "cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380", Token: "restored",
		RevisionBump: 1000, MarkCompacted: true,
	}
	check(t, good.Restore(t.Context(), s.Path))
	if left := names(t, good.Dir); len(left) != 1 || left[0] != filepath.Join(good.Dir, "member") {
		t.Errorf("it has %v", left)
	}
	info, err := os.Stat(good.Dir)
	check(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	store, err := open(good.Dir)
	check(t, err)
	revision, keys, err := store.count(t.Context())
	store.close()
	check(t, err)
	if revision != s.Revision+1000 || keys != s.Keys {
		t.Errorf("revision %d, keys %d; the snapshot has %d, %d", revision, keys, s.Revision, s.Keys)
	}

	var bad *DataDirError
	for name, change := range map[string]func(*DataDir){
		"not empty":            func(d *DataDir) { d.Dir = good.Dir },
		"a file":               func(d *DataDir) { d.Dir = s.Path },
		"not in the cluster":   func(d *DataDir) { d.Name = "cp-9" },
		"other URLs":           func(d *DataDir) { d.PeerURLs = []string{"https://10.0.0.12:2380"} },
		"no URL":               func(d *DataDir) { d.PeerURLs = nil },
		"no cluster":           func(d *DataDir) { d.InitialCluster = "cp-1" },
		"compacted at nothing": func(d *DataDir) { d.RevisionBump = 0 },
	} {
		d := good
		d.Dir = filepath.Join(t.TempDir(), "etcd")
		change(&d)
		if err := d.Restore(t.Context(), s.Path); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(d.Dir); d.Dir != good.Dir && d.Dir != s.Path && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was made: %v", name, err)
		}
	}
	broken := good
	broken.Dir = t.TempDir()
	check(t, os.WriteFile(s.Path, []byte("no snapshot"), 0o600))
	if err := broken.Restore(t.Context(), s.Path); err == nil || errors.As(err, &bad) {
		t.Errorf("of a file that is none: %v", err)
	}
	if left := names(t, broken.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
