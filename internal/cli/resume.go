package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// resume goes on with the run of the cluster that was last gone on with, whichever
// machine did.
func (s *session) resume(ctx, looking context.Context, o *applyOptions, w window) error {
	r, apiErr, err := s.findLast(looking, "", "start one: kup apply --to VERSION")
	if err != nil {
		return err
	}
	if r, err = s.resumable(looking, r); err != nil {
		return err
	}
	if r.over() {
		fmt.Fprintf(s.sys.out, "Run %s is done; nothing to resume.\n", r.id)
		return nil
	}
	s.tellOf(r, "Resuming run "+r.id)
	forecast := func() error { return w.forecast(s.sys.out, r.plan, r.state.Done) }
	if err := s.goOn(ctx, looking, r, o.yes, forecast, apiErr); err != nil {
		return err
	}
	return s.executeUp(ctx, r, w, o.failing)
}

// tellOf says where a run stands that is gone on with, and whose word that is.
func (s *session) tellOf(r *runRecord, goingOn string) {
	s.sys.tell("%s: %s", goingOn, r.standing())
	if r.where != here {
		s.sys.tell("It was last gone on with by %s; what is known of it is from %s.", r.state.Holder, r.where)
	}
}

// goOn sees to it that a run can be gone on with, and asks whether it is to be. Before is
// what its kind wants before that question. An API that does not answer, as apiErr says,
// is waited for: the interrupted step may be what restarts it. A plan that takes it away
// does without.
func (s *session) goOn(ctx, looking context.Context, r *runRecord, yes bool, before func() error, apiErr error) error {
	if err := (local{s.dir}).usable(r.plan, r.state.Done); err != nil {
		return err
	}
	if err := before(); err != nil {
		return err
	}
	if !yes {
		if err := confirm(ctx, s.sys, "Go on?"); err != nil {
			return err
		}
	}
	if blind(r.plan) {
		return nil
	}
	if apiErr != nil {
		if err := s.awaitAPI(looking, apiErr); err != nil {
			return err
		}
	}
	return s.sameCluster(looking, r.plan)
}

// resumable gives the upgrade to go on with: the last run, or the one that a rollback
// left to be gone on with, because it is finished or has not taken anything back yet.
func (s *session) resumable(ctx context.Context, last *runRecord) (*runRecord, error) {
	r := last
	if id := last.undoes(); id != "" {
		if !last.over() && !last.idle() {
			return nil, &usageError{
				err:  fmt.Errorf("rollback %s of run %s is unfinished: %s", last.id, id, last.standing()),
				hint: "kup rollback goes on with it",
			}
		}
		var err error
		if r, err = s.findNamed(ctx, last.plan.Facts.Identity.UID, id); err != nil {
			return nil, err
		}
		r.above = last.state.Epoch
	}
	if by, back := r.state.RolledBack(); back {
		return nil, &usageError{err: fmt.Errorf("run %s was rolled back as a whole by run %s, so there is nothing to go on with", r.id, by), hint: "plan anew: kup plan"}
	}
	return r, nil
}

// idle tells of a rollback of single nodes that has not changed anything: what it found
// when it was to begin may forbid it for good, and the way up is open as it was.
func (r *runRecord) idle() bool {
	if r.plan.Rollback.Scope != plan.ScopeNode {
		return false
	}
	return !begunAny(r, func(s *plan.Step) bool {
		return s.Kind == plan.KindReopen || (s.Mutates && s.Kind != plan.KindMoveLeader)
	})
}

// findLast gives the run of the cluster that was last gone on with. Where the API does not
// answer, which apiErr tells, it is found over SSH alone. When there is none, so is what
// that means to the caller, and hint what is to be done then.
func (s *session) findLast(ctx context.Context, so, hint string) (r *runRecord, apiErr, err error) {
	apiErr = s.connect(ctx)
	if apiErr != nil && !unanswered(apiErr) {
		return nil, apiErr, apiErr
	}
	r, err = s.find(ctx)
	if errors.Is(err, errNoRun) {
		err = errors.Join(&usageError{err: errors.New(errNoRun.Error() + " or on a control plane" + so), hint: hint}, apiErr)
	}
	return r, apiErr, err
}

// everyShelf asks the control planes which runs they know. All must answer: the one that
// does not may know more than the others.
func (s *session) everyShelf(ctx context.Context) ([]shelf, error) {
	peers, err := s.controlPlanes()
	if err != nil {
		return nil, err
	}
	all := shelves(ctx, peers)
	return all, silentShelf(unasked(all))
}

// silentShelf says what is done about a control plane that could not be reached.
func silentShelf(err error) error {
	if !is[*remote.ConnectionError](err) {
		return err
	}
	return &usageError{err: err, hint: "every control plane of kup.yaml is asked, since it may know more of the run than the others: " + hintSilent}
}

// find asks this machine and every control plane for the last run.
func (s *session) find(ctx context.Context) (*runRecord, error) {
	all, err := s.everyShelf(ctx)
	if err != nil {
		return nil, err
	}
	id, err := s.identity(ctx)
	if err != nil {
		return nil, err
	}
	g, err := findRun(ctx, id.UID, all)
	if err != nil {
		return nil, err
	}
	if g.damaged != nil {
		s.sys.tell("kup: passed over: %v", g.damaged)
	}
	return g.runRecord, nil
}

// identity tells which cluster this is; nothing while the API is not reached.
func (s *session) identity(ctx context.Context) (cluster.Identity, error) {
	if s.api == nil {
		return cluster.Identity{}, nil
	}
	return s.api.Identity(ctx)
}

// unanswered tells of an API that may be there again in a while, other than one
// that is not configured or refuses this caller.
func unanswered(err error) bool {
	connect := new(kube.ConnectError)
	if !errors.As(err, &connect) || connect.Endpoint == "" {
		return false
	}
	if is[*tls.CertificateVerificationError](err) {
		return false
	}
	var status apierrors.APIStatus
	return !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError
}

// betweenCalls is how often an API that is away is asked again.
const betweenCalls = 5 * time.Second

// awaitAPI waits until the API answers, for as long as a gate would.
func (s *session) awaitAPI(ctx context.Context, last error) error {
	s.sys.tell("%v", last)
	s.sys.tell("Waiting for the API, for %s at most.", s.inv.Gates.Timeout)
	bounded, cancel := context.WithTimeout(ctx, s.inv.Gates.Timeout)
	defer cancel()
	tick := time.NewTicker(max(s.sys.seams.pace(betweenCalls), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-bounded.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &begunError{err: fmt.Errorf("the API did not come back: %w", last)}
		case <-tick.C:
		}
		err := s.connect(bounded)
		if err == nil || (bounded.Err() == nil && !unanswered(err)) {
			return err
		}
		if bounded.Err() == nil {
			last = err
		}
	}
}
