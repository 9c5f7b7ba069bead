package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// moveTimeout bounds one transfer: a server gives up after an election's time.
const moveTimeout = 30 * time.Second

// MoveLeader moves leadership off the member of a node, to the healthy follower
// with the least lag, and returns when the members see it elsewhere. It does
// nothing when that member does not lead, or when nobody else could. Errors are
// *LeaderError, unless no member can be asked.
func (c *Cluster) MoveLeader(ctx context.Context, fromNode string) error {
	o, err := c.observe(ctx)
	if err != nil {
		return err
	}
	leader, err := o.on(fromNode)
	switch {
	case err != nil:
		return &LeaderError{Node: fromNode, Err: err}
	case !leader.leads(), o.voters() == 1:
		return nil
	}
	candidates := o.successors()
	if len(candidates) == 0 {
		return &LeaderError{Node: fromNode, Err: errors.New("no other member is healthy enough to lead")}
	}
	var errs all
	for _, to := range candidates {
		err := leader.conn.call(ctx, "move leadership to "+to.name(), moveTimeout, func(ctx context.Context, cl *clientv3.Client) error {
			_, err := cl.MoveLeader(ctx, to.listed.GetID())
			return err
		})
		if err == nil || errors.Is(err, rpctypes.ErrNotLeader) {
			err = c.awaitOther(ctx, fromNode)
		}
		if err == nil {
			return nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return &LeaderError{Node: fromNode, Err: errs}
}

// on gives the member of a node, which must answer and know a leader.
func (o observation) on(node string) (seen, error) {
	for _, s := range o.seen {
		switch {
		case s.name() != node:
		case s.err != nil:
			return s, s.err
		case s.status.GetLeader() == 0:
			return s, fmt.Errorf("etcd on %s sees no leader", node)
		default:
			return s, nil
		}
	}
	return seen{}, fmt.Errorf("no etcd member is known on %s", node)
}

// successors gives the members that may lead, best first.
func (o observation) successors() []seen {
	leader, _ := o.leader()
	var out []seen
	for _, s := range o.seen {
		if s.status == nil || s.leads() || !s.voter() || len(s.status.GetErrors()) > 0 {
			continue
		}
		if s.status.GetRaftTerm() == leader.status.GetRaftTerm() {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b seen) int {
		head := leader.status.GetRaftIndex()
		return cmp.Compare(distance(head, a.status.GetRaftAppliedIndex()), distance(head, b.status.GetRaftAppliedIndex()))
	})
	return out
}

// awaitOther waits until the members see another leader than the given node's.
func (c *Cluster) awaitOther(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := c.observe(ctx)
		if err == nil {
			if l, ok := o.leader(); ok && l.name() != node {
				return nil
			}
			err = fmt.Errorf("etcd on %s still leads, or no member does", node)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
