package etcd

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sync/errgroup"
)

// observation is the cluster at one moment, as nearly as asking allows.
type observation struct {
	clusterID uint64
	seen      []seen // sorted by name; one for each member of the list
}

// seen is one member: what the list says of it and what it says itself.
type seen struct {
	listed *pb.Member
	conn   *member            // nil when there is no access to its node
	status *pb.StatusResponse // nil when it did not answer
	err    error              // why it did not
}

// name is what an operator calls the member: the node's name where it is known.
func (s seen) name() string {
	switch {
	case s.conn != nil:
		return s.conn.access.Node
	case s.listed.GetName() != "":
		return s.listed.GetName()
	}
	return "member " + hexID(s.listed.GetID())
}

func (s seen) leads() bool {
	return s.status != nil && s.status.GetLeader() != 0 && s.status.GetLeader() == s.listed.GetID()
}

func (s seen) voter() bool { return !s.listed.GetIsLearner() }

// lag is how many entries the member has agreed to but not applied.
func (s seen) lag() uint64 {
	return distance(s.status.GetRaftIndex(), s.status.GetRaftAppliedIndex())
}

// distance is from-to, never below zero: two counters read at two moments.
func distance(from, to uint64) uint64 {
	if from < to {
		return 0
	}
	return from - to
}

func (o observation) nameOf(id uint64) string {
	for _, s := range o.seen {
		if s.listed.GetID() == id {
			return s.name()
		}
	}
	return "member " + hexID(id)
}

func (o observation) leader() (seen, bool) {
	for _, s := range o.seen {
		if s.leads() {
			return s, true
		}
	}
	return seen{}, false
}

func (o observation) voters() int {
	n := 0
	for _, s := range o.seen {
		if s.voter() {
			n++
		}
	}
	return n
}

// complete gives an error unless every member answered and none is a learner:
// the precondition of comparing them.
func (o observation) complete() error {
	for _, s := range o.seen {
		switch {
		case s.err != nil:
			return s.err
		case !s.voter():
			return fmt.Errorf("etcd on %s is a learner: it has not caught up", s.name())
		}
	}
	return nil
}

func (o observation) ids() []string {
	out := make([]string, 0, len(o.seen))
	for _, s := range o.seen {
		out = append(out, hexID(s.listed.GetID()))
	}
	slices.Sort(out)
	return out
}

// observe asks every member about itself and one of them for the list. It
// fails only when no member can be asked, or two belong to different clusters.
func (c *Cluster) observe(ctx context.Context) (observation, error) {
	states := make([]*pb.StatusResponse, len(c.members))
	errs := make([]error, len(c.members))
	var g errgroup.Group
	for i, m := range c.members {
		g.Go(func() error {
			states[i], errs[i] = m.status(ctx)
			return nil // each member's error is its own
		})
	}
	_ = g.Wait()

	var o observation
	var first string
	led := false
	for i, st := range states {
		id := st.GetHeader().GetClusterId()
		led = led || st.GetLeader() != 0
		switch {
		case st == nil:
		case o.clusterID == 0:
			o.clusterID, first = id, c.members[i].access.Node
		case o.clusterID != id:
			return o, fmt.Errorf("etcd on %s and %s belong to different clusters (%s and %s)",
				first, c.members[i].access.Node, hexID(o.clusterID), hexID(id))
		}
	}
	listed, err := c.list(ctx, led)
	if err != nil {
		return o, err
	}
	for _, l := range listed {
		o.seen = append(o.seen, c.match(l, states, errs))
	}
	slices.SortFunc(o.seen, func(a, b seen) int {
		return cmp.Or(cmp.Compare(a.name(), b.name()), cmp.Compare(a.listed.GetID(), b.listed.GetID()))
	})
	return o, nil
}

// match finds the access to a listed member: by the id it told, or, when it does
// not answer, by its name, which kubeadm makes the node's.
func (c *Cluster) match(l *pb.Member, states []*pb.StatusResponse, errs []error) seen {
	for i, st := range states {
		if st != nil && st.GetHeader().GetMemberId() == l.GetID() {
			return seen{listed: l, conn: c.members[i], status: st}
		}
	}
	for i, m := range c.members {
		if states[i] == nil && m.access.Node == l.GetName() {
			return seen{listed: l, conn: m, err: errs[i]}
		}
	}
	s := seen{listed: l}
	if l.GetName() == "" {
		s.err = fmt.Errorf("etcd %s was added and never started (peer URLs %v)", s.name(), l.GetPeerURLs())
	} else {
		s.err = fmt.Errorf("etcd %s: none of the nodes that kup reaches answers for this member", s.name())
	}
	return s
}
