package etcd

import (
	"errors"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestQuorum(t *testing.T) {
	t.Parallel()
	// voters, healthy: how many more may be lost
	tests := []struct{ voters, healthy, quorum, spare int }{
		{1, 1, 1, 0}, {1, 0, 1, -1},
		{2, 2, 2, 0}, {2, 1, 2, -1},
		{3, 3, 2, 1}, {3, 2, 2, 0}, {3, 1, 2, -1}, {3, 0, 2, -1},
		{4, 4, 3, 1}, {4, 3, 3, 0},
		{5, 5, 3, 2}, {5, 4, 3, 1}, {5, 3, 3, 0}, {5, 2, 3, -1},
		{7, 7, 4, 3},
	}
	for _, tt := range tests {
		if q := Quorum(tt.voters); q != tt.quorum {
			t.Errorf("Quorum(%d) = %d, want %d", tt.voters, q, tt.quorum)
		}
		if s := Spare(tt.voters, tt.healthy); s != tt.spare {
			t.Errorf("Spare(%d, %d) = %d, want %d", tt.voters, tt.healthy, s, tt.spare)
		}
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		member     MemberHealth
		leaderless bool
		reported   []string
		want       string
	}{
		"none":   {MemberHealth{Unapplied: smallLag, Behind: smallLag}, false, nil, ""},
		"behind": {MemberHealth{Behind: smallLag + 1}, false, nil, "is 1001 raft entries behind"},
		"unapplied": {MemberHealth{Unapplied: 1500}, true, []string{"etcdserver: no leader"},
			"sees no leader; is 1500 raft entries behind; etcdserver: no leader"},
		"nearly full": {MemberHealth{Member: cluster.Member{DBSize: 95, Quota: 100}}, false, nil, "uses 95 of its quota of 100 bytes"},
		"no quota":    {MemberHealth{Member: cluster.Member{DBSize: 95}}, false, nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.member.problem(nil, tt.leaderless, tt.reported); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	at := func(node string, compact int64, hash uint32) MemberPoint {
		return MemberPoint{Node: node, Point: Point{Revision: 9, CompactRevision: compact, Hash: hash}}
	}
	if err := same([]MemberPoint{at("a", 3, 7), at("b", 3, 7), at("c", 3, 7)}); err != nil {
		t.Error(err)
	}
	if err := same([]MemberPoint{at("a", 3, 7), at("b", 3, 8), at("c", 4, 7)}); !errors.Is(err, errUnsettled) {
		t.Errorf("a compaction between: %v", err)
	}
	var differ *DataError
	err := same([]MemberPoint{at("a", 3, 7), at("b", 3, 8), at("c", 3, 7)})
	if !errors.As(err, &differ) {
		t.Fatalf("error: %v", err)
	}
	want := "etcd members hold different data at revision 9: a and c: hash 00000007; b: hash 00000008"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}
