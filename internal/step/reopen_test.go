package step

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

type fakeUndone struct {
	steps []string
	told  bool
	err   error
}

func (f *fakeUndone) Reopen(_ context.Context, run string, steps []string) error {
	if f.err == nil {
		f.told, f.steps = run == "up", steps
	}
	return f.err
}

func (f *fakeUndone) Reopened(context.Context, string) (bool, error) { return f.told, f.err }

func TestReopen(t *testing.T) {
	s := plan.Step{ID: "1.33/workloads/reopen", Kind: plan.KindReopen, Args: map[string]string{"run": "up", "steps": "a\nb"}}
	w := newWorld(t, nil)
	f := &fakeUndone{}
	w.Undone = f
	r := w.runner(plan.KindReopen)
	if done, err := r.Done(t.Context(), s); done || err != nil {
		t.Errorf("done before the start: %t, %v", done, err)
	}
	if err := r.Run(t.Context(), s, attempt(s, 1)); err != nil || !slices.Equal(f.steps, []string{"a", "b"}) {
		t.Errorf("%v, %v", err, f.steps)
	}
	if done, err := r.Done(t.Context(), s); !done || err != nil {
		t.Errorf("done: %t, %v", done, err)
	}
	f.err = errors.New("the journal is damaged")
	if err := r.Run(t.Context(), s, attempt(s, 2)); !errors.Is(err, f.err) {
		t.Errorf("%v", err)
	}
	var bad *ArgsError
	if err := r.Run(t.Context(), plan.Step{ID: "x", Kind: plan.KindReopen}, attempt(s, 1)); !errors.As(err, &bad) {
		t.Errorf("without a run: %v", err)
	}
}

// A rollback finds nodes cordoned by the run that it takes back: its plan says how they
// were before.
func TestCordonKnowsHowTheNodeWasFound(t *testing.T) {
	for found, want := range map[string]string{plan.FoundSchedulable: ArtefactSchedulable, plan.FoundCordoned: ArtefactCordoned} {
		s := aStep(plan.KindCordon, map[string]string{"found": found})
		w := newWorld(t, nil)
		w.Schedule = &fakeSchedule{cordoned: found == plan.FoundSchedulable} // the opposite
		if err := w.runner(plan.KindCordon).Run(t.Context(), s, attempt(s, 1)); err != nil {
			t.Fatal(err)
		}
		if len(w.artefacts.all) != 1 || w.artefacts.all[0].Name != want {
			t.Errorf("%s: %v", found, w.artefacts.all)
		}
	}
	s := aStep(plan.KindCordon, map[string]string{"found": "asleep"})
	w := newWorld(t, nil)
	f := &fakeSchedule{}
	w.Schedule = f
	var bad *ArgsError
	if err := w.runner(plan.KindCordon).Run(t.Context(), s, attempt(s, 1)); !errors.As(err, &bad) || len(f.calls) > 0 {
		t.Errorf("%v, %v", err, f.calls)
	}
}
