package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// defragmentTimeout bounds one member's turn: it writes its whole store anew.
const defragmentTimeout = 15 * time.Minute

// Defragment gives the free space in the store of a node's member back to the disk,
// and the store's size in bytes before and after. The member answers nobody
// meanwhile: so it refuses with *DefragmentError while the member leads others, and
// while any member does not answer, lags behind or learns.
func (c *Cluster) Defragment(ctx context.Context, node string) (before, after int64, err error) {
	h, err := c.Health(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := h.defragmentable(node); err != nil {
		return 0, 0, &DefragmentError{Node: node, Err: err}
	}
	m := c.on(node)
	if m == nil {
		return 0, 0, &DefragmentError{Node: node, Err: errors.New("kup has no access to its member")}
	}
	size := func() (int64, error) {
		st, err := m.status(ctx)
		return st.GetDbSize(), err
	}
	if before, err = size(); err != nil {
		return 0, 0, err
	}
	err = m.call(ctx, "defragment", defragmentTimeout, func(ctx context.Context, c *clientv3.Client) error {
		_, err := pb.NewMaintenanceClient(c.ActiveConnection()).Defragment(ctx, &pb.DefragmentRequest{})
		return err
	})
	if err != nil {
		return before, 0, err
	}
	after, err = size()
	return before, after, err
}

// DefragmentError is a member that is not to be defragmented now.
type DefragmentError struct {
	Node string
	Err  error
}

func (e *DefragmentError) Error() string {
	return fmt.Sprintf("etcd on %s is not defragmented now: %v", e.Node, e.Err)
}

// Unwrap gives the reason.
func (e *DefragmentError) Unwrap() error { return e.Err }

// defragmentable says what speaks against it: an etcd that restores a snapshot which
// it got from its leader while it defragments may damage its data.
func (h Health) defragmentable(node string) error {
	if h.Leader == "" {
		return errNoLeader
	}
	for _, m := range h.Members {
		switch {
		case m.Err != nil:
			return m.Err
		case m.Learner:
			return fmt.Errorf("%s is a learner and catches up", m.Name)
		case max(m.Unapplied, m.Behind) > smallLag:
			return fmt.Errorf("%s is %d raft entries behind", m.Name, max(m.Unapplied, m.Behind))
		case m.Node == node && m.Leader && len(h.Members) > 1:
			return errors.New("it leads the others; the leadership is moved away first")
		}
	}
	return nil
}

// on gives the access to a node's member, nil when there is none.
func (c *Cluster) on(node string) *member {
	for _, m := range c.members {
		if m.access.Node == node {
			return m
		}
	}
	return nil
}
