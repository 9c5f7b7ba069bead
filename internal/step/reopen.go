package step

import (
	"context"

	"github.com/kup-project/kup/pkg/plan"
)

// Undone is the journal of the run that a rollback takes back.
type Undone interface {
	// Reopen records there which of its steps no longer stand; without any, that the
	// run was rolled back as a whole. What is recorded already is not recorded again.
	Reopen(ctx context.Context, run string, steps []string) error
	// Reopened tells whether this rollback has recorded it.
	Reopened(ctx context.Context, run string) (bool, error)
}

// reopen: the truth is the journal of the run that is taken back.
type reopen struct{ undone Undone }

func (r *reopen) Done(ctx context.Context, s plan.Step) (bool, error) {
	a := args{step: s}
	run := a.text("run")
	if a.err != nil {
		return false, a.err
	}
	done, err := r.undone.Reopened(ctx, run)
	return err == nil && done, failed(s, "look at the journal of run "+run, err, "")
}

func (r *reopen) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	a := args{step: s}
	run := a.text("run")
	if a.err != nil {
		return a.err
	}
	return failed(s, "add to the journal of run "+run, r.undone.Reopen(ctx, run, a.lines("steps")), "")
}
