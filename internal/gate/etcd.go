package gate

import (
	"context"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Etcd is the members, asked one by one.
type Etcd interface {
	// Members tells of each whether it is healthy: it answers, sees a leader and
	// lags behind by little.
	Members(ctx context.Context) ([]cluster.Member, error)
	Alarms(ctx context.Context) ([]string, error)
	// DataEqual compares a hash of the members' data: costly, asked once.
	DataEqual(ctx context.Context) plan.Verdict
}

func (d *Deps) etcdHealthy() check {
	return func(ctx context.Context) plan.Verdict {
		members, err := d.Etcd.Members(ctx)
		if err != nil {
			return cannotTell("etcd's members: %v", err)
		}
		if v := etcdMembers(members); v.State != plan.Holds {
			return v
		}
		alarms, err := d.Etcd.Alarms(ctx)
		if err != nil {
			return cannotTell("etcd's alarms: %v", err)
		}
		return etcdAlarms(alarms)
	}
}

// etcdMembers wants every member up and voting. Quorum then survives one loss
// where there are three or more; with one or two nothing more can be asked.
func etcdMembers(members []cluster.Member) plan.Verdict {
	if len(members) == 0 {
		return cannotTell("etcd has no member that kup can see")
	}
	healthy := 0
	var verdicts []plan.Verdict
	for _, m := range members {
		switch {
		case m.Learner:
			verdicts = append(verdicts, notYet("etcd member %s is a learner", memberName(m)))
		case !m.Healthy:
			verdicts = append(verdicts, notYet("etcd member %s is not healthy: %s", memberName(m), m.Problem))
		default:
			healthy++
		}
	}
	v := worst(verdicts)
	if v.State != plan.Holds && healthy < len(members)/2+1 {
		v.Reason += "; quorum is lost"
	}
	return v
}

// etcdQuorum counts who is left without the member of a node.
func (d *Deps) etcdQuorum(node string) check {
	return func(ctx context.Context) plan.Verdict {
		members, err := d.Etcd.Members(ctx)
		if err != nil {
			return cannotTell("etcd's members: %v", err)
		}
		voters, left := 0, 0
		var away []string
		for _, m := range members {
			switch {
			case m.Learner:
				continue
			case m.Node == node || (m.Node == "" && m.Name == node):
			case m.Healthy:
				left++
			default:
				away = append(away, memberName(m))
			}
			voters++
		}
		if needed := voters/2 + 1; left < needed {
			v := notYet("without the member of %s, %d of etcd's %d voting members are left, and %d are needed", node, left, voters, needed)
			if len(away) > 0 {
				v.Reason += "; not healthy: " + strings.Join(away, ", ")
			}
			return v
		}
		return holds()
	}
}

// etcdBelowQuota judges a member that does not say its quota by what it was started
// with when the plan was made. Waiting makes no store smaller.
func (d *Deps) etcdBelowQuota() check {
	started := map[string]int64{}
	if d.Facts != nil {
		for _, m := range d.Facts.Etcd.Members {
			started[m.ID] = m.ManifestQuota
		}
	}
	return func(ctx context.Context) plan.Verdict {
		members, err := d.Etcd.Members(ctx)
		if err != nil {
			return cannotTell("etcd's members: %v", err)
		}
		for _, m := range members {
			m.ManifestQuota = started[m.ID]
			if full, known := m.Full(false); known && full > cluster.EtcdNearlyFull {
				return never("the store of etcd member %s takes %d%% of its quota; compact and defragment it, one member at a time (etcd.defragment in the inventory has kup do it in a new plan), or raise --quota-backend-bytes", memberName(m), full)
			}
		}
		return holds()
	}
}

func etcdAlarms(alarms []string) plan.Verdict {
	for _, a := range alarms {
		if strings.Contains(a, "CORRUPT") {
			return never("etcd raised the alarm %s: its data is damaged on a member", a)
		}
	}
	if len(alarms) > 0 {
		return notYet("etcd raised the alarm %s", strings.Join(alarms, ", "))
	}
	return holds()
}

// etcdMember wants the node's member and, where that is one, its static pod.
func (d *Deps) etcdMember(node string, want cluster.Version) check {
	external := false
	if d.Facts != nil {
		n := d.Facts.Node(node)
		external = n != nil && n.Role == cluster.EtcdHost
	}
	atLeast := func(v cluster.Version) bool { return !v.Less(want) }
	pod := d.ofNode(node, func(n cluster.Node) plan.Verdict { return staticPod(n, "etcd", atLeast, want) })
	return func(ctx context.Context) plan.Verdict {
		members, err := d.Etcd.Members(ctx)
		if err != nil {
			return cannotTell("etcd's members: %v", err)
		}
		if v := memberAt(members, node, want); external || v.State != plan.Holds {
			return v
		}
		return pod(ctx)
	}
}

func memberAt(members []cluster.Member, node string, want cluster.Version) plan.Verdict {
	for _, m := range members {
		if m.Node != node && (m.Node != "" || m.Name != node) {
			continue
		}
		switch {
		case !m.Healthy:
			return notYet("etcd member %s is not healthy: %s", memberName(m), m.Problem)
		case m.Version.Less(want):
			return notYet("etcd member %s runs %s, not %s", memberName(m), m.Version, want)
		}
		return holds()
	}
	return notYet("etcd has no member on %s", node)
}

// etcdAgreed wants the member of a node to be able to run an older etcd on the data of
// all. What the members agreed on never falls: waiting brings no older etcd back in.
func (d *Deps) etcdAgreed(node string, back cluster.Version) check {
	return func(ctx context.Context) plan.Verdict {
		members, err := d.Etcd.Members(ctx)
		if err != nil {
			return cannotTell("etcd's members: %v", err)
		}
		const instead = "; mend it there and go on with the upgrade: kup apply --resume; or restore the hop's snapshot: kup rollback --scope data"
		agreed := cluster.EtcdAgreed(members)
		switch {
		case back.Line().Less(agreed.Line()):
			return never("etcd's members agreed on %s since the rollback was planned, and etcd %s neither reads their data nor joins them; the member of %s was left as it is%s", agreed.Line(), back.Bare(), node, instead)
		case !agreed.IsZero():
			return holds()
		}
		// Below 3.6 none tells. One that runs proves that none agreed on more than it runs.
		silent := false
		for _, m := range members {
			if !m.Version.IsZero() && !back.Line().Less(m.Version.Line()) {
				return holds()
			}
			silent = silent || m.Version.IsZero()
		}
		if silent || len(members) == 0 {
			return cannotTell("no etcd member that answers tells which version the members agreed on, and none runs %s", back.Line())
		}
		return never("all etcd members run a newer minor than %s by now, and none tells that they did not agree on it; the member of %s was left as it is%s", back.Line(), node, instead)
	}
}

func memberName(m cluster.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}
