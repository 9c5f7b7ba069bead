package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// Window is the time that a run has.
type Window interface {
	// Fits tells whether what takes about d may still be begun.
	Fits(d time.Duration) bool
}

// WindowError is a run that ended at a step boundary because what comes next would
// not have ended in its window.
type WindowError struct {
	Step  string // the one that was not begun
	Title string
	// Needs is how long it takes by the plan's estimate; with Lane, it and all that
	// its node must go through after it without a pause.
	Needs time.Duration
	Lane  bool
}

func (e *WindowError) Error() string {
	what := "it takes"
	if e.Lane {
		what = "it and what must follow it on its node take"
	}
	return fmt.Sprintf("stopped before step %s (%s): %s about %s, which the window does not hold", e.Step, e.Title, what, e.Needs.Round(time.Second))
}

// room tells whether there is time for a lane's step. A lane is begun only when
// there is time for the whole of it, so that no node is left half done; giving a
// node back to the scheduler or to the load balancer is never put off.
func (r *run) room(lane plan.Lane, s *plan.Step) error {
	if r.Window == nil || r.done(s.ID) || s.Kind == plan.KindUncordon || restores(lane, s) {
		return nil
	}
	r.mu.Lock()
	begun := false
	for i := range lane {
		begun = begun || r.state.Steps[lane[i].ID].Attempt > 0
	}
	r.mu.Unlock()
	needs := s.Estimate
	if !begun {
		needs = lane.Estimate()
	}
	if r.Window.Fits(needs) {
		return nil
	}
	return &WindowError{Step: s.ID, Title: s.Title, Needs: needs, Lane: !begun && len(lane) > 1}
}

// restores tells whether the step is the second of a pair of commands of the load
// balancer: those of a lane come in turn, one that takes out and one that puts back.
func restores(lane plan.Lane, s *plan.Step) bool {
	out := false
	for i := range lane {
		if lane[i].Kind != plan.KindLocal {
			continue
		}
		if lane[i].ID == s.ID {
			return out
		}
		out = !out
	}
	return false
}

// closing tells whether it was the window that ended a lane.
func closing(err error) bool {
	var window *WindowError
	return errors.As(err, &window)
}
