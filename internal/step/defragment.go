package step

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/plan"
)

// Defragmenter gives the free space in the store of a node's etcd member back to the
// disk, and how many bytes the store took before and takes then. It refuses while a
// member leads that another one could take the place of, or while any is behind.
type Defragmenter interface {
	Defragment(ctx context.Context, node string) (before, after int64, err error)
}

// defragment has no truth to ask: a store that was defragmented looks like one that
// never needed it. What was begun is done again, which costs time only.
type defragment struct {
	members  Defragmenter
	observer Observer
}

func (r *defragment) Done(context.Context, plan.Step) (bool, error) { return false, nil }

func (r *defragment) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	a := args{step: s}
	if a.node(); a.err != nil {
		return a.err
	}
	before, after, err := r.members.Defragment(ctx, s.Node)
	if err != nil {
		return failed(s, "defragment etcd", err, "the member goes on with its store as it is; resume when etcd is well again: kup apply --resume")
	}
	r.observer.Note(s.ID, fmt.Sprintf("the store takes %d MiB, before %d MiB", after>>20, before>>20))
	return nil
}
