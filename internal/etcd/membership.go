package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// changeTimeout bounds how long a change of the membership may be refused because
// the others have not been together for long enough; promoteTimeout how long an empty
// member takes to get everything.
const (
	changeTimeout  = time.Minute
	promoteTimeout = 10 * time.Minute
)

// Hashes gives what each member stores at one revision, in the order of their names:
// equal or not. The member of the node except is left out; empty: none. It fails when
// one that is asked does not answer, or is a learner. It makes each read its whole store.
func (c *Cluster) Hashes(ctx context.Context, except string) ([]MemberPoint, error) {
	asked := &Cluster{members: c.members, pace: c.pace, except: except}
	point, o, err := asked.agree(ctx, 0)
	var differ *DataError
	if errors.As(err, &differ) {
		return differ.Points, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]MemberPoint, 0, len(o.seen))
	for _, s := range o.seen {
		out = append(out, MemberPoint{Node: s.name(), Point: point})
	}
	return out, nil
}

// Remove takes a member out of the cluster, by its id in hexadecimal. One that is
// not in it is none of its errors.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	n, err := memberID(id)
	if err != nil {
		return err
	}
	err = c.change(ctx, changeTimeout, "remove member "+id, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.MemberRemove(ctx, n)
		return err
	})
	if errors.Is(err, rpctypes.ErrMemberNotFound) {
		return nil
	}
	return err
}

// Add announces a member at a peer URL that has not run yet, as a learner. An etcd
// below 3.4 knows none, and makes it a voter.
func (c *Cluster) Add(ctx context.Context, peerURL string) error {
	err := c.change(ctx, changeTimeout, "add a member at "+peerURL, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.MemberAddAsLearner(ctx, []string{peerURL})
		return err
	})
	if errors.Is(err, rpctypes.ErrPeerURLExist) || errors.Is(err, rpctypes.ErrMemberExist) {
		return nil // an answer was lost
	}
	return err
}

// Promote gives a learner its vote, by its id in hexadecimal, as soon as it has caught
// up. A voter has it.
func (c *Cluster) Promote(ctx context.Context, id string) error {
	n, err := memberID(id)
	if err != nil {
		return err
	}
	o, err := c.observe(ctx)
	if err != nil {
		return err
	}
	for _, s := range o.seen {
		if s.listed.GetID() == n && s.voter() {
			return nil
		}
	}
	err = c.change(ctx, promoteTimeout, "promote learner "+id, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.MemberPromote(ctx, n)
		return err
	})
	if errors.Is(err, rpctypes.ErrMemberNotLearner) {
		return nil // an answer was lost
	}
	return err
}

// change asks for a change of the membership until etcd does not say any more that it
// is too early.
func (c *Cluster) change(ctx context.Context, patience time.Duration, op string, f func(context.Context, *clientv3.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	for {
		err := c.first(ctx, op, f)
		if !errors.Is(err, rpctypes.ErrUnhealthy) && !errors.Is(err, rpctypes.ErrMemberLearnerNotReady) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// first asks the members in turn, as any does, but takes the first answer, a refusal
// too: to ask another one would only repeat it. Learners cannot be asked.
func (c *Cluster) first(ctx context.Context, op string, f func(context.Context, *clientv3.Client) error) error {
	var errs all
	for _, m := range c.members {
		err := m.call(ctx, op, callTimeout, func(ctx context.Context, cl *clientv3.Client) error {
			return rpctypes.Error(f(ctx, cl))
		})
		if err == nil || answered(err) {
			return err
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return errs
}

// answered tells whether an error is etcd's own word on the membership.
func answered(err error) bool {
	for _, word := range []error{
		rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotFound, rpctypes.ErrPeerURLExist, rpctypes.ErrMemberExist,
		rpctypes.ErrMemberNotLearner, rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrTooManyLearners, rpctypes.ErrMemberNotEnoughStarted,
	} {
		if errors.Is(err, word) {
			return true
		}
	}
	return false
}

func memberID(id string) (uint64, error) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("etcd: %q is no member's id", id)
	}
	return n, nil
}
