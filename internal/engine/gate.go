package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/pkg/plan"
)

// GateError is a gate that failed: its time ran out, it can never hold, or it
// is asked only once and did not hold.
type GateError struct {
	Gate     plan.GateID
	Sentence string
	Last     plan.Verdict
	Waited   time.Duration
}

func (e *GateError) Error() string {
	why := fmt.Sprintf("did not hold within %s", e.Waited.Round(time.Second))
	if e.Last.State == plan.Never {
		why = "can never hold"
	} else if e.Waited == 0 {
		why = "does not hold"
	}
	return fmt.Sprintf("gate %q (%s) %s: %s", e.Sentence, e.Gate, why, e.Last.Reason)
}

// pass waits for all gates. Those that are sustained are polled side by side;
// those that are asked once come last, one after the other, when the rest holds.
func (r *run) pass(ctx context.Context, base Event, ids []plan.GateID) error {
	gates := make([]Gate, len(ids))
	for i, id := range ids {
		var err error
		if gates[i], err = r.Gates.Gate(id); err != nil {
			return err
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	for i, g := range gates {
		if g.Policy().Sustain > 0 {
			group.Go(func() error { return r.hold(gctx, base, ids[i], g) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, g := range gates {
		if g.Policy().Sustain > 0 {
			continue
		}
		if err := r.ask(ctx, base, ids[i], g); err != nil {
			return err
		}
	}
	return nil
}

// ask checks a gate once.
func (r *run) ask(ctx context.Context, base Event, id plan.GateID, g Gate) error {
	base.Gate = id
	from := time.Now()
	asked, cancel := context.WithTimeout(ctx, g.Policy().Timeout)
	defer cancel()
	v := g.Check(asked)
	r.spent(base, SpentReadiness, from, time.Now())
	if errors.Is(context.Cause(asked), ErrStopped) {
		return ErrStopped
	}
	if v.State != plan.Holds {
		return r.gateFailed(base, &GateError{Gate: id, Sentence: g.Describe(), Last: v})
	}
	r.emit(base.with(GatePassed, g.Describe()))
	return nil
}

// hold polls a gate until it has held for its declared time: from one answer to a
// question asked that much later, however long the answers take.
func (r *run) hold(ctx context.Context, base Event, id plan.GateID, g Gate) error {
	base.Gate = id
	policy := g.Policy()
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, policy.Timeout)
	defer cancel()
	tick := time.NewTicker(policy.Every)
	defer tick.Stop()
	var since time.Time // when the present streak of "holds" began
	var last plan.Verdict
	for {
		asked := time.Now()
		v := g.Check(bounded)
		if v.State == plan.CannotTell && bounded.Err() != nil && last.Reason != "" {
			v = last // its time ran out over this question, which says nothing of the gate
		}
		switch v.State {
		case plan.Holds:
			if since.IsZero() {
				since = time.Now()
				r.spent(base, SpentReadiness, began, since)
				r.emit(base.with(GateHolding, g.Describe()))
			} else if asked.Sub(since) >= policy.Sustain {
				r.spent(base, SpentSustain, since, time.Now())
				r.emit(base.with(GatePassed, g.Describe()))
				return nil
			}
		case plan.Never:
			return r.gateFailed(base, &GateError{Gate: id, Sentence: g.Describe(), Last: v, Waited: time.Since(began)})
		default:
			if !since.IsZero() {
				r.spent(base, SpentSustain, since, time.Now())
				since, began = time.Time{}, time.Now()
			}
			if v != last {
				r.emit(base.with(GateWaiting, v.Reason))
			}
		}
		if v.State != plan.Holds {
			last = v
		}
		select {
		case <-tick.C:
		case <-bounded.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return r.gateFailed(base, &GateError{Gate: id, Sentence: g.Describe(), Last: last, Waited: policy.Timeout})
		}
	}
}

func (r *run) gateFailed(base Event, err *GateError) error {
	base.Err = err
	r.emit(base.as(GateFailed))
	return err
}

func (r *run) spent(base Event, on string, from, to time.Time) {
	base.From, base.To = from, to
	r.emit(base.with(TimeSpent, on))
}
