package etcd

import (
	"context"
	"fmt"
)

// Revisions gives the revision of every member, by the name of its node. It fails when
// a member does not answer.
func (c *Cluster) Revisions(ctx context.Context) (map[string]int64, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("revisions: %w", err)
	}
	out := map[string]int64{}
	for _, s := range o.seen {
		out[s.name()] = s.status.GetHeader().GetRevision()
	}
	return out, nil
}

// Highest gives the highest revision that any member that answers is at. It fails when
// none does.
func (c *Cluster) Highest(ctx context.Context) (int64, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return 0, err
	}
	var highest int64
	for _, s := range o.seen {
		highest = max(highest, s.status.GetHeader().GetRevision())
	}
	if highest == 0 {
		return 0, fmt.Errorf("no member told its revision")
	}
	return highest, nil
}
