package step

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// command: the truth is the execution's record on the host. Exit code 0 is
// done; a record that was lost, or any other code, is not, and the command is run
// again.
type command struct{ executions }

func (r *command) read(s plan.Step) (remote.Command, error) {
	a := args{step: s}
	a.node()
	c := remote.Command{Argv: plan.SplitArgv(a.text("argv")), Timeout: a.duration("timeout", 0)}
	if done := s.Args["done"]; done != "" && done != plan.DoneExecution {
		a.bad("done", fmt.Sprintf("is %q, which this kup does not know", done))
	}
	return c, a.err
}

func (r *command) Done(ctx context.Context, s plan.Step) (bool, error) {
	if _, err := r.read(s); err != nil {
		return false, err
	}
	return r.endedWell(ctx, s)
}

func (r *command) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	c, err := r.read(s)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, x, remote.Display(c.Argv), c)
	return err
}
