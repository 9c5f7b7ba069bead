package cli

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// memory is the journal as the runners see it: artefacts, and how far steps got.
type memory struct {
	dir     string
	journal *journal.Journal
	sink    engine.Journal // the journal, or what wraps it
	may     func(context.Context) error
	mu      sync.Mutex
	state   journal.State
}

// load starts from what a journal holds. Files of the run that another machine made
// are looked for in the run's directory here.
func (m *memory) load(dir string, records []journal.Record) {
	m.dir, m.state = dir, journal.Replay(records)
	for i, a := range m.state.Artefacts {
		if a.Node == "" && filepath.Base(filepath.Dir(a.Path)) == m.state.Run {
			m.state.Artefacts[i].Path = filepath.Join(dir, filepath.Base(a.Path))
		}
	}
}

// proofTimeout bounds the question whether the cluster is still this run's; an API
// that does not answer takes nothing away.
const proofTimeout = 3 * time.Second

// Append implements engine.Journal and keeps the state abreast. A run that lost the
// cluster adds nothing: its journal is the beginning of what its successor writes.
func (m *memory) Append(r journal.Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), proofTimeout)
	defer cancel()
	var lost *kube.LostLeaseError
	if err := m.may(ctx); errors.As(err, &lost) {
		return lost
	}
	if err := m.sink.Append(r); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Apply(r)
	return nil
}

// Dir implements step.Artefacts.
func (m *memory) Dir() string { return m.dir }

// Put implements step.Artefacts.
func (m *memory) Put(_ context.Context, a step.Artefact) error {
	return m.Append(journal.Record{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{
		Name: a.Name, Hop: a.Hop, Node: a.Node, Path: a.Path, Digest: a.Digest,
	}})
}

// Get implements step.Artefacts.
func (m *memory) Get(hop, name, node string) (step.Artefact, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.state.Artefact(hop, name, node)
	return artefact(a), ok
}

// artefact is one as steps know it.
func artefact(a journal.Artefact) step.Artefact {
	return step.Artefact{Name: a.Name, Hop: a.Hop, Node: a.Node, Path: a.Path, Digest: a.Digest}
}

// snapshot gives the state to start from.
func (m *memory) snapshot() journal.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.state
	out.Steps = maps.Clone(m.state.Steps)
	out.Artefacts = slices.Clone(m.state.Artefacts)
	return out
}

// done tells whether a step ended well.
func (m *memory) done(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Done(id)
}

// last is the last attempt at a step that the journal knows of.
func (m *memory) last(id string) (plan.Execution, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.state.Steps[id]
	return plan.Execution{Run: m.state.Run, Step: id, Attempt: st.Attempt}, ok && st.Attempt > 0
}

// progress tells how far a step is.
func (m *memory) progress(id string) planner.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch st := m.state.Steps[id]; {
	case st.Outcome == journal.Done && st.TakenBack:
		return planner.EndedAnew
	case st.Outcome == journal.Done:
		return planner.Ended
	case st.Outcome == journal.Reopened:
		return planner.TakenBack
	case st.Attempt > 0 && st.TakenBack:
		return planner.BegunAnew
	case st.Attempt > 0:
		return planner.Begun
	}
	return planner.Untouched
}
