package step

import (
	"context"
	"errors"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Local runs a command on the operator's machine; the error holds what it wrote
// to stderr.
type Local interface {
	Run(ctx context.Context, argv []string, line func(string)) error
}

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
	err := r.local.Run(ctx, argv, func(line string) { r.observer.Note(s.ID, line) })
	return failed(s, doing, err, "mend the command in loadBalancer of kup.yaml, or run it by hand")
}
