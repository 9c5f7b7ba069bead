package etcd

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
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

func TestVerdict(t *testing.T) {
	t.Parallel()
	member := func(node string, edit func(*MemberHealth)) MemberHealth {
		m := MemberHealth{Member: cluster.Member{Name: node, Node: node, Healthy: true}, Started: true}
		if edit != nil {
			edit(&m)
		}
		return m
	}
	with := func(edit func(*MemberHealth)) Health {
		return Health{Leader: "cp-1", Members: []MemberHealth{member("cp-1", nil), member("cp-2", nil), member("cp-3", edit)}}
	}
	noAlarms := with(nil)
	noAlarms.AlarmsErr = errors.New("no quorum")
	leaderless := with(nil)
	leaderless.Leader = ""
	space, corrupt := with(nil), with(nil)
	space.Alarms, corrupt.Alarms = []string{"cp-2: NOSPACE"}, []string{"cp-2: CORRUPT", "cp-2: NOSPACE"}
	tests := map[string]struct {
		health Health
		want   plan.Verdict
	}{
		"well":            {with(nil), plan.Verdict{State: plan.Holds, Reason: "all 3 etcd members are healthy, cp-1 leads, no alarm, quorum survives the loss of 1"}},
		"alone":           {Health{Leader: "cp-1", Members: []MemberHealth{member("cp-1", nil)}}, plan.Verdict{State: plan.Holds, Reason: "all 1 etcd members are healthy, cp-1 leads, no alarm"}},
		"no space":        {space, plan.Verdict{State: plan.NotYet, Reason: "etcd raised the alarm cp-2: NOSPACE"}},
		"corrupt":         {corrupt, plan.Verdict{State: plan.Never, Reason: "etcd raised the alarm cp-2: CORRUPT"}},
		"learner":         {with(func(m *MemberHealth) { m.Learner = true }), plan.Verdict{State: plan.NotYet, Reason: "etcd on cp-3 is a learner"}},
		"no leader":       {leaderless, plan.Verdict{State: plan.NotYet, Reason: "etcd has no leader"}},
		"no alarms told":  {noAlarms, plan.Verdict{State: plan.NotYet, Reason: "etcd's alarms: no quorum"}},
		"lagging":         {with(func(m *MemberHealth) { m.Healthy, m.Problem = false, "is 2000 raft entries behind" }), plan.Verdict{State: plan.NotYet, Reason: "etcd on cp-3 is 2000 raft entries behind"}},
		"does not answer": {with(func(m *MemberHealth) { m.Err = errors.New("etcd on cp-3: status: refused") }), plan.Verdict{State: plan.NotYet, Reason: "etcd on cp-3: status: refused"}},
		"host is away": {with(func(m *MemberHealth) {
			m.Err = fmt.Errorf("status: %w", &remote.ConnectionError{Host: "cp-3", Err: io.ErrUnexpectedEOF})
		}), plan.Verdict{State: plan.CannotTell, Reason: "status: cp-3: unexpected EOF"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.health.Verdict(); got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
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
