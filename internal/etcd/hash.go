package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kup-project/kup/pkg/plan"
)

// Point is the hash of everything stored up to a revision, as far back as a
// compaction left it. Two stores are equal when all three are.
type Point struct {
	Revision        int64
	CompactRevision int64
	Hash            uint32
}

// hashTries bounds how often a new revision is tried when compactions or lagging
// members come between; hashDoubts is how many disagreements make one.
const (
	hashTries  = 30
	hashDoubts = 2
)

// errPassed says that the store was compacted beyond the revision asked for.
var errPassed = errors.New("compacted beyond the revision in question")

// DataEqual tells whether all members hold the same data: the hash at the newest
// revision that all of them have, asked of one member after the other, since it
// makes each read its whole store. Ask it once; do not poll it.
func (c *Cluster) DataEqual(ctx context.Context) plan.Verdict {
	point, o, err := c.agree(ctx, 0)
	var differ *DataError
	switch {
	case err == nil && len(o.seen) == 1:
		return plan.Verdict{State: plan.Holds, Reason: fmt.Sprintf("%s is the only etcd member: nothing to compare", o.seen[0].name())}
	case err == nil:
		return plan.Verdict{State: plan.Holds, Reason: fmt.Sprintf("all %d etcd members have hash %08x at revision %d (compacted at %d)",
			len(o.seen), point.Hash, point.Revision, point.CompactRevision)}
	case errors.As(err, &differ):
		return plan.Verdict{State: plan.Never, Reason: err.Error()}
	}
	return plan.Verdict{State: plan.CannotTell, Reason: "whether the etcd members hold the same data: " + err.Error()}
}

// agree gives the point on which all members agree: at the given revision, or at
// one it chooses. It gives *DataError when they disagree, and errPassed when the
// given revision cannot be asked for any more.
func (c *Cluster) agree(ctx context.Context, at int64) (Point, observation, error) {
	pace := time.NewTicker(c.pace)
	defer pace.Stop()
	doubts := 0
	var last error
	for range hashTries {
		point, o, err := c.compare(ctx, at)
		var differ *DataError
		switch {
		case err == nil:
			return point, o, nil
		case errors.As(err, &differ):
			if doubts++; doubts == hashDoubts {
				return Point{}, o, err
			}
		case !errors.Is(err, errUnsettled), at > 0 && errors.Is(err, errPassed):
			return Point{}, o, err
		}
		last = err
		select {
		case <-ctx.Done():
			return Point{}, o, fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-pace.C:
		}
	}
	return Point{}, observation{}, fmt.Errorf("no revision could be compared in %d tries: %w", hashTries, last)
}

// errUnsettled marks what another revision, or a moment's patience, may cure.
var errUnsettled = errors.New("not settled")

func unsettled(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUnsettled, fmt.Errorf(format, args...))
}

// compare asks every member once.
func (c *Cluster) compare(ctx context.Context, at int64) (Point, observation, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return Point{}, o, err
	}
	if c.except != "" {
		o.seen = slices.DeleteFunc(o.seen, func(s seen) bool { return s.name() == c.except })
	}
	if err := o.complete(); err != nil {
		return Point{}, o, err
	}
	oldest := o.seen[0]
	for _, s := range o.seen {
		if s.status.GetHeader().GetRevision() < oldest.status.GetHeader().GetRevision() {
			oldest = s
		}
	}
	head := oldest.status.GetHeader().GetRevision()
	switch {
	case at == 0:
		at = head
	case at > head:
		return Point{}, o, unsettled("%s has not reached revision %d", oldest.name(), at)
	}
	if err := oldest.conn.holds(ctx, at); err != nil {
		return Point{}, o, err
	}
	points := make([]MemberPoint, 0, len(o.seen))
	for _, s := range o.seen {
		p, err := s.conn.hash(ctx, at)
		if err != nil {
			return Point{}, o, hashError(err, at)
		}
		points = append(points, MemberPoint{Node: s.name(), Point: p})
	}
	return points[0].Point, o, same(points)
}

// same compares points at one revision.
func same(points []MemberPoint) error {
	for _, p := range points[1:] {
		if p.CompactRevision != points[0].CompactRevision {
			return unsettled("a compaction came between: %s is compacted at %d, %s at %d",
				points[0].Node, points[0].CompactRevision, p.Node, p.CompactRevision)
		}
	}
	for _, p := range points[1:] {
		if p.Hash != points[0].Hash {
			return &DataError{Points: points}
		}
	}
	return nil
}

// holds tells whether the revision lies above the member's last compaction. At
// the compaction itself a member may answer with the hash it kept from doing
// it, which a restarted member or a file cannot reproduce; and on the way there
// it costs nothing to ask for the revision before.
func (m *member) holds(ctx context.Context, revision int64) error {
	err := m.call(ctx, "read", callTimeout, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Get(ctx, "kup", clientv3.WithRev(revision-1), clientv3.WithCountOnly(), clientv3.WithSerializable())
		return err
	})
	return hashError(err, revision)
}

// hashError sorts the answers that a compaction or a lagging member explain from
// those that are failures.
func hashError(err error, revision int64) error {
	if err == nil {
		return nil
	}
	var asked *MemberError
	if !errors.As(err, &asked) {
		return err
	}
	switch err := rpctypes.Error(asked.Err); {
	case errors.Is(err, rpctypes.ErrCompacted):
		return unsettled("%w: %s is compacted at or beyond revision %d", errPassed, asked.Node, revision)
	case errors.Is(err, rpctypes.ErrFutureRev):
		return unsettled("%s has not reached revision %d", asked.Node, revision)
	}
	return err
}
