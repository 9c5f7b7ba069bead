package step

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

//go:embed scripts
var scripts embed.FS

// script gives the argv that runs the named scripts, in one shell, with the
// arguments as its parameters.
func script(names []string, params ...string) []string {
	var text strings.Builder
	for _, name := range names {
		b, err := scripts.ReadFile("scripts/" + name + ".sh")
		if err != nil {
			panic(err) // the names are constants of this package
		}
		text.Write(b)
	}
	return append([]string{"sh", "-euc", text.String(), "kup"}, params...)
}

// executions is what runners that change hosts have in common.
type executions struct {
	hosts    Hosts
	executor Executor
	last     func(step string) (plan.Execution, bool)
	observer Observer
}

// run executes the command as x, or attaches to an earlier attempt that still
// runs: the same step is never at work twice on a host.
func (e *executions) run(ctx context.Context, s plan.Step, x plan.Execution, doing string, c remote.Command) (remote.Result, error) {
	h, err := e.hosts.Host(s.Node)
	if err != nil {
		return remote.Result{}, failed(s, doing, err, "")
	}
	c.Sudo = true
	if x.Attempt > 1 {
		earlier := x
		earlier.Attempt--
		st, err := e.executor.State(ctx, h, earlier)
		if err != nil {
			return remote.Result{}, failed(s, doing, err, "")
		}
		if st.Phase == Running {
			x = earlier
		}
	}
	note := func(line string) {
		if line = strings.TrimSpace(line); line != "" {
			e.observer.Note(s.ID, line)
		}
	}
	res, err := e.executor.Run(ctx, h, x, c, note)
	if err == nil {
		return res, nil
	}
	return res, failed(s, doing, err, e.hint(ctx, h, x, err))
}

// hint says what a failure means when the error does not say it itself.
func (e *executions) hint(ctx context.Context, h remote.Host, x plan.Execution, err error) string {
	if ctx.Err() != nil || (&Error{Err: err}).Unsettled() {
		return ""
	}
	st, stateErr := e.executor.State(ctx, h, x)
	if stateErr == nil && st.Phase == Lost {
		return fmt.Sprintf("%s restarted while this ran, and how it ended is not known; the step is taken anew unless it turns out to be done", h)
	}
	return ""
}

// ask runs a command that changes nothing, attached.
func (e *executions) ask(ctx context.Context, s plan.Step, doing string, argv []string) (string, error) {
	h, err := e.hosts.Host(s.Node)
	if err != nil {
		return "", failed(s, doing, err, "")
	}
	res, err := h.Run(ctx, remote.Command{Argv: argv, Sudo: true})
	return string(res.Stdout), failed(s, doing, err, "")
}

// proven tells whether the world proves that the step is done: by a script that prints
// "yes" or "no: why". It is not asked while the last attempt still runs or ended badly.
func (e *executions) proven(ctx context.Context, s plan.Step, doing string, argv []string) (bool, error) {
	st, err := e.state(ctx, s)
	if err != nil || st.Phase == Running || (st.Phase == Exited && st.Code != 0) {
		return false, err
	}
	out, err := e.ask(ctx, s, doing, argv)
	return strings.TrimSpace(out) == "yes", err
}

// endedWell tells whether the host's record of the last attempt says that it ended well.
func (e *executions) endedWell(ctx context.Context, s plan.Step) (bool, error) {
	st, err := e.state(ctx, s)
	return err == nil && st.Phase == Exited && st.Code == 0, err
}

// state is what the host knows of the last attempt at the step.
func (e *executions) state(ctx context.Context, s plan.Step) (ExecutionState, error) {
	x, begun := e.last(s.ID)
	if !begun {
		return ExecutionState{}, nil
	}
	h, err := e.hosts.Host(s.Node)
	if err != nil {
		return ExecutionState{}, failed(s, "find the execution of "+x.String(), err, "")
	}
	st, err := e.executor.State(ctx, h, x)
	return st, failed(s, "find the execution of "+x.String(), err, "")
}

// Known tells whether the host knows the execution, or the attempt before it that
// still runs and is attached to in its place.
func (e *executions) Known(ctx context.Context, s plan.Step, x plan.Execution) (bool, error) {
	h, err := e.hosts.Host(s.Node)
	if err != nil {
		return false, failed(s, "find the execution of "+x.String(), err, "")
	}
	st, err := e.executor.State(ctx, h, x)
	if err != nil || st.Phase != Absent || x.Attempt < 2 {
		return err == nil && st.Phase != Absent, failed(s, "find the execution of "+x.String(), err, "")
	}
	x.Attempt--
	st, err = e.executor.State(ctx, h, x)
	return err == nil && st.Phase == Running, failed(s, "find the execution of "+x.String(), err, "")
}

// part names an execution inside a step.
func part(x plan.Execution, i int) plan.Execution {
	x.Step = fmt.Sprintf("%s.%d", x.Step, i+1)
	return x
}
