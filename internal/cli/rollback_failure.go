package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/pkg/plan"
)

// onFailure says how far apply takes back by itself what failed.
type onFailure string

// The ways of --rollback-on-failure.
const (
	failureNever onFailure = "never"
	failureNode  onFailure = "node"
	failureHop   onFailure = "hop"
)

func (o *onFailure) add(f *pflag.FlagSet) {
	f.StringVar((*string)(o), "rollback-on-failure", string(failureNode), "what is taken back at once when a step fails, as far as it loses nothing: node, hop or never")
}

func (o onFailure) check() error {
	switch o {
	case failureNever, failureNode, failureHop:
		return nil
	}
	return &usageError{err: fmt.Errorf("--rollback-on-failure %q: want node, hop or never", string(o)), hint: "node is the default"}
}

// scopes are those that may be tried, in their order.
func (o onFailure) scopes() []plan.Scope {
	switch o {
	case failureNode:
		return []plan.Scope{plan.ScopeNode}
	case failureHop:
		return []plan.Scope{plan.ScopeNode, plan.ScopeHop}
	default:
		return nil
	}
}

// executeUp executes an upgrade, and takes back what failed steps left, as far as that
// is wanted.
func (s *session) executeUp(ctx context.Context, r *runRecord, w window, o onFailure) error {
	err := s.execute(ctx, r, w)
	failed := engine.Failed(err)
	if len(o.scopes()) == 0 || len(failed) == 0 || s.given(err) {
		return err
	}
	u, readErr := loadRun(r.dir)
	if readErr != nil {
		s.sys.tell("kup: nothing is taken back: %v", readErr)
		return err
	}
	nodes := failedNodes(u, failed)
	if len(nodes) == 0 {
		return err
	}
	s.sys.tell("kup: %v", err)
	return s.takeBack(ctx, u, nodes, o, err)
}

// given tells of ends at which the cluster is to be left as it is: somebody interrupted
// the run, or it is another's.
func (s *session) given(err error) bool {
	select {
	case <-s.sys.stop:
		return true
	default:
	}
	code, _ := classify(err)
	return code != exitStopped
}

// failedNodes are those on which a step failed that, or one before it in its lane, may
// have had an effect that the node's backup undoes. Workers go side by side, so it may be
// several; one whose lane only stopped at a step boundary is not of them.
func failedNodes(u *runRecord, failed []*engine.StepError) []string {
	var out []string
	for i := range u.plan.Hops {
		for _, st := range u.plan.Hops[i].Stages {
			for _, w := range st.Waves {
				for _, lane := range w.Lanes {
					if node := lane[0].Node; undoableIn(u, lane, failed) && !slices.Contains(out, node) {
						out = append(out, node)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func undoableIn(u *runRecord, lane plan.Lane, failed []*engine.StepError) bool {
	undoable := false
	for _, s := range lane {
		undoable = undoable || (s.WayBack == plan.WayBackNode && u.undone().Begun(s.ID))
		if slices.ContainsFunc(failed, func(f *engine.StepError) bool { return f.Step == s.ID }) {
			return undoable
		}
	}
	return false
}

// takeBack tries the scopes in turn. What cannot be judged, loses anything or needs
// consent is not done unasked: the run then ended as it did.
func (s *session) takeBack(ctx context.Context, u *runRecord, nodes []string, o onFailure, cause error) error {
	looking, done := s.sys.untilStop(ctx)
	defer done()
	unknown, err := stillAtWork(looking, u, s.hostsSay(u))
	if err := errors.Join(err, errors.Join(unknown...)); err != nil {
		s.sys.tell("kup: not taken back: %s", oneLine(err.Error()))
		return cause
	}
	for _, scope := range o.scopes() {
		p, err := s.planBack(looking, u, &rollbackOptions{scope: string(scope), failed: nodes}, nil)
		if err == nil {
			err = harmless(p)
		}
		if err != nil {
			s.sys.tell("kup: not taken back (scope %s): %v", scope, err)
			continue
		}
		if err := report.Plan(s.sys.out, p); err != nil {
			return errors.Join(cause, err)
		}
		err = s.executeBack(ctx, &runRecord{id: newRunID(time.Now()), plan: p, above: u.state.Epoch})
		if back := new(rolledBackError); errors.As(err, &back) {
			back.cause = cause
			return back
		}
		return fmt.Errorf("%w; it was taken back because: %v", err, cause) //nolint:errorlint // the rollback's end is this command's
	}
	return cause
}

// harmless tells of a rollback that may be done without asking anybody.
func harmless(p *plan.Plan) error {
	if n := len(p.Rollback.Losses); n > 0 {
		return fmt.Errorf("it would lose data (%d entries), which only kup rollback --accept-data-loss may", n)
	}
	for _, n := range p.Notices {
		if n.Consent {
			return fmt.Errorf("it asks for consent: %s", n.Text)
		}
	}
	return nil
}
