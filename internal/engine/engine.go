package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// Runner does the steps of one kind.
type Runner interface {
	// Done asks where the kind says the truth lives (cluster, host, or journal)
	// whether the step's effect is there already.
	Done(ctx context.Context, s plan.Step) (bool, error)
	// Run has the step's effect, or attaches to the execution x that is having
	// it, and returns when it is over. It is called again after a failure.
	Run(ctx context.Context, s plan.Step, x plan.Execution) error
}

// Attendant is a [Runner] whose work goes on by itself once it was started.
type Attendant interface {
	// Known tells whether the execution x, or one before it that still runs, was ever
	// started: then Run attaches to it.
	Known(ctx context.Context, s plan.Step, x plan.Execution) (bool, error)
}

// Gate is a sentence and an assertion.
type Gate interface {
	Describe() string
	Check(ctx context.Context) plan.Verdict
	Policy() plan.GatePolicy
}

// Gates finds the gate that an id names.
type Gates interface {
	Gate(id plan.GateID) (Gate, error)
}

// Journal is where the engine records what it is about to do and what it did.
// A record is durable when Append returns.
type Journal interface {
	Append(journal.Record) error
}

// Fence proves that this run may still change the cluster; it is asked before
// every mutation. Its error ends the run.
type Fence interface {
	Assert(ctx context.Context, step string) error
}

// Drift compares the cluster with what the plan expects after the steps that
// are done. It is asked before every wave.
type Drift interface {
	Check(ctx context.Context, p *plan.Plan, done func(step string) bool) error
}

// Engine executes plans. All fields but Window are required.
type Engine struct {
	Runners  map[plan.Kind]Runner
	Gates    Gates
	Journal  Journal
	Fence    Fence
	Drift    Drift
	Observer Observer
	Window   Window // nil: without an end
}

// run is one execution of a plan.
type run struct {
	*Engine
	id    string
	plan  *plan.Plan
	stop  <-chan struct{}
	mu    sync.Mutex
	state journal.State
}

// ErrStopped tells that the run ended at a step boundary because it was asked to.
var ErrStopped = errors.New("stopped at a step boundary, as asked")

// Run executes what is left of the plan. State is the replayed journal (empty
// steps for a fresh run). Closing stop ends the run at the next step boundary;
// cancelling ctx aborts waiting at once and leaves detached commands running.
// The error is ErrStopped, a *WindowError, a *StepError, or what Fence or Drift said.
func (e *Engine) Run(ctx context.Context, p *plan.Plan, state journal.State, stop <-chan struct{}) error {
	r := &run{Engine: e, id: state.Run, plan: p, stop: stop, state: state}
	r.emit(Event{Kind: RunStarted, Text: r.id})
	err := r.hops(ctx)
	end := journal.Record{Kind: journal.RunEnded, Outcome: journal.Done}
	switch {
	case errors.Is(err, ErrStopped):
		end.Outcome = journal.Stopped
	case closing(err):
		end.Outcome, end.Error = journal.Stopped, err.Error()
	case err != nil:
		end.Outcome, end.Error = journal.Failed, err.Error()
	}
	err = errors.Join(err, r.Journal.Append(end))
	r.emit(Event{Kind: RunEnded, Err: err})
	return err
}

func (r *run) hops(ctx context.Context) error {
	for i := range r.plan.Hops {
		h := &r.plan.Hops[i]
		r.emit(Event{Kind: HopStarted, Hop: h.To.String()})
		for j := range h.Stages {
			if err := r.stage(ctx, h, &h.Stages[j]); err != nil {
				return err
			}
		}
		r.emit(Event{Kind: HopEnded, Hop: h.To.String()})
	}
	return nil
}

func (r *run) stage(ctx context.Context, h *plan.Hop, st *plan.Stage) error {
	started := time.Now()
	r.emit(Event{Kind: StageStarted, Hop: h.To.String(), Stage: st.Name})
	for i := range st.Waves {
		if r.waveDone(&st.Waves[i]) {
			continue
		}
		if err := r.Drift.Check(ctx, r.plan, r.done); err != nil {
			return err
		}
		if err := r.wave(ctx, h, st, &st.Waves[i]); err != nil {
			return err
		}
	}
	r.emit(Event{Kind: StageEnded, Hop: h.To.String(), Stage: st.Name, From: started, To: time.Now()})
	return nil
}

// wave runs the lanes, at most Parallel at once. A lane that fails lets the
// others reach their next step boundary, never interrupts them.
func (r *run) wave(ctx context.Context, h *plan.Hop, st *plan.Stage, w *plan.Wave) error {
	var (
		group  errgroup.Group
		once   sync.Once
		failed = make(chan struct{})
		errs   = make([]error, len(w.Lanes))
	)
	group.SetLimit(max(1, w.Parallel))
	for i, lane := range w.Lanes {
		group.Go(func() error {
			errs[i] = r.lane(ctx, h, st, lane, failed)
			// A lane that the window has no room for leaves those beside it to come to
			// their end; where the order counts, none after it is begun.
			if errs[i] != nil && (w.Parallel <= 1 || !closing(errs[i])) {
				once.Do(func() { close(failed) })
			}
			return nil
		})
	}
	_ = group.Wait() // lanes report through errs, so that all of them are told
	return firstCause(errs)
}

// firstCause joins the errors of lanes; lanes that only stopped because another
// failed say nothing of interest.
func firstCause(errs []error) error {
	var causes []error
	var closed error
	stopped := false
	for _, err := range errs {
		switch {
		case errors.Is(err, errOtherLane):
		case errors.Is(err, ErrStopped):
			stopped = true
		case closing(err):
			if closed == nil {
				closed = err
			}
		case err != nil:
			causes = append(causes, err)
		}
	}
	switch {
	case len(causes) > 0:
		return errors.Join(causes...)
	case stopped:
		return ErrStopped
	}
	return closed
}

var errOtherLane = errors.New("another lane failed")

func (r *run) lane(ctx context.Context, h *plan.Hop, st *plan.Stage, lane plan.Lane, failed <-chan struct{}) error {
	for i := range lane {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.stop:
			return ErrStopped
		case <-failed:
			return errOtherLane
		default:
		}
		if err := r.room(lane, &lane[i]); err != nil {
			return err
		}
		if err := r.step(ctx, h, st, &lane[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) waveDone(w *plan.Wave) bool {
	for _, lane := range w.Lanes {
		for i := range lane {
			if !r.done(lane[i].ID) {
				return false
			}
		}
	}
	return true
}

func (r *run) done(step string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Done(step)
}

func (r *run) runner(k plan.Kind) (Runner, error) {
	runner, ok := r.Runners[k]
	if !ok {
		return nil, fmt.Errorf("this kup knows no step of kind %q; use the kup that made the plan (%s)", k, r.plan.KupVersion)
	}
	return runner, nil
}
