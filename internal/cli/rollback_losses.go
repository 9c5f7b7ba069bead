package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// What a rollback loses becomes more while it is on its way: it is listed when the way
// is chosen, and once more before there is no return. What was agreed to is in the plan,
// and, where somebody went on and agreed to more, in artefacts of the run.

// artefactLosses is what the names of artefacts with further losses begin with; a number
// follows.
const artefactLosses = "losses-"

// lossesAgain lists what an unfinished rollback loses once more, where that can have
// become more and can still be kept, and has what is new agreed to.
func (s *session) lossesAgain(ctx context.Context, r *runRecord, o *rollbackOptions) error {
	if !looksAgain(r, o.losses) {
		return nil
	}
	now, err := s.lossesNow(ctx, r)
	if err != nil {
		return err
	}
	accepted, err := s.agreedTo(ctx, r)
	if err != nil {
		return err
	}
	more := plan.NewLosses(accepted, now)
	if err := o.agreeToMore(s.sys, r, more); err != nil {
		return err
	}
	s.accepting = more
	return nil
}

// looksAgain tells whether losses are listed anew when a rollback goes on: of one that
// restores data until its first member is restored. One that keeps them looks by itself
// before its first API server goes back (gate objects-kept), so that here it is looked
// only for who accepts what that gate finds.
func looksAgain(r *runRecord, accepts bool) bool {
	switch b := r.plan.Rollback; b.Scope {
	case plan.ScopeData:
		return !begunAny(r, func(s *plan.Step) bool { return s.Kind == plan.KindRestoreMember })
	case plan.ScopeHop:
		return accepts && b.Schema != nil && !begunAny(r, func(s *plan.Step) bool { return s.Args["component"] == plan.ComponentControlPlane })
	default:
		return false
	}
}

func begunAny(r *runRecord, is func(*plan.Step) bool) bool {
	found := false
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		found = found || (is(s) && r.state.Steps[s.ID].Attempt > 0)
		return !found
	})
	return found
}

// agreeToMore refuses losses that nobody agreed to yet, and shows them.
func (o *rollbackOptions) agreeToMore(sys *system, r *runRecord, more []plan.Loss) error {
	if len(more) == 0 {
		return nil
	}
	if err := report.Losses(sys.out, more); err != nil || o.losses {
		return err
	}
	hint := "read the list, then pass --accept-data-loss too"
	if o.identity == "" && sealedLosses(r) {
		hint = "give --identity FILE too, so that they can be listed; or pass --accept-data-loss"
	}
	return &usageError{
		err:  fmt.Errorf("rollback %s would lose more by now than was agreed to (%d, listed above); nothing further was touched", r.id, len(more)),
		hint: hint,
	}
}

// sealedLosses tells whether a rollback restores a snapshot that only an identity opens.
func sealedLosses(r *runRecord) bool {
	sealed := false
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		sealed = sealed || (s.Kind == plan.KindDeliver && s.Args["sealed"] != "")
		return !sealed
	})
	return sealed
}

// lossesNow lists what an unfinished rollback loses, as things are now.
func (s *session) lossesNow(ctx context.Context, r *runRecord) ([]plan.Loss, error) {
	u, err := s.findNamed(ctx, r.plan.Facts.Identity.UID, r.plan.Rollback.Run)
	if err != nil {
		return nil, err
	}
	if r.plan.Rollback.Scope == plan.ScopeHop {
		a, found, err := s.recorded(ctx, u, r.plan.Rollback.Schema.Hop, step.ArtefactSchema)
		if err := errors.Join(err, notRecorded(found)); err != nil {
			return nil, fmt.Errorf("the API's schema of before the hop: %w", err)
		}
		s.sys.tell("Looking through every object for what API servers of before hop %s do not keep...", r.plan.Rollback.Schema.Hop)
		return s.notKept(ctx, a)
	}
	s.sys.tell("Listing once more what is lost...")
	e := planner.Evidence{Losses: map[plan.Scope][]plan.Loss{}, Refused: map[plan.Scope]string{}}
	if err := lookAtData(ctx, s, u, &e); err != nil {
		return nil, err
	}
	if why := e.Refused[plan.ScopeData]; why != "" {
		return []plan.Loss{unseen(why)}, nil
	}
	return e.Losses[plan.ScopeData], nil
}

// unseen is the loss of what nobody could look at.
func unseen(why string) plan.Loss {
	return plan.Loss{Kind: plan.LossUnread, Resource: "etcd", Name: plan.LossEverything, Detail: why}
}

// notKept reads what was recorded of the API before a hop, and gives what an API server
// of then does not keep.
func (s *session) notKept(ctx context.Context, schema step.Artefact) ([]plan.Loss, error) {
	before, err := step.ReadSchema(ctx, schema)
	if err != nil {
		return nil, err
	}
	return s.roundTrip(ctx, before)
}

// agreedTo is what was agreed to of an unfinished rollback, read wherever it is.
func (s *session) agreedTo(ctx context.Context, r *runRecord) ([]plan.Loss, error) {
	base, err := stateDir(r.plan.Facts.Identity.UID)
	if err != nil {
		return nil, err
	}
	peers, err := s.controlPlanes()
	if err != nil {
		return nil, err
	}
	var there []shelf
	for _, h := range peers {
		there = append(there, shelf{host: h})
	}
	return accepted(r.plan, r.state.Artefacts, func(a journal.Artefact) ([]byte, error) {
		b, err := os.ReadFile(filepath.Join(base, r.id, filepath.Base(a.Path)))
		if err == nil && digest(b) == a.Digest {
			return b, nil
		}
		return fetch(ctx, r.id, a, there)
	})
}

// accepted gives the losses that were agreed to: the plan's, and those of artefacts.
func accepted(p *plan.Plan, artefacts []journal.Artefact, read func(journal.Artefact) ([]byte, error)) ([]plan.Loss, error) {
	out := append([]plan.Loss{}, p.Rollback.Losses...)
	for _, a := range artefacts {
		if !strings.HasPrefix(a.Name, artefactLosses) {
			continue
		}
		b, err := read(a)
		if err == nil && digest(b) != a.Digest {
			err = &step.DamagedError{Artefact: artefact(a)}
		}
		var more []plan.Loss
		if err == nil {
			err = json.Unmarshal(b, &more)
		}
		if err != nil {
			return nil, fmt.Errorf("losses that were accepted: %w", err)
		}
		out = append(out, more...)
	}
	return out, nil
}

// recordAccepted records what was agreed to when the run was gone on with.
func (m *memory) recordAccepted(ctx context.Context, p *plan.Plan, more []plan.Loss) error {
	if len(more) == 0 {
		return nil
	}
	hop, n := p.Hops[0].To.Line().String(), 1
	for _, a := range m.snapshot().Artefacts {
		if strings.HasPrefix(a.Name, artefactLosses) {
			n++
		}
	}
	content, err := json.Marshal(more)
	if err != nil {
		return err
	}
	a := step.Artefact{Name: fmt.Sprintf("%s%d", artefactLosses, n), Hop: hop, Digest: digest(content)}
	a.Path = filepath.Join(m.Dir(), a.Name+".json")
	if err := writeDurably(a.Path, content); err != nil {
		return err
	}
	return m.Put(ctx, a)
}

// objectsSide is what gates ask of the objects: what API servers of before keep of them.
type objectsSide struct {
	session *session
	plan    *plan.Plan
	memory  *memory
}

func (o objectsSide) NotKept(ctx context.Context, hop string) ([]plan.Loss, error) {
	r := o.plan.Rollback
	if r == nil || r.Schema == nil || r.Schema.Hop != hop {
		return nil, fmt.Errorf("the plan does not say what was recorded before hop %s", hop)
	}
	return o.session.notKept(ctx, step.Artefact{
		Name: step.ArtefactSchema, Hop: hop, Digest: r.Schema.Digest, Path: filepath.Join(o.memory.Dir(), filepath.Base(r.Schema.Source)),
	})
}

func (o objectsSide) Accepted(context.Context) ([]plan.Loss, error) {
	return accepted(o.plan, o.memory.snapshot().Artefacts, func(a journal.Artefact) ([]byte, error) { return os.ReadFile(a.Path) })
}
