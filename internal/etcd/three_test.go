package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/kup-project/kup/pkg/plan"
)

// TestThreeMembers goes over a cluster of three, ending with what breaks it.
func TestThreeMembers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := startCluster(t, 3)
	if t.Failed() {
		return
	}
	c := lab.connect(t)
	fill(t, c, 100)

	t.Run("healthy", func(t *testing.T) {
		h, err := c.Health(ctx)
		check(t, err)
		if c := h.complaints(); c != "" || h.Spare() != 1 || h.Leader == "" {
			t.Errorf("complaints: %q, %+v", c, h)
		}
		if v := c.DataEqual(ctx); v.State != plan.Holds {
			t.Errorf("verdict: %+v", v)
		}
	})
	t.Run("move leader", func(t *testing.T) {
		leader, follower := c.testLeader(t)
		check(t, c.MoveLeader(ctx, follower)) // it does not lead
		if now, _ := c.testLeader(t); now != leader {
			t.Errorf("leadership went from %s to %s", leader, now)
		}
		check(t, c.MoveLeader(ctx, leader))
		if now, _ := c.testLeader(t); now == leader || now == "" {
			t.Errorf("%q leads", now)
		}
	})
	t.Run("snapshot", func(t *testing.T) {
		s, err := c.Snapshot(ctx, t.TempDir(), "three.db", nil)
		check(t, err)
		if leader, _ := c.testLeader(t); s.Member == leader || len(s.Members) != 3 {
			t.Errorf("snapshot: %+v; %s leads", s, leader)
		}
		testForeign(t, s)
	})
	t.Run("member restarts with other certificates", func(t *testing.T) { testRenewed(t, lab, c) })
	t.Run("member differs", func(t *testing.T) { testDiffers(t, lab, c) })
	t.Run("member rejoins", func(t *testing.T) { testRejoins(t, lab, c) })
	t.Run("members down", func(t *testing.T) { testDown(t, lab, c) })
}

// testForeign takes the file of this cluster for that of another.
func testForeign(t *testing.T, s Snapshot) {
	other := s
	other.SHA256, other.Members = "", []string{"1234", "5678"}
	_, err := Verify(t.Context(), s.Path, other)
	wantProof(t, err, ProofIdentity, ErrForeign)
}

// testRenewed restarts a member under another authority: clients must read the
// node's certificates again.
func testRenewed(t *testing.T, lab *testCluster, c *Cluster) {
	_, follower := c.testLeader(t)
	node := lab.node(follower)
	node.stop()
	h, err := c.Health(t.Context())
	check(t, err)
	if c := h.complaints(); !strings.Contains(c, follower) || h.Spare() != 0 {
		t.Errorf("complaints: %q, spare %d", c, h.Spare())
	}
	node.certify(t, newAuthority(t))
	node.start(t)
	c.awaitHealthy(t)
}

// testDiffers changes one value behind a member's back.
func testDiffers(t *testing.T, lab *testCluster, c *Cluster) {
	fill(t, c, 3)
	_, follower := c.testLeader(t)
	node := lab.node(follower)
	node.stop()
	b := backend.NewDefaultBackend(quiet(), datadir.ToBackendFileName(node.config.Dir))
	tx := b.BatchTx()
	tx.LockOutsideApply()
	key := mvcc.NewRevBytes()
	key = mvcc.RevToBytes(mvcc.Revision{Main: 20}, key)
	_, values := tx.UnsafeRange(schema.Key, key, nil, 0)
	if len(values) != 1 {
		t.Fatalf("%d rows at revision 20", len(values))
	}
	changed := append([]byte(nil), values[0]...)
	changed[len(changed)-1] ^= 1 // the last byte of the stored message
	tx.UnsafePut(schema.Key, key, changed)
	tx.Unlock()
	b.ForceCommit()
	check(t, b.Close())
	node.start(t)
	c.awaitHealthy(t)
	v := c.DataEqual(t.Context())
	if v.State != plan.Never || !strings.Contains(v.Reason, follower+": hash") || strings.Count(v.Reason, " and ") != 1 {
		t.Errorf("verdict: %+v", v)
	}
	var differ *DataError
	dir := t.TempDir()
	_, err := c.Snapshot(t.Context(), dir, "", nil)
	wantProof(t, err, ProofMembers, nil)
	if !errors.As(err, &differ) || len(differ.Points) != 3 {
		t.Errorf("error: %v", err)
	}
	left, err := os.ReadDir(dir)
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left in the directory: %v", left)
	}
}

// testDown stops two of three: there is no leader, and what can be said is said.
func testDown(t *testing.T, lab *testCluster, c *Cluster) {
	lab.nodes[1].stop()
	lab.nodes[2].stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	await(t, func() (bool, string) {
		h, err := c.Health(ctx)
		ok := err == nil && h.Leader == "" && len(h.Members) == 3 && h.Spare() == -1 && h.AlarmsErr != nil
		return ok, fmt.Sprintf("%+v, %v", h, err)
	})
	var stays *LeaderError
	if err := c.MoveLeader(ctx, "cp-1"); !errors.As(err, &stays) {
		t.Errorf("move leader: %v", err)
	}
	if v := c.DataEqual(ctx); v.State != plan.CannotTell {
		t.Errorf("verdict: %+v", v)
	}
	lab.nodes[0].stop()
	var asked *MemberError
	if _, err := c.Members(ctx); !errors.As(err, &asked) {
		t.Errorf("members: %v", err)
	}
}

func (lab *testCluster) node(name string) *testNode {
	for _, n := range lab.nodes {
		if n.host.name == name {
			return n
		}
	}
	return nil
}

// testLeader gives the leader and a follower that is not the first node, whose
// client the tests write with.
func (c *Cluster) testLeader(t *testing.T) (leader, follower string) {
	t.Helper()
	members, err := c.Members(t.Context())
	check(t, err)
	for _, m := range members {
		if m.Leader {
			leader = m.Node
		} else if m.Node != "cp-1" {
			follower = m.Node
		}
	}
	return leader, follower
}

func wantProof(t *testing.T, err error, proof ProofName, cause error) {
	t.Helper()
	var s *SnapshotError
	if !errors.As(err, &s) || s.Proof != proof || (cause != nil && !errors.Is(err, cause)) {
		t.Errorf("error: %v; want proof %q to fail with %v", err, proof, cause)
	}
}

func (c *Cluster) awaitHealthy(t *testing.T) {
	t.Helper()
	await(t, func() (bool, string) {
		h, err := c.Health(t.Context())
		return err == nil && h.complaints() == "", fmt.Sprintf("%s, %v", h.complaints(), err)
	})
}

func await(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, state := ok()
		if done {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("it did not come true in 30 s: %s", state)
		case <-tick.C:
		}
	}
}
