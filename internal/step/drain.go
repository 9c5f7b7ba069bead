package step

import (
	"context"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// DrainOptions say how a node is emptied.
type DrainOptions struct {
	Timeout            time.Duration
	GracePeriod        time.Duration // negative: each pod's own
	DeleteEmptyDirData bool
	Force              bool // pods without a controller too, which are lost
}

// Drainer empties nodes through the eviction API. DaemonSets' pods and static
// pods stay.
type Drainer interface {
	Drain(ctx context.Context, node string, o DrainOptions, note func(string)) error
	Drained(ctx context.Context, node string) (bool, error)
}

// drain: the truth is the API.
type drain struct {
	drainer  Drainer
	observer Observer
}

func (r *drain) Done(ctx context.Context, s plan.Step) (bool, error) {
	done, err := r.drainer.Drained(ctx, s.Node)
	return err == nil && done, failed(s, "look at the node's pods", err, "")
}

func (r *drain) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	a := args{step: s}
	o := DrainOptions{
		Timeout:            a.duration("timeout", 10*time.Minute),
		GracePeriod:        a.duration("gracePeriod", -time.Second),
		DeleteEmptyDirData: a.flag("deleteEmptyDirData"),
		Force:              a.flag("force"),
	}
	a.node()
	if a.err != nil {
		return a.err
	}
	from := time.Now()
	err := r.drainer.Drain(ctx, s.Node, o, func(text string) { r.observer.Note(s.ID, text) })
	r.observer.Spent(SpentEviction, from, time.Now())
	return failed(s, "drain the node", err, "")
}
