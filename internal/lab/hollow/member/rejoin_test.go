package member_test

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/etcd"
)

// testRejoin has a member store something else than the others, and join again, empty.
func testRejoin(t *testing.T, l *lab, c *etcd.Cluster) {
	check(t, l.Flush(bounded(t)))
	_, odd := leaders(l.healthy(t, c, 3))
	m := l.Member(odd)
	check(t, m.Corrupt(bounded(t)))
	l.healthy(t, c, 3)
	points, err := c.Hashes(t.Context(), "")
	check(t, err)
	differ := map[uint32]int{}
	for _, p := range points {
		differ[p.Hash]++
	}
	if len(differ) != 2 {
		t.Fatalf("hashes: %+v", points)
	}

	var id, peer string
	var initial []string
	members, err := c.Members(t.Context())
	check(t, err)
	for _, other := range members {
		initial = append(initial, other.Name+"="+other.PeerURL)
		if other.Name == odd {
			id, peer = other.ID, other.PeerURL
		}
	}
	if err := m.Empty(strings.Join(initial, ",")); err == nil {
		t.Error("the data of a running member were set aside")
	}
	check(t, m.Stop(bounded(t)))
	check(t, c.Remove(t.Context(), id))
	check(t, c.Add(t.Context(), peer))
	check(t, m.Empty(strings.Join(initial, ",")))
	check(t, m.Start(bounded(t), ""))
	check(t, m.Ready(bounded(t)))
	members, err = c.Members(t.Context())
	check(t, err)
	for _, now := range members {
		if now.Name == odd {
			if now.ID == id || !now.Learner {
				t.Errorf("it is not new: %+v", now)
			}
			check(t, c.Promote(t.Context(), now.ID))
		}
	}
	l.healthy(t, c, 3)
	points, err = c.Hashes(t.Context(), "")
	check(t, err)
	for _, p := range points {
		if p.Hash != points[0].Hash {
			t.Errorf("hashes: %+v", points)
		}
	}
}
