package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/gate"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// This file gives the engine what it declares, made of this session's sides.

// progress chooses how the run is shown.
func (s *session) progress() (engine.Observer, func()) {
	if s.global.logFormat == "json" {
		return report.NewJSON(s.sys.err), func() {}
	}
	if f, ok := terminal(s.sys.err); ok && os.Getenv("TERM") != "dumb" {
		live := report.NewLive(f, func() (width, height int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		})
		return live, live.Close
	}
	return report.NewLines(s.sys.err), func() {}
}

func (s *session) runners(r *runRecord, m *memory, x executor, lease hold, observer hears, store *snapshot.Store) map[plan.Kind]engine.Runner {
	out := map[plan.Kind]engine.Runner{}
	api := apiSide{Client: s.api, may: lease.Check, pace: s.sys.seams.Pace}
	for kind, runner := range step.New(step.Deps{
		Hosts: s.hosts, Executor: x, Last: m.last,
		Cluster: api, Schedule: s.api, Drainer: api,
		EtcdTag: s.api, Defragmenter: s.etcd,
		Members: s.etcd, Membership: s.etcd, Hashes: storeHashes{s.etcd},
		Snapshots:    s.runSnapshots(r, store),
		Certificates: certificates{s.hosts}, Recorder: s.api, Returner: s.api,
		Local: local{s.dir}, Deliveries: courier{s.hosts, s.plain}, Revisions: s.etcd,
		Artefacts: m, Observer: observer,
		Undone: undone{session: s, by: r, epoch: lease.Epoch(), peers: s.controlPlanes, note: func(text string) { observer.Note("", text) }},
	}) {
		out[kind] = runner
	}
	return out
}

func (s *session) gates(p *plan.Plan, m *memory) *gate.Set { return gate.New(s.gateDeps(p, m)) }

func (s *session) gateDeps(p *plan.Plan, m *memory) gate.Deps {
	seams := s.sys.seams
	return gate.Deps{
		APIServers: s.apiServers(p), Nodes: nodesSide{s.api}, Etcd: s.etcd, Certificates: certificates{s.hosts},
		Baselines: step.Baselines{Artefacts: m}, Workloads: s.api,
		DNS: dns{Client: s.api, hosts: s.hosts, nodes: p.Facts.Nodes}, Admission: s.api,
		Objects: objectsSide{s, p, m},
		Facts:   &p.Facts, EtcdCertificates: s.catalog.EtcdCertificates(), ClusterDomain: p.Facts.Kubeadm.DNSDomain,
		Policy: plan.GatePolicy{
			Sustain: seams.pace(s.inv.Gates.Sustain), Every: seams.pace(gate.DefaultEvery), Timeout: s.inv.Gates.Timeout,
		},
	}
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
	lease  hold
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

// driftOf gives what looks for drift in a run.
func (s *session) driftOf(r *runRecord, m *memory) engine.Drift {
	if blind(r.plan) {
		begun := func(id string) bool { return m.progress(id) != planner.Untouched }
		return awayDrift{drift: drift{s, m}, answers: s.answered, begun: begun}
	}
	return drift{s, m}
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
	snapshots             []string // how each hop's restore was rehearsed
	workloads, deprecated []string
	unready               map[string]float64
}

func (s *session) findings(p *plan.Plan, m *memory) *findings {
	f := &findings{}
	for i := range p.Hops {
		line := p.Hops[i].To.Line().String()
		if r, ok, err := step.Rehearsed(m, line); err != nil {
			s.sys.tell("kup: %v", err)
		} else if ok {
			f.snapshots = append(f.snapshots, "before "+p.Hops[i].To.String()+" "+r.String())
		}
		result, ok, err := step.Baselines{Artefacts: m}.Result(line)
		if err != nil {
			s.sys.tell("kup: %v", err)
		}
		if ok {
			f.workloads = append(f.workloads, result.Workloads()...)
			f.deprecated = append(f.deprecated, result.DeprecatedUses()...)
		}
	}
	return f
}

func (h hears) span(from, to time.Time) { h.Spent(engine.SpentRemote, from, to) }
