package etcd

import (
	"context"
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// smallLag is how many raft entries a member may be behind and still count as
// current; a server refuses requests at 5000.
const smallLag = 1000

// quotaShare is how much of its quota a member may have used, in hundredths. At
// the quota the whole cluster turns read-only.
const quotaShare = 95

// Health is the state of every member at one moment.
type Health struct {
	ClusterID string // hexadecimal
	Leader    string // the node that leads; empty: none
	Members   []MemberHealth
	Alarms    []string // as [Cluster.Alarms] gives them
	// AlarmsErr is why the alarms could not be asked (no quorum, mostly).
	AlarmsErr error
}

// MemberHealth is one member's state.
type MemberHealth struct {
	cluster.Member
	// Started is false for a member that was added and has never run.
	Started bool
	Term    uint64
	// Unapplied counts the raft entries that the member has agreed to and not
	// applied; Behind those that the leader has and it has not applied.
	Unapplied, Behind uint64
	Err               error // why the member did not answer
}

// Health asks every member. It fails only when no member answers.
func (c *Cluster) Health(ctx context.Context) (Health, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return Health{}, err
	}
	h := Health{ClusterID: hexID(o.clusterID), Members: o.health()}
	h.Alarms, h.AlarmsErr = c.alarms(ctx, o)
	if l, ok := o.leader(); ok {
		h.Leader = l.name()
	}
	return h, nil
}

func (o observation) health() []MemberHealth {
	head := uint64(0)
	if l, ok := o.leader(); ok {
		head = l.status.GetRaftIndex()
	}
	out := make([]MemberHealth, 0, len(o.seen))
	for _, s := range o.seen {
		out = append(out, s.health(head))
	}
	return out
}

func (s seen) health(head uint64) MemberHealth {
	m := MemberHealth{
		Member: cluster.Member{
			ID:        hexID(s.listed.GetID()),
			Name:      s.listed.GetName(),
			PeerURL:   first(s.listed.GetPeerURLs()),
			ClientURL: first(s.listed.GetClientURLs()),
			Learner:   s.listed.GetIsLearner(),
		},
		Started: s.listed.GetName() != "",
		Err:     s.err,
	}
	if s.conn != nil {
		m.Node = s.conn.access.Node
	}
	if s.err != nil {
		m.Problem = s.err.Error()
		return m
	}
	m.Leader = s.leads()
	m.DBSize, m.Quota = s.status.GetDbSize(), s.status.GetDbSizeQuota()
	m.DBSizeInUse = s.status.GetDbSizeInUse()
	m.Term = s.status.GetRaftTerm()
	m.Unapplied, m.Behind = s.lag(), distance(head, s.status.GetRaftAppliedIndex())
	v, err := cluster.ParseVersion(s.status.GetVersion())
	m.Version = v
	if agreed, err := cluster.ParseVersion(s.status.GetStorageVersion()); err == nil {
		m.StorageVersion = agreed
	}
	m.Problem = m.problem(err, s.status.GetLeader() == 0, s.status.GetErrors())
	m.Healthy = m.Problem == ""
	return m
}

// problem says what is wrong with a member that answers, or nothing.
func (m *MemberHealth) problem(version error, leaderless bool, reported []string) string {
	var out []string
	if version != nil {
		out = append(out, version.Error())
	}
	if leaderless {
		out = append(out, "sees no leader")
	}
	if lag := max(m.Unapplied, m.Behind); lag > smallLag {
		out = append(out, fmt.Sprintf("is %d raft entries behind", lag))
	}
	if m.Quota > 0 && m.DBSize >= m.Quota/100*quotaShare {
		out = append(out, fmt.Sprintf("uses %d of its quota of %d bytes", m.DBSize, m.Quota))
	}
	return strings.Join(append(out, reported...), "; ")
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// Quorum is how many of so many voting members must agree.
func Quorum(voters int) int { return voters/2 + 1 }

// Spare is how many healthy voters may still be lost before quorum is; -1 means
// that it is lost already.
func Spare(voters, healthy int) int { return max(healthy-Quorum(voters), -1) }

// Spare is [Spare] of the cluster as observed.
func (h Health) Spare() int {
	voters, healthy := 0, 0
	for _, m := range h.Members {
		if m.Learner {
			continue
		}
		voters++
		if m.Healthy {
			healthy++
		}
	}
	return Spare(voters, healthy)
}
