package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kup-project/kup/pkg/cluster"
)

// Cluster is the store, seen through every member on its own. It is safe for
// concurrent use.
type Cluster struct {
	members []*member
	pace    time.Duration // between two tries for a revision that can be compared
	except  string        // the node whose member is not compared; empty: none
}

var errNoLeader = errors.New("etcd has no leader, or its leader does not answer")

// Connect prepares the clients and finds at least one member that answers. A
// member that does not is no error here: [Cluster.Health] names it.
func Connect(ctx context.Context, members []Access) (*Cluster, error) {
	c, err := Prepare(members)
	if err != nil {
		return nil, err
	}
	if _, err := c.observe(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Prepare prepares the clients and asks nobody: for members that are known to be away.
func Prepare(members []Access) (*Cluster, error) {
	if len(members) == 0 {
		return nil, errors.New("etcd: no member to connect to")
	}
	c := &Cluster{pace: time.Second}
	for _, a := range members {
		a, err := a.complete()
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, &member{access: a})
	}
	return c, nil
}

// Close ends all connections.
func (c *Cluster) Close() error {
	var errs []error
	for _, m := range c.members {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// Members gives every member of the cluster, those without an [Access]
// included, sorted by name.
func (c *Cluster) Members(ctx context.Context) ([]cluster.Member, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]cluster.Member, 0, len(o.seen))
	for _, m := range o.health() {
		out = append(out, m.Member)
	}
	return out, nil
}

// Alarms gives the alarms that are raised, each as "cp-1: NOSPACE". The question
// goes through consensus, so it fails without quorum.
func (c *Cluster) Alarms(ctx context.Context) ([]string, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return nil, err
	}
	return c.alarms(ctx, o)
}

func (c *Cluster) alarms(ctx context.Context, o observation) ([]string, error) {
	if _, led := o.leader(); !led {
		return nil, errNoLeader // the question would wait in vain
	}
	var answer *clientv3.AlarmResponse
	err := c.any(ctx, "alarms", func(ctx context.Context, cl *clientv3.Client) (err error) {
		answer, err = cl.AlarmList(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range answer.Alarms {
		out = append(out, fmt.Sprintf("%s: %s", o.nameOf(a.GetMemberID()), a.GetAlarm()))
	}
	slices.Sort(out)
	return out, nil
}

// any asks the members in turn until one answers.
func (c *Cluster) any(ctx context.Context, op string, f func(context.Context, *clientv3.Client) error) error {
	var errs all
	for _, m := range c.members {
		err := m.call(ctx, op, callTimeout, f)
		if err == nil {
			return nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return errs
}

// list asks for the membership. Without a leader there is no agreed one: then it
// is a member's own view.
func (c *Cluster) list(ctx context.Context, led bool) ([]*pb.Member, error) {
	var opts []clientv3.OpOption
	if !led {
		opts = append(opts, clientv3.WithSerializable())
	}
	var out []*pb.Member
	err := c.any(ctx, "member list", func(ctx context.Context, cl *clientv3.Client) error {
		r, err := cl.MemberList(ctx, opts...)
		if err != nil {
			return err
		}
		out = r.Members
		return nil
	})
	return out, err
}

func hexID(id uint64) string { return strconv.FormatUint(id, 16) }
