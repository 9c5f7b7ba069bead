package gate

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// agreeing is a member of 3.6 that tells what the members agreed on.
func agreeing(name, on string) cluster.Member {
	m := member(name, "3.6.5")
	m.StorageVersion = cluster.MustParseVersion(on)
	return m
}

// silent is a member that does not answer.
func silent(name string) cluster.Member {
	return cluster.Member{Name: name, Node: name, Problem: "connection refused"}
}

// A member of 3.5 cannot come back to members that agreed on 3.6: that is asked right
// before its files go back, whatever was seen when the rollback was planned.
func TestWhatEtcdAgreedOn(t *testing.T) {
	for name, tc := range map[string]struct {
		members []cluster.Member
		err     error
		back    string
		state   plan.State
		reason  string
	}{
		"one told, still the old":            {[]cluster.Member{agreeing("cp-1", "3.5.0"), silent("cp-2"), member("cp-3", "3.5.24")}, nil, "v3.5.24", plan.Holds, ""},
		"the last, and it never rose":        {[]cluster.Member{agreeing("cp-1", "3.5.0"), silent("cp-2"), agreeing("cp-3", "3.5.0")}, nil, "v3.5.24", plan.Holds, ""},
		"it rose":                            {[]cluster.Member{agreeing("cp-1", "3.6.0"), silent("cp-2"), agreeing("cp-3", "3.6.0")}, nil, "v3.5.24", plan.Never, "agreed on 3.6 since the rollback was planned, and etcd 3.5.24 neither reads their data nor joins them; the member of cp-2 was left as it is"},
		"it rose, and one lags":              {[]cluster.Member{agreeing("cp-1", "3.5.0"), silent("cp-2"), agreeing("cp-3", "3.6.0")}, nil, "v3.5.24", plan.Never, "kup rollback --scope data"},
		"within its minor":                   {[]cluster.Member{agreeing("cp-1", "3.6.0"), silent("cp-2"), agreeing("cp-3", "3.6.0")}, nil, "v3.6.4", plan.Holds, ""},
		"nobody tells, an old one runs":      {[]cluster.Member{member("cp-1", "3.5.24"), silent("cp-2"), member("cp-3", "3.4.30")}, nil, "v3.4.27", plan.Holds, ""},
		"an old one runs without its quorum": {[]cluster.Member{silent("cp-1"), silent("cp-2"), sick(member("cp-3", "3.5.24"), "sees no leader")}, nil, "v3.5.24", plan.Holds, ""},
		"nobody tells, all are newer":        {[]cluster.Member{member("cp-1", "3.5.24"), member("cp-2", "3.5.24")}, nil, "v3.4.27", plan.Never, "all etcd members run a newer minor than 3.4"},
		"nobody tells, the old one is away":  {[]cluster.Member{member("cp-1", "3.5.24"), silent("cp-2"), silent("cp-3")}, nil, "v3.4.27", plan.CannotTell, "none runs 3.4"},
		"no member":                          {nil, nil, "v3.5.24", plan.CannotTell, "tells which version"},
		"no answer":                          {nil, errIO, "v3.5.24", plan.CannotTell, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := newSet(&fake{members: tc.members, err: tc.err}).Gate(plan.GateID("etcd-agreed:cp-2@" + tc.back))
			if err != nil {
				t.Fatal(err)
			}
			v := g.Check(t.Context())
			if v.State != tc.state || !strings.Contains(v.Reason, tc.reason) || strings.Contains(v.Reason+g.Describe(), "%!") {
				t.Errorf("%s: %s", v.State, v.Reason)
			}
			// What the members agree on is in their data seconds later.
			if g.Policy().Sustain <= 0 {
				t.Error("it is asked once")
			}
		})
	}
}
