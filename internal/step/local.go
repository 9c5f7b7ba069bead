package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Local runs a command on the operator's machine; the error holds what it wrote
// to stderr.
type Local interface {
	Run(ctx context.Context, argv []string, line func(string)) error
}

// longestLocal is how long a command on the operator's machine may take: one that
// hangs holds up the run, and the cluster's lock with it.
const longestLocal = 10 * time.Minute

// local: the truth is the journal alone, so a command whose end was not recorded
// is run again.
type local struct {
	local    Local
	observer Observer
}

func (r *local) Done(context.Context, plan.Step) (bool, error) { return false, nil }

func (r *local) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	a := args{step: s}
	argv := plan.SplitArgv(a.text("argv"))
	if a.err != nil {
		return a.err
	}
	doing := "on this machine: " + remote.Display(argv)
	if r.local == nil {
		return failed(s, doing, errors.New("commands on this machine are switched off"), "")
	}
	bounded, cancel := context.WithTimeout(ctx, longestLocal)
	defer cancel()
	err := r.local.Run(bounded, argv, func(line string) { r.observer.Note(s.ID, line) })
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("it did not end within %s: %w", longestLocal, err)
	}
	return failed(s, doing, err, "mend the program and go on with kup apply --resume; loadBalancer of kup.yaml counts for new plans only")
}
