package etcd

import (
	"errors"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestDefragment(t *testing.T) {
	lab := startCluster(t, 3)
	c := lab.connect(t)
	cl := c.testClient(t)
	var revision int64
	for range 300 {
		r, err := cl.Put(t.Context(), "/registry/big", strings.Repeat("x", 64<<10))
		check(t, err)
		revision = r.Header.Revision
	}
	_, err := cl.Compact(t.Context(), revision)
	check(t, err)
	fill(t, c, 3) // the hash is compared at a revision above the compaction
	h, err := c.Health(t.Context())
	check(t, err)
	for _, m := range h.Members {
		if m.DBSizeInUse <= 0 || m.DBSizeInUse > m.DBSize {
			t.Errorf("%s: %d of %d bytes are in use", m.Name, m.DBSizeInUse, m.DBSize)
		}
	}
	var refused *DefragmentError
	if _, _, err := c.Defragment(t.Context(), h.Leader); !errors.As(err, &refused) || !strings.Contains(err.Error(), "leads") {
		t.Errorf("the leader: %v", err)
	}
	if _, _, err := c.Defragment(t.Context(), "cp-9"); !errors.As(err, &refused) {
		t.Errorf("a stranger: %v", err)
	}
	follower := "cp-1"
	if h.Leader == follower {
		follower = "cp-2"
	}
	before, after, err := c.Defragment(t.Context(), follower)
	check(t, err)
	if after >= before || before == 0 {
		t.Errorf("%d bytes, before %d", after, before)
	}
	if v := c.DataEqual(t.Context()); v.State != "holds" {
		t.Errorf("after it: %+v", v)
	}
	for _, n := range lab.nodes {
		if n.host.name != follower && n.host.name != h.Leader {
			n.stop()
		}
	}
	if _, _, err := c.Defragment(t.Context(), follower); !errors.As(err, &refused) {
		t.Errorf("while a member is away: %v", err)
	}
}

func TestDefragmentable(t *testing.T) {
	member := func(name string, change func(*MemberHealth)) MemberHealth {
		m := MemberHealth{Member: cluster.Member{Name: name, Node: name, Healthy: true}, Started: true}
		if change != nil {
			change(&m)
		}
		return m
	}
	leader := member("cp-2", func(m *MemberHealth) { m.Leader = true })
	for name, tc := range map[string]struct {
		members []MemberHealth
		want    string
	}{
		"well":    {[]MemberHealth{member("cp-1", nil), leader}, ""},
		"alone":   {[]MemberHealth{member("cp-1", func(m *MemberHealth) { m.Leader = true })}, ""},
		"leads":   {[]MemberHealth{member("cp-1", func(m *MemberHealth) { m.Leader = true }), member("cp-2", nil)}, "leads"},
		"learner": {[]MemberHealth{member("cp-1", nil), leader, member("cp-3", func(m *MemberHealth) { m.Learner = true })}, "cp-3 is a learner"},
		"behind":  {[]MemberHealth{member("cp-1", nil), leader, member("cp-3", func(m *MemberHealth) { m.Behind = smallLag + 1 })}, "cp-3 is 1001 raft entries behind"},
		"away":    {[]MemberHealth{member("cp-1", nil), leader, member("cp-3", func(m *MemberHealth) { m.Err = errors.New("no route") })}, "no route"},
	} {
		err := Health{Leader: "cp-2", Members: tc.members}.defragmentable("cp-1")
		if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Health{Members: []MemberHealth{member("cp-1", nil)}}).defragmentable("cp-1"); !errors.Is(err, errNoLeader) {
		t.Errorf("without a leader: %v", err)
	}
}
