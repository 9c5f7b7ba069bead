package cli

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/pkg/plan"
)

// A rollback that restores data takes the API away, or finds it dead. Meanwhile nothing
// of kup may ask it, wait for it, or take its silence for something else; and when it is
// back it tells of an earlier time, in which another run holds the lock.

// phase is where a step stands to the API.
type phase int

const (
	phaseBefore phase = iota // as it was found
	phaseAway                // from the first stop to the last API server's return
	phaseBack                // it answers again, from the restored data
)

// phasesOf gives every step's. The API is back behind the wave that asks for all API
// servers in the stage that starts them.
func phasesOf(p *plan.Plan) map[string]phase {
	out := map[string]phase{}
	now := phaseBefore
	for i := range p.Hops {
		for _, st := range p.Hops[i].Stages {
			if st.Name == plan.Standstill {
				now = phaseAway
			}
			for _, w := range st.Waves {
				asked := false
				for _, lane := range w.Lanes {
					for j := range lane {
						out[lane[j].ID] = now
						asked = asked || slices.Contains(lane[j].After, "apiservers-ready")
					}
				}
				if asked && st.Name == plan.Start {
					now = phaseBack
				}
			}
		}
	}
	return out
}

// phaseAt is the phase that a run is in. A step that was begun may have had its effect.
func phaseAt(p *plan.Plan, done, begun func(step string) bool) phase {
	touched, over := false, true
	for id, at := range phasesOf(p) {
		if at == phaseAway {
			touched = touched || begun(id) || done(id)
			over = over && done(id)
		}
	}
	switch {
	case !touched:
		return phaseBefore
	case over:
		return phaseBack
	}
	return phaseAway
}

// awayHold is the right to change a cluster whose API goes away by plan: the Lease while
// it answers, the hosts' fence alone while it does not, and the Lease written anew when
// it is back.
type awayHold struct {
	epoch  int64
	phases map[string]phase
	take   func(context.Context) (*kube.Lease, error)

	mu      sync.Mutex
	lease   *kube.Lease // nil: the fence alone
	back    bool
	changed chan struct{} // closed when lease is another
}

// acquireAway takes what guards a plan that takes the API away. Answers tells whether it
// answers now.
func (s *session) acquireAway(ctx context.Context, r *runRecord, answers bool) (hold, error) {
	state := r.state
	begun := func(id string) bool { return state.Steps[id].Attempt > 0 }
	h := &awayHold{phases: phasesOf(r.plan), changed: make(chan struct{})}
	at := phaseAt(r.plan, state.Done, begun)
	if !answers || at == phaseAway {
		h.epoch = max(state.Epoch, r.above) + 1
	} else {
		lease, err := s.acquireLease(ctx, r)
		if err != nil {
			return nil, err
		}
		h.lease, h.epoch, h.back = lease, lease.Epoch(), at == phaseBack
	}
	h.take = func(ctx context.Context) (*kube.Lease, error) {
		// The lock that the restored data tell of was held at the time of the snapshot.
		return s.api.AcquireLease(ctx, kube.Holder{
			Identity: holderIdentity(), Run: r.id, Above: h.epoch - 1,
			Gone: func(*kube.HeldError) bool { return true },
		}, s.sys.seams.lease())
	}
	return h, nil
}

func (h *awayHold) Epoch() int64 { return h.epoch }

func (h *awayHold) current() (*kube.Lease, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease, h.changed
}

// set makes another lease the current one.
func (h *awayHold) set(l *kube.Lease) {
	h.lease = l
	close(h.changed)
	h.changed = make(chan struct{})
}

// Run renews whichever lease there is.
func (h *awayHold) Run(ctx context.Context) error {
	for {
		lease, changed := h.current()
		renewing, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			if lease == nil {
				<-renewing.Done()
				ended <- nil
				return
			}
			ended <- lease.Run(renewing)
		}()
		var err error
		over := false
		select {
		case err = <-ended:
			over = true
		case <-changed:
			stop()
			<-ended //nolint:errcheck // what it says of a lease that was given up does not count
		}
		stop()
		if err != nil || over || ctx.Err() != nil {
			return err
		}
	}
}

// Check asks the lease while there is one.
func (h *awayHold) Check(ctx context.Context) error {
	if lease, _ := h.current(); lease != nil {
		return lease.Check(ctx)
	}
	return nil
}

// callTimeout bounds a call to an API that may be away.
const callTimeout = 10 * time.Second

// SetStep gives the lease up before the first step that takes the API away, and takes it
// anew for the first behind its return. That it cannot be taken yet ends nothing: the
// hosts' fence holds, and the next step tries again.
func (h *awayHold) SetStep(ctx context.Context, step string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h.mu.Lock()
	switch h.phases[step] {
	case phaseAway:
		if h.lease != nil {
			h.set(nil)
		}
		h.back = false
	case phaseBack:
		if !h.back {
			lease, err := h.take(ctx)
			if err != nil {
				h.mu.Unlock()
				return fmt.Errorf("write the lock anew: %w", err)
			}
			h.set(lease)
			h.back = true
		}
	default:
	}
	lease := h.lease
	h.mu.Unlock()
	if lease == nil {
		return nil
	}
	return lease.SetStep(ctx, step)
}

// Release gives back what there is.
func (h *awayHold) Release(ctx context.Context) error {
	if lease, _ := h.current(); lease != nil {
		return lease.Release(ctx)
	}
	return nil
}

// prepareAway has clients ready for an API and members that need not answer yet.
func (s *session) prepareAway(r *runRecord) (err error) {
	if s.api == nil {
		kubeconfig, contextName := s.access()
		if s.api, err = kube.Prepare(kubeconfig, contextName, r.plan.Facts.Identity.UID); err != nil {
			return err
		}
	}
	if s.etcd == nil {
		s.etcd, err = etcd.Prepare(s.members())
	}
	return err
}

// awayDrift looks for drift while the API is as it was found, and answers. Behind that
// the cluster is what the plan made it, as gates ask.
type awayDrift struct {
	drift   engine.Drift
	answers bool
	begun   func(step string) bool
}

// Check implements engine.Drift.
func (d awayDrift) Check(ctx context.Context, p *plan.Plan, done func(string) bool) error {
	if !d.answers || phaseAt(p, done, d.begun) != phaseBefore {
		return nil
	}
	return d.drift.Check(ctx, p, done)
}
