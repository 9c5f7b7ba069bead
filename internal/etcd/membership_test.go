package etcd

import (
	"os"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// testMember gives what is known of a node's member.
func (c *Cluster) testMember(t *testing.T, node string) cluster.Member {
	t.Helper()
	members, err := c.Members(t.Context())
	check(t, err)
	for _, m := range members {
		if m.Node == node {
			return m
		}
	}
	t.Fatalf("no member on %s: %+v", node, members)
	return cluster.Member{}
}

// testRejoins takes the member that differs out and has it join again, empty, each
// change asked for twice: an answer may get lost.
func testRejoins(t *testing.T, lab *testCluster, c *Cluster) {
	ctx := t.Context()
	points, err := c.Hashes(ctx, "")
	check(t, err)
	hashes := map[uint32][]string{}
	for _, p := range points {
		hashes[p.Hash] = append(hashes[p.Hash], p.Node)
	}
	odd := ""
	for _, nodes := range hashes {
		if len(nodes) == 1 {
			odd = nodes[0]
		}
	}
	if len(points) != 3 || len(hashes) != 2 || odd == "" {
		t.Fatalf("hashes: %+v", points)
	}
	node := lab.node(odd)
	before := c.testMember(t, odd)
	node.stop()
	for range 2 {
		check(t, c.Remove(ctx, before.ID))
	}
	for range 2 {
		check(t, c.Add(ctx, before.PeerURL))
	}
	h, err := c.Health(ctx)
	check(t, err)
	learner := ""
	for _, m := range h.Members {
		if !m.Started && m.Learner && m.ID != before.ID {
			learner = m.ID
		}
	}
	if len(h.Members) != 3 || learner == "" {
		t.Fatalf("members: %+v", h.Members)
	}
	if _, err := c.Hashes(ctx, ""); err == nil {
		t.Error("members were compared while one had never run")
	}
	if points, err := c.Hashes(ctx, "member "+learner); err != nil || len(points) != 2 {
		t.Errorf("the others: %+v, %v", points, err)
	}
	check(t, os.RemoveAll(node.config.Dir))
	node.config.ClusterState = "existing"
	node.start(t)
	for range 2 {
		check(t, c.Promote(ctx, learner))
	}
	points, err = c.Hashes(ctx, "")
	check(t, err)
	for _, p := range points {
		if len(points) != 3 || p.Hash != points[0].Hash {
			t.Errorf("hashes: %+v", points)
		}
	}
	if got := c.testMember(t, odd); got.ID != learner || got.Learner || !got.Healthy {
		t.Errorf("member: %+v", got)
	}
	if err := c.Remove(ctx, "none"); err == nil {
		t.Error("an id that is none was taken")
	}
}
