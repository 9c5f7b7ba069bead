package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/gate"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const (
	leaseDuration  = 60 * time.Second
	cleanupTimeout = 30 * time.Second
)

// execute locks the cluster and walks what is left of the run's plan.
func (s *session) execute(ctx context.Context, r *runRecord) (err error) {
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
	return s.locked(ctx, r, lease)
}

// acquire connects to what the run needs and takes the lock.
func (s *session) acquire(ctx context.Context, r *runRecord) (*kube.Lease, error) {
	ctx, done := s.sys.untilStop(ctx)
	defer done()
	if err := s.connectEtcd(ctx); err != nil {
		return nil, err
	}
	return s.api.AcquireLease(ctx, kube.Holder{
		Identity: holderIdentity(), Run: r.id, Above: r.state.Epoch,
		Waiting: func(held *kube.HeldError) { fmt.Fprintf(s.sys.err, "%v; waiting to see whether it is alive\n", held) },
	}, leaseDuration)
}

// locked runs the plan while the lease is held.
func (s *session) locked(ctx context.Context, r *runRecord, lease *kube.Lease) (err error) {
	m, err := s.remember(r, lease.Epoch())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.journal.Close()) }()
	if err := verify(ctx, s.hosts, m.artefacts()); err != nil {
		return err
	}
	spent := &report.Spent{}
	progress, done := s.progress()
	done = sync.OnceFunc(done)
	defer done()
	watch := &unready{servers: s.apiServers(r.plan)}
	fan := report.Fan{spent, progress, watch}
	observer := newHears(fan, r.plan)
	s.hosts.span = observer.span
	x := detached.New(r.id, lease.Epoch(), observer.span)
	if err := s.own(ctx, x); err != nil {
		return err
	}
	peers, err := s.controlPlanes()
	if err != nil {
		return err
	}
	mirrored := newMirror(r.id, r.dir, peers, func(text string) { observer.Note("", text) })
	e := &engine.Engine{
		Runners: s.runners(m, executor{x}, observer), Gates: gates{s.gates(r.plan, m)},
		Journal: m, Fence: fence{lease, m, mirrored}, Drift: drift{s, m}, Observer: fan,
	}
	began := time.Now()
	runErr := ended(ctx, e.Run(ctx, r.plan, m.snapshot(), s.sys.stop))
	runErr = errors.Join(runErr, mirrorEnd(ctx, mirrored, m))
	done() // the result is not to be drawn over
	found := s.findings(r.plan, m)
	found.unready = watch.seconds()
	if runErr == nil {
		if err := prune(r.plan.Facts.Identity.UID, r.id, s.inv.Snapshots.Directory, s.inv.Snapshots.Keep); err != nil {
			fmt.Fprintf(s.sys.err, "kup: old snapshots were not all removed: %v\n", err)
		}
	}
	return errors.Join(runErr, s.finish(r, spent, began, runErr, found))
}

// ended tells what ended a run: when it was cancelled, why, since what its steps
// say then is only how they noticed.
func ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case cause == nil, errors.Is(err, cause):
		return &begunError{err}
	case errors.Is(err, context.Canceled):
		return &begunError{cause}
	}
	return &begunError{fmt.Errorf("%w; %w", cause, err)}
}

// verify checks every artefact that the run has made so far: the way back
// depends on them.
func verify(ctx context.Context, hosts step.Hosts, artefacts []step.Artefact) error {
	errs := make([]error, len(artefacts))
	var group errgroup.Group
	group.SetLimit(16)
	for i, a := range artefacts {
		group.Go(func() error {
			errs[i] = step.Verify(ctx, hosts, a)
			return nil
		})
	}
	_ = group.Wait() // told by artefact
	return errors.Join(errs...)
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

// remember starts the run's journal, or opens it to go on.
func (s *session) remember(r *runRecord, epoch int64) (*memory, error) {
	m := &memory{}
	if r.dir == "" {
		dir, err := createRun(r.plan, r.id)
		if err != nil {
			return nil, err
		}
		r.dir = dir
		first := journal.Record{Plan: r.plan.ID, Cluster: r.plan.Facts.Identity.UID, Run: r.id, Holder: holderIdentity(), Epoch: epoch}
		if m.journal, err = journal.Create(dir, first); err != nil {
			return nil, err
		}
		first.Kind = journal.RunStarted
		m.state = journal.Replay([]journal.Record{first})
		m.dir = dir
		return m, nil
	}
	j, records, err := journal.Open(r.dir)
	if err != nil {
		return nil, err
	}
	m.dir, m.journal, m.state = r.dir, j, journal.Replay(records)
	if err := r.belongs(m.state); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return m, m.Append(journal.Record{Kind: journal.RunResumed, Holder: holderIdentity(), Epoch: epoch})
}

// progress chooses how the run is shown.
func (s *session) progress() (engine.Observer, func()) {
	if s.global.logFormat == "json" {
		return report.NewJSON(s.sys.err), func() {}
	}
	if f, ok := terminal(s.sys.err); ok && os.Getenv("TERM") != "dumb" {
		live := report.NewLive(f, func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return width
		})
		return live, live.Close
	}
	return report.NewLines(s.sys.err), func() {}
}

func (s *session) runners(m *memory, x executor, observer hears) map[plan.Kind]engine.Runner {
	out := map[plan.Kind]engine.Runner{}
	for kind, r := range step.New(step.Deps{
		Hosts: s.hosts, Executor: x, Last: m.last,
		Cluster: apiSide{s.api}, Schedule: s.api, Drainer: apiSide{s.api},
		Members: s.etcd, Snapshots: etcdSide{Cluster: s.etcd, dir: s.inv.Snapshots.Directory, run: m.run()}, Certificates: certificates{s.hosts}, Local: local{},
		Artefacts: m, Observer: observer,
	}) {
		out[kind] = r
	}
	return out
}

func (s *session) gates(p *plan.Plan, m *memory) *gate.Set {
	return gate.New(gate.Deps{
		APIServers: s.apiServers(p), Nodes: nodesSide{s.api}, Etcd: s.etcd, Certificates: certificates{s.hosts},
		Baselines: step.Baselines{Artefacts: m}, Workloads: s.api,
		DNS: dns{Client: s.api, hosts: s.hosts, nodes: p.Facts.Nodes}, Admission: s.api,
		Facts: &p.Facts, EtcdCertificates: s.catalog.EtcdCertificates(),
		Policy: plan.GatePolicy{Sustain: s.inv.Gates.Sustain, Timeout: s.inv.Gates.Timeout},
	})
}

// apiServers reaches every API server of the plan through its own node.
func (s *session) apiServers(p *plan.Plan) apiServers {
	return apiServers{api: s.api, hosts: s.hosts, nodes: p.Facts.Nodes}
}

// gates fits gate.Set to the engine.
type gates struct{ *gate.Set }

func (g gates) Gate(id plan.GateID) (engine.Gate, error) { return g.Set.Gate(id) }

// fence proves the lease before every mutation, and sees to it that the control
// planes know of it. While the API is down by plan it cannot be asked, and the
// hosts' own fence alone holds.
type fence struct {
	lease  *kube.Lease
	memory *memory
	mirror *mirror
}

func (f fence) Assert(ctx context.Context, stepID string) error {
	var lost *kube.LostLeaseError
	if err := f.lease.SetStep(ctx, stepID); errors.As(err, &lost) {
		return err
	}
	return f.mirror.sync(ctx, f.memory.snapshot().Artefacts)
}

// drift compares the cluster with the plan before every wave.
type drift struct {
	session *session
	memory  *memory
}

func (d drift) Check(ctx context.Context, p *plan.Plan, _ func(string) bool) error {
	now, err := d.session.api.Standing(ctx)
	if err != nil {
		return fmt.Errorf("look for drift: %w", err)
	}
	if now.Etcd.Members, err = d.session.etcd.Members(ctx); err != nil {
		return fmt.Errorf("look for drift: %w", err)
	}
	if found := planner.Drift(p, d.memory.progress, &now); len(found) > 0 {
		return &planner.DriftError{Differences: found}
	}
	return nil
}

// findings are what the hops' comparisons found.
type findings struct {
	workloads, deprecated []string
	unready               map[string]float64
}

func (s *session) findings(p *plan.Plan, m *memory) *findings {
	f := &findings{}
	for i := range p.Hops {
		result, ok, err := step.Baselines{Artefacts: m}.Result(p.Hops[i].To.Line().String())
		if err != nil {
			fmt.Fprintf(s.sys.err, "kup: %v\n", err)
		}
		if ok {
			f.workloads = append(f.workloads, result.Workloads()...)
			f.deprecated = append(f.deprecated, result.DeprecatedUses()...)
		}
	}
	return f
}

func (h hears) span(from, to time.Time) { h.Spent(engine.SpentRemote, from, to) }
