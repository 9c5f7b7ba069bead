package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/pkg/plan"
)

// hintSilent is what is done about a host of the inventory that does not answer.
const hintSilent = "have the host answer, then run the command again; one that is gone for good: switch it off, kubectl delete node, and take it out of kup.yaml"

// statusOf asks a node's host about an execution.
type statusOf func(ctx context.Context, node string, x plan.Execution) (detached.Status, error)

// hostsSay asks the hosts about a run's executions.
func (s *session) hostsSay(r *runRecord) statusOf {
	x := detached.New(r.id, r.state.Epoch, nil, detached.Pace(s.sys.seams.Pace))
	return func(ctx context.Context, node string, of plan.Execution) (detached.Status, error) {
		h, err := s.hosts.Host(node)
		if err != nil {
			return detached.Status{}, err
		}
		return x.Status(ctx, h, of)
	}
}

// stillAtWork looks for commands of a run that nobody saw the end of: they outlive kup, and
// a rollback beside them would work against them. It fails with a *usageError on one
// that still runs; unknown tells of hosts that could not be asked, an error each.
func stillAtWork(ctx context.Context, r *runRecord, ask statusOf) (unknown []error, err error) {
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		st := r.state.Steps[s.ID]
		if s.Node == "" || !s.Mutates || !st.Begun() {
			return true
		}
		// The attempt before is attached to where it still runs.
		for attempt := st.Attempt; attempt > 0 && attempt >= st.Attempt-1; attempt-- {
			status, askErr := ask(ctx, s.Node, plan.Execution{Run: r.id, Step: s.ID, Attempt: attempt})
			switch {
			case ctx.Err() != nil:
				err = context.Cause(ctx)
				return false
			case askErr != nil:
				unknown = append(unknown, fmt.Errorf("whether step %s of run %s (%s) still runs on %s cannot be told: %w", s.ID, r.id, s.Title, s.Node, askErr))
				return true
			case status.State == detached.Running:
				err = &usageError{
					err:  fmt.Errorf("step %s of run %s (%s) still runs on %s; nothing was touched", s.ID, r.id, s.Title, s.Node),
					hint: "wait until it has ended, then run the command again (kup status shows where the run stands)",
				}
				return false
			}
		}
		return true
	})
	return unknown, err
}

// quiet sees to it that nothing of these runs is at work. A host that does not answer may
// be at work still: that is refused, whatever goes back, since every host of the inventory
// is needed anyway, to put up the fence of the rollback. Of a host that was taken out of
// the inventory it is only told.
func quiet(ctx context.Context, tell func(string, ...any), ask func(*runRecord) statusOf, runs ...*runRecord) error {
	for i, r := range runs {
		if i > 0 && r.id == runs[0].id {
			continue
		}
		unknown, err := stillAtWork(ctx, r, ask(r))
		if err != nil {
			return err
		}
		var silent []error
		for _, one := range unknown {
			if errors.Is(one, errUnlisted) {
				tell("kup: %v", one)
				continue
			}
			silent = append(silent, one)
		}
		if len(silent) > 0 {
			return &usageError{
				err:  fmt.Errorf("%w; nothing was touched", errors.Join(silent...)),
				hint: hintSilent,
			}
		}
	}
	return nil
}
