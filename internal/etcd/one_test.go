package etcd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/kup-project/kup/pkg/plan"
)

// TestOneMember goes over a single-member cluster, as a small cluster has it.
func TestOneMember(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := startCluster(t, 1)
	c := lab.connect(t)
	fill(t, c, 300)

	t.Run("members", func(t *testing.T) {
		members, err := c.Members(ctx)
		check(t, err)
		if len(members) != 1 || members[0].Node != "cp-1" || !members[0].Leader || !members[0].Healthy || members[0].Version.IsZero() {
			t.Errorf("members: %+v", members)
		}
		check(t, c.MoveLeader(ctx, "cp-1")) // nobody else could lead
	})
	t.Run("data", func(t *testing.T) {
		if v := c.DataEqual(ctx); v.State != plan.Holds || !strings.Contains(v.Reason, "only etcd member") {
			t.Errorf("verdict: %+v", v)
		}
	})
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, c) })
	t.Run("copy", func(t *testing.T) { testCopy(t, c) })
	t.Run("snapshot between compactions", func(t *testing.T) { testCompactions(t, c) })
	t.Run("idle and compacted", func(t *testing.T) { testIdle(t, c) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, c) })
	t.Run("alarm", func(t *testing.T) { testAlarm(t, c) })
	t.Run("learner", func(t *testing.T) { testLearner(t, lab, c) })
}

func testCopy(t *testing.T, c *Cluster) {
	path := filepath.Join(t.TempDir(), "copy.db")
	check(t, c.Copy(t.Context(), path))
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := Verify(t.Context(), path, Snapshot{}); err != nil {
		t.Errorf("a copy is a snapshot: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Copy(gone, filepath.Join(t.TempDir(), "copy.db")); err == nil {
		t.Error("a copy that was given up has no error")
	}
}

func testSnapshot(t *testing.T, c *Cluster) {
	dir := t.TempDir()
	var told []int64
	s, err := c.Snapshot(t.Context(), dir, "", func(n int64) { told = append(told, n) })
	check(t, err)
	if s.Member != "cp-1" || s.Version == "" || s.Keys < 100 || s.HashRevision == 0 || s.Hash == 0 || s.Revision < s.HashRevision {
		t.Errorf("snapshot: %+v", s)
	}
	if len(told) == 0 {
		t.Error("no progress was told")
	}
	info, err := os.Stat(s.Path)
	check(t, err)
	if info.Mode().Perm() != 0o600 || info.Size() != s.Size {
		t.Errorf("file: %v, %d bytes; snapshot says %d", info.Mode(), info.Size(), s.Size)
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("left in the directory: %v", left)
	}
	p, err := Verify(t.Context(), s.Path, s)
	check(t, err)
	if p.Point != s.Point() || p.SHA256 != s.SHA256 || p.Keys != s.Keys || !slices.Equal(p.Members, s.Members) {
		t.Errorf("proof %+v\nsnapshot %+v", p, s)
	}
	if _, err := Verify(t.Context(), s.Path, Snapshot{}); err != nil {
		t.Errorf("a snapshot of which nothing was recorded: %v", err)
	}
}

// testCompactions lets compactions come between every two moments of a snapshot.
func testCompactions(t *testing.T, c *Cluster) {
	ctx := t.Context()
	cl := c.testClient(t)
	compact := func(keep int64) {
		head := fill(t, c, 20)
		_, err := cl.Compact(ctx, head-keep)
		check(t, err)
	}
	t.Run("before the stream", func(t *testing.T) {
		s, err := c.Snapshot(ctx, t.TempDir(), "s.db", func(n int64) {
			if n == 0 {
				compact(3)
			}
		})
		check(t, err)
		_, err = Verify(ctx, s.Path, s)
		check(t, err)
	})
	t.Run("beyond the first revision", func(t *testing.T) {
		s, err := c.Snapshot(ctx, t.TempDir(), "s.db", func(n int64) {
			if n == 0 {
				compact(1)
			}
		})
		check(t, err)
		_, err = Verify(ctx, s.Path, s)
		check(t, err)
	})
	t.Run("before the second question", func(t *testing.T) {
		fill(t, c, 20)
		s, err := c.Snapshot(ctx, t.TempDir(), "s.db", nil)
		check(t, err)
		want := s
		want.SHA256, want.CompactRevision = "", s.CompactRevision-1 // as if compacted since
		again := 0
		_, err = prove(ctx, s.Path, t.TempDir(), want, func(ctx context.Context, at int64) (Point, error) {
			again++
			_, err := cl.Compact(ctx, at-2)
			check(t, err)
			return c.again(ctx, at)
		})
		check(t, err)
		if again != 1 {
			t.Errorf("the members were asked %d times", again)
		}
	})
	t.Run("beyond the file", func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		for _, key := range []string{"/big/1", "/big/2"} {
			_, err := cl.Put(ctx, key, big)
			check(t, err)
		}
		takes, compacted := 0, false
		s, err := c.Snapshot(ctx, t.TempDir(), "s.db", func(n int64) {
			switch {
			case n == 0:
				if takes++; takes == 1 {
					compact(3)
				}
			case !compacted: // the file's contents are settled, this is beyond them
				compacted = true
				compact(1)
			}
		})
		check(t, err)
		if takes != 2 {
			t.Errorf("taken %d times", takes)
		}
		_, err = Verify(ctx, s.Path, s)
		check(t, err)
	})
}

// testIdle: a store compacted at its head has no revision to compare until
// somebody writes.
func testIdle(t *testing.T, c *Cluster) {
	head := fill(t, c, 5)
	_, err := c.testClient(t).Compact(t.Context(), head)
	check(t, err)
	_, _, err = c.compare(t.Context(), 0)
	if !errors.Is(err, errUnsettled) || !errors.Is(err, errPassed) {
		t.Errorf("compare at the compaction: %v", err)
	}
	fill(t, c, 1)
	_, _, err = c.compare(t.Context(), 0)
	check(t, err)
}

func testCancelled(t *testing.T, c *Cluster) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := c.Snapshot(ctx, dir, "s.db", func(int64) { cancel() })
	var s *SnapshotError
	if !errors.As(err, &s) || s.Proof != ProofStream || !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left in the directory: %v", left)
	}
}

func testAlarm(t *testing.T, c *Cluster) {
	ctx := t.Context()
	id := c.testMemberID(t)
	ask := func(action pb.AlarmRequest_AlarmAction) {
		t.Helper()
		_, err := pb.NewMaintenanceClient(c.testClient(t).ActiveConnection()).Alarm(ctx,
			&pb.AlarmRequest{Action: action, MemberID: id, Alarm: pb.AlarmType_NOSPACE})
		check(t, err)
	}
	ask(pb.AlarmRequest_ACTIVATE)
	alarms, err := c.Alarms(ctx)
	check(t, err)
	if !slices.Equal(alarms, []string{"cp-1: NOSPACE"}) {
		t.Errorf("alarms: %q", alarms)
	}
	h, err := c.Health(ctx)
	check(t, err)
	if c := h.complaints(); !strings.Contains(c, "NOSPACE") {
		t.Errorf("complaints: %q", c)
	}
	ask(pb.AlarmRequest_DEACTIVATE)
	h, err = c.Health(ctx)
	check(t, err)
	if c := h.complaints(); c != "" {
		t.Errorf("complaints: %q", c)
	}
}

// testLearner adds a learner, first not started, then running.
func testLearner(t *testing.T, lab *testCluster, c *Cluster) {
	ctx := t.Context()
	node := newNode(t, "cp-2", newAuthority(t))
	peer := node.config.AdvertisePeerUrls[0].String()
	_, err := c.testClient(t).MemberAddAsLearner(ctx, []string{peer})
	check(t, err)
	h, err := c.Health(ctx)
	check(t, err)
	if c := h.complaints(); !strings.Contains(c, "never started") {
		t.Errorf("complaints: %q", c)
	}
	node.config.InitialCluster = "cp-1=" + lab.nodes[0].config.AdvertisePeerUrls[0].String() + ",cp-2=" + peer
	node.config.InitialClusterToken = lab.nodes[0].config.InitialClusterToken
	node.config.ClusterState = "existing"
	node.start(t)
	both := (&testCluster{nodes: append(slices.Clone(lab.nodes), node)}).connect(t)
	h, err = both.Health(ctx)
	check(t, err)
	if c := h.complaints(); !strings.Contains(c, "learner") {
		t.Errorf("complaints: %q", c)
	}
	if v := both.DataEqual(ctx); v.State != plan.CannotTell || !strings.Contains(v.Reason, "cp-2 is a learner") {
		t.Errorf("verdict: %+v", v)
	}
	var s *SnapshotError
	if _, err := both.Snapshot(ctx, t.TempDir(), "", nil); !errors.As(err, &s) || s.Proof != ProofMembers {
		t.Errorf("snapshot: %v", err)
	}
}

func (c *Cluster) testMemberID(t *testing.T) uint64 {
	t.Helper()
	s, err := c.members[0].status(t.Context())
	check(t, err)
	return s.GetHeader().GetMemberId()
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	check(t, err)
	hidden, err := filepath.Glob(filepath.Join(dir, ".[!.]*"))
	check(t, err)
	return append(found, hidden...)
}
