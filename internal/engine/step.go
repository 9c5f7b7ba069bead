package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// StepError is a step or one of its gates that failed.
type StepError struct {
	Step    string
	Title   string
	WayBack plan.WayBack
	Err     error
}

func (e *StepError) Error() string { return fmt.Sprintf("step %s (%s): %v", e.Step, e.Title, e.Err) }

// Unwrap gives the cause.
func (e *StepError) Unwrap() error { return e.Err }

// step takes one step from where the journal says it stands.
func (r *run) step(ctx context.Context, h *plan.Hop, st *plan.Stage, s *plan.Step) error {
	base := Event{Hop: h.To.String(), Stage: st.Name, Step: s.ID, Node: s.Node, Title: s.Title}
	if r.done(s.ID) {
		return nil
	}
	started := time.Now()
	r.emit(base.as(StepStarted))
	err := r.take(ctx, base, s)
	over := base
	over.From, over.To = started, time.Now()
	if errors.Is(err, ErrStopped) {
		r.emit(base.with(StepNote, "not begun: asked to stop"))
		return ErrStopped
	}
	if err != nil {
		over.Err = err
		r.emit(over.as(StepFailed))
		return &StepError{Step: s.ID, Title: s.Title, WayBack: s.WayBack, Err: err}
	}
	r.emit(over.as(StepDone))
	return nil
}

// mostLost is how often a step is taken anew in one run after its execution was
// lost: a host that restarts again and again needs a look.
const mostLost = 2

// take makes attempts at a step. One that was lost with its host proves nothing:
// the step is asked whether it is done, and if not taken anew at once.
func (r *run) take(ctx context.Context, base Event, s *plan.Step) error {
	runner, err := r.runner(s.Kind)
	if err != nil {
		return err
	}
	for times := 0; ; times++ {
		err := r.attempt(ctx, base, runner, s)
		gone := lost(err)
		if gone == nil || times == mostLost || ctx.Err() != nil {
			return err
		}
		select {
		case <-r.stop:
			return ErrStopped
		default:
		}
		r.emit(base.with(StepNote, fmt.Sprintf("how it ended is not known, so it is looked at and, unless done, taken anew: %v", gone)))
	}
}

func (r *run) attempt(ctx context.Context, base Event, runner Runner, s *plan.Step) error {
	x, effect, err := r.before(ctx, base, runner, s)
	if err != nil {
		return err
	}
	if !effect {
		if s.Mutates {
			if err := r.Fence.Assert(ctx, s.ID); err != nil {
				return err
			}
		}
		err = runner.Run(ctx, *s, x)
	}
	if err == nil {
		err = r.pass(ctx, base, s.After)
	}
	return r.after(ctx, s, x, err)
}

// before passes the gates, decides which attempt this is, and records it.
// Effect is true when an earlier attempt already had its effect.
func (r *run) before(ctx context.Context, base Event, runner Runner, s *plan.Step) (x plan.Execution, effect bool, err error) {
	r.mu.Lock()
	past := r.state.Steps[s.ID]
	r.mu.Unlock()
	x = plan.Execution{Run: r.id, Step: s.ID, Attempt: past.Attempt}
	// What a rollback took back left its traces, an execution's record among them.
	if past.Attempt > 0 && past.Outcome != journal.Reopened {
		if effect, err = runner.Done(ctx, *s); err != nil {
			return x, false, fmt.Errorf("is it done already? %w", err)
		}
		if effect {
			r.emit(base.with(StepNote, "an earlier attempt had its effect"))
			return x, true, nil
		}
	}
	known, err := r.known(ctx, runner, s, x, past)
	if err != nil {
		return x, false, err
	}
	if !known {
		beginning, settle := r.untilStop(ctx)
		err := r.pass(beginning, base, s.Before)
		settle()
		if err != nil {
			return x, false, err
		}
	}
	if !past.Begun() {
		x.Attempt++
		if err := r.record(journal.Record{Kind: journal.StepBefore, Step: s.ID, Attempt: x.Attempt}); err != nil {
			return x, false, err
		}
	}
	return x, false, nil
}

// known tells whether the attempt is at work already. Gates guard a beginning, and an
// attempt that was announced may never have begun. One that did is attached to first:
// its node may be the very reason why a gate does not hold.
func (r *run) known(ctx context.Context, runner Runner, s *plan.Step, x plan.Execution, past journal.StepState) (bool, error) {
	attendant, ok := runner.(Attendant)
	if !ok || !past.Begun() {
		return false, nil
	}
	known, err := attendant.Known(ctx, *s, x)
	if err != nil {
		return false, fmt.Errorf("was it begun? %w", err)
	}
	return known, nil
}

// after records how the attempt ended. An attempt that was interrupted has no
// known end: its command may still run, so nothing is recorded.
func (r *run) after(ctx context.Context, s *plan.Step, x plan.Execution, err error) error {
	if err != nil && (ctx.Err() != nil || interrupted(err)) {
		return err
	}
	rec := journal.Record{Kind: journal.StepAfter, Step: s.ID, Attempt: x.Attempt, Outcome: journal.Done}
	if err != nil {
		rec.Outcome, rec.Error = journal.Failed, err.Error()
	}
	return errors.Join(err, r.record(rec))
}

// interrupted tells whether the error leaves open if the effect was had: the
// runner says so by implementing Unsettled.
func interrupted(err error) bool {
	var u interface{ Unsettled() bool }
	return errors.As(err, &u) && u.Unsettled()
}

// lost gives what an error says of a command that is gone while nobody knows how
// far it came: the runner says so by implementing Lost. Nil when it says no such thing.
func lost(err error) error {
	var l interface {
		error
		Lost() bool
	}
	if errors.As(err, &l) && l.Lost() {
		return l
	}
	return nil
}

// untilStop gives a context that ends with ErrStopped as its cause when the run is
// asked to stop. The function given back must be called.
func (r *run) untilStop(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-r.stop:
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		waiting.Wait()
	}
}

func (r *run) record(rec journal.Record) error {
	if err := r.Journal.Append(rec); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.state.Steps[rec.Step]
	st.Attempt, st.Outcome, st.Error = rec.Attempt, rec.Outcome, rec.Error
	r.state.Steps[rec.Step] = st
	return nil
}
