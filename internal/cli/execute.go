package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	leaseDuration  = 60 * time.Second
	cleanupTimeout = 30 * time.Second
)

// hold is the right to change the cluster, from when it was taken until it is given
// back. A lost one says so with *kube.LostLeaseError.
type hold interface {
	Epoch() int64
	// Run renews it until ctx ends, or tells that it was lost.
	Run(ctx context.Context) error
	Check(ctx context.Context) error
	SetStep(ctx context.Context, step string) error
	Release(ctx context.Context) error
}

// execute locks the cluster and walks what is left of the run's plan.
func (s *session) execute(ctx context.Context, r *runRecord, w window) (err error) {
	lease, err := s.acquire(ctx, r)
	if err != nil {
		return err
	}
	defer func() {
		// The run's own context may be over; giving the lock back must not depend on it.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, lease.Release(clean))
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing errgroup.Group
	renewing.Go(func() error {
		err := lease.Run(ctx)
		cancel(err) // nil when the run is over
		return err
	})
	defer func() {
		cancel(nil)
		if lost := renewing.Wait(); lost != nil && !errors.Is(err, lost) {
			err = errors.Join(err, lost)
		}
	}()
	return s.locked(ctx, r, lease, w)
}

// acquire connects to what the run needs and takes the lock.
func (s *session) acquire(ctx context.Context, r *runRecord) (hold, error) {
	ctx, done := s.sys.untilStop(ctx)
	defer done()
	if blind(r.plan) {
		answers := s.api != nil
		if err := s.prepareAway(r); err != nil {
			return nil, err
		}
		s.answered = answers
		return s.acquireAway(ctx, r, answers)
	}
	if err := s.connectEtcd(ctx); err != nil {
		return nil, err
	}
	return s.acquireLease(ctx, r)
}

func (s *session) acquireLease(ctx context.Context, r *runRecord) (*kube.Lease, error) {
	return s.api.AcquireLease(ctx, kube.Holder{
		Identity: holderIdentity(), Run: r.id, Above: max(r.state.Epoch, r.above),
		Waiting: func(held *kube.HeldError) { s.sys.tell("%v; waiting to see whether it is alive", held) },
		Gone:    func(held *kube.HeldError) bool { return gone(r.plan.Facts.Identity.UID, held) },
	}, s.sys.seams.lease())
}

// gone tells whether a holder of the lock was a process of this machine that has
// ended: its journal is here, ends with its name and epoch, and nobody has it open.
func gone(clusterUID string, held *kube.HeldError) bool {
	base, err := stateDir(clusterUID)
	host, hostErr := os.Hostname()
	if err != nil || hostErr != nil || held.Host != host || !namesDirectory.MatchString(held.Run) {
		return false
	}
	dir := filepath.Join(base, held.Run)
	records, err := journal.Read(dir)
	if err != nil {
		return false
	}
	last := journal.Replay(records)
	idle, err := journal.Idle(dir)
	return err == nil && idle && last.Holder == held.Holder && last.Epoch == held.Epoch
}

// locked runs the plan while the lease is held.
func (s *session) locked(ctx context.Context, r *runRecord, lease hold, w window) (err error) {
	peers, err := s.controlPlanes()
	if err != nil {
		return err
	}
	store, err := s.snapshots(r.plan.Facts.Identity.UID)
	if err != nil {
		return err // of its settings: no host was touched yet
	}
	spent := &report.Spent{}
	progress, done := s.progress()
	done = sync.OnceFunc(done)
	defer done()
	watch := &unready{servers: s.apiServers(r.plan), every: s.sys.seams.pace(unreadyEvery)}
	fan := report.Fan{spent, progress, watch}
	observer := newHears(fan, r.plan)
	s.hosts.span = observer.span
	defer func() { s.hosts.span = nil }()
	store.Note = func(text string) { observer.Note("", text) }
	x := detached.New(r.id, lease.Epoch(), observer.span, detached.Pace(s.sys.seams.Pace))
	m, err := s.begin(ctx, r, lease, x, peers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.journal.Close()) }()
	if err := inheritRecorded(ctx, r, m, peers); err != nil {
		return err
	}
	if err := m.recordAccepted(ctx, r.plan, s.accepting); err != nil {
		return err
	}
	mirrored := newMirror(r.id, lease.Epoch(), r.dir, peers, func(text string) { observer.Note("", text) })
	if err := verify(ctx, s.hosts, m.snapshot().Artefacts, mirrored.anyHas); err != nil {
		return err
	}
	if err := s.inheritBaselines(ctx, r, m); err != nil {
		return err
	}
	e := &engine.Engine{
		Runners: s.runners(r, m, executor{x}, lease, observer, store), Gates: gates{s.gates(r.plan, m)},
		Journal: m, Fence: fence{lease, m, mirrored}, Drift: s.driftOf(r, m), Observer: fan, Window: w.engine(),
	}
	began := time.Now()
	runErr := ended(ctx, r, w.explain(e.Run(ctx, r.plan, m.snapshot(), s.sys.stop), r.plan, m.done))
	if !lostCluster(runErr) {
		runErr = errors.Join(runErr, mirrorEnd(ctx, mirrored, m))
	}
	done() // the result is not to be drawn over
	found := s.findings(r.plan, m)
	found.unready = watch.seconds()
	if runErr == nil && r.undoes() == "" { // what a rollback builds on stays until an upgrade ends well
		s.tidy(ctx, r, peers, store)
	}
	return errors.Join(runErr, s.finish(r, spent, began, runErr, found))
}

// lostCluster tells whether another run has the cluster by now: then the control
// planes' copies are that run's too.
func lostCluster(err error) bool {
	return is[*kube.LostLeaseError](err) || is[*detached.FencedError](err)
}

// ended tells what ended a run: when it was cancelled, why, since what its steps
// say then is only how they noticed.
func ended(ctx context.Context, r *runRecord, err error) error {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case cause == nil, errors.Is(err, cause):
		return r.begun(err)
	case errors.Is(err, context.Canceled):
		return r.begun(cause)
	}
	return r.begun(fmt.Errorf("%w; %w", cause, err))
}

// mirrorEnd tells the control planes how the run ended, whatever ended it.
func mirrorEnd(ctx context.Context, mirrored *mirror, m *memory) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return mirrored.sync(clean, m.snapshot().Artefacts)
}

// controlPlanes are the inventory's, in its order.
func (s *session) controlPlanes() ([]remote.Host, error) {
	var out []remote.Host
	for _, n := range s.inv.Nodes {
		if n.Role != cluster.ControlPlane {
			continue
		}
		h, err := s.hosts.Host(n.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// own raises the fence on every host: an older run's commands are refused there.
func (s *session) own(ctx context.Context, x *detached.Executor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, host := range s.hosts.byNode {
		group.Go(func() error { return x.Own(ctx, host) })
	}
	return group.Wait()
}
