package cli

import (
	"context"
	"maps"
	"sync"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// memory is the journal as the runners see it: artefacts, and how far steps got.
type memory struct {
	dir     string
	journal *journal.Journal
	mu      sync.Mutex
	state   journal.State
}

// Append implements engine.Journal and keeps the state abreast.
func (m *memory) Append(r journal.Record) error {
	if err := m.journal.Append(r); err != nil {
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
	return step.Artefact{Name: a.Name, Hop: a.Hop, Node: a.Node, Path: a.Path, Digest: a.Digest}, ok
}

// artefacts gives all that the run has made.
func (m *memory) artefacts() []step.Artefact {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]step.Artefact, len(m.state.Artefacts))
	for i, a := range m.state.Artefacts {
		out[i] = step.Artefact{Name: a.Name, Hop: a.Hop, Node: a.Node, Path: a.Path, Digest: a.Digest}
	}
	return out
}

// snapshot gives the state to start from.
func (m *memory) snapshot() journal.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.state
	out.Steps = maps.Clone(m.state.Steps)
	return out
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
	case st.Outcome == journal.Done:
		return planner.Ended
	case st.Attempt > 0:
		return planner.Begun
	}
	return planner.Untouched
}

// run is the run's id.
func (m *memory) run() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Run
}
