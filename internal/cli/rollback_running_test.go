package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/pkg/plan"
)

// A command outlives the kup that started it: a rollback does not begin beside one.
func TestNothingIsTakenBackBesideACommandThatRuns(t *testing.T) {
	p := &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{
		{ID: "fetch", Node: "w-1"}, {ID: "package", Node: "w-1", Mutates: true}, {ID: "node", Title: "kubeadm upgrade node", Node: "w-1", Mutates: true},
	}}}}}}}}}
	open := func(attempt int) journal.StepState { return journal.StepState{Attempt: attempt} }
	done := journal.StepState{Attempt: 1, Outcome: journal.Done}
	for name, tt := range map[string]struct {
		steps   map[string]journal.StepState
		running string // the execution that is
		deaf    bool
		want    string // the error; empty: none
		unknown bool
		asked   int
	}{
		"nothing begun":      {nil, "", false, "", false, 0},
		"ended":              {map[string]journal.StepState{"package": done, "node": open(1)}, "", false, "", false, 1},
		"at work":            {map[string]journal.StepState{"package": done, "node": open(1)}, "r/node/1", false, "step node of run r (kubeadm upgrade node) still runs on w-1", false, 1},
		"the attempt before": {map[string]journal.StepState{"node": open(3)}, "r/node/2", false, "still runs on w-1", false, 2},
		"its end was seen":   {map[string]journal.StepState{"node": done}, "r/node/1", false, "", false, 0},
		"it changes nothing": {map[string]journal.StepState{"fetch": open(1)}, "r/fetch/1", false, "", false, 0},
		"the host is silent": {map[string]journal.StepState{"node": open(1)}, "", true, "", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			ask := func(_ context.Context, _ string, x plan.Execution) (detached.Status, error) {
				asked++
				switch {
				case tt.deaf:
					return detached.Status{}, errors.New("no route to host")
				case x.String() == tt.running:
					return detached.Status{State: detached.Running}, nil
				}
				return detached.Status{State: detached.Exited}, nil
			}
			unknown, err := stillAtWork(t.Context(), &runRecord{id: "r", plan: p, state: journal.State{Steps: tt.steps}}, ask)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if (len(unknown) > 0) != tt.unknown || asked != tt.asked {
				t.Errorf("unknown: %v; asked %d times, want %d", unknown, asked, tt.asked)
			}
		})
	}
}

// What a host that does not answer does is not known: it may be at work still. One that is
// out of the inventory is none of kup's any more.
func TestNothingIsTakenBackBesideASilentHost(t *testing.T) {
	p := &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{
		{{ID: "a", Node: "w-1", Title: "kubeadm upgrade node", Mutates: true}}, {{ID: "b", Node: "w-2", Mutates: true}},
	}}}}}}}}
	begun := journal.StepState{Attempt: 1}
	run := &runRecord{id: "up", plan: p, state: journal.State{Steps: map[string]journal.StepState{"a": begun, "b": begun}}}
	idle := &runRecord{id: "back", plan: p}
	exited := errors.New("") // what a host says that answers
	for name, tt := range map[string]struct {
		w1, w2     error
		runs       []*runRecord
		want, told string
	}{
		"all answer":          {exited, exited, []*runRecord{run, idle}, "", ""},
		"one is silent":       {errors.New("no route to host"), exited, []*runRecord{run}, "whether step a of run up (kubeadm upgrade node) still runs on w-1 cannot be told: no route to host; nothing was touched", ""},
		"of the second run":   {exited, errors.New("no route to host"), []*runRecord{idle, run}, "still runs on w-2 cannot be told", ""},
		"silent, not at work": {errors.New("no route to host"), exited, []*runRecord{idle}, "", ""},
		"one was taken out":   {fmt.Errorf("node w-1 %w", errUnlisted), exited, []*runRecord{run}, "", "w-1 is not in the inventory"},
		"both":                {fmt.Errorf("node w-1 %w", errUnlisted), errors.New("no route to host"), []*runRecord{run}, "still runs on w-2 cannot be told", "w-1 is not in the inventory"},
	} {
		t.Run(name, func(t *testing.T) {
			told := ""
			ask := func(*runRecord) statusOf {
				return func(_ context.Context, node string, _ plan.Execution) (detached.Status, error) {
					if err := map[string]error{"w-1": tt.w1, "w-2": tt.w2}[node]; !errors.Is(err, exited) {
						return detached.Status{}, err
					}
					return detached.Status{State: detached.Exited}, nil
				}
			}
			err := quiet(t.Context(), func(format string, args ...any) { told += fmt.Sprintf(format, args...) }, ask, tt.runs...)
			if tt.want == "" && err != nil {
				t.Fatal(err)
			}
			if code, hint := classify(err); tt.want != "" && (code != exitUsage || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint, "kup.yaml")) {
				t.Errorf("%v, exit code %d, hint %q", err, code, hint)
			}
			if (tt.told == "") != (told == "") || !strings.Contains(told, tt.told) {
				t.Errorf("told %q", told)
			}
		})
	}
}

// Where a rollback cannot come to its end the costliest way is still open, and only that.
func TestWhichRollbackMayFollowAnUnfinishedOne(t *testing.T) {
	for _, tt := range []struct {
		unfinished, asked string
		changed, want     bool
	}{
		{"node", "data", true, true},
		{"hop", "data", true, true},
		{"data", "data", true, false},
		{"data", "data", false, true},
		{"data", "auto", false, false},
		{"node", "hop", true, false},
		{"hop", "auto", true, false},
		{"node", "node", false, false},
	} {
		r := &runRecord{plan: &plan.Plan{
			Rollback: &plan.Rollback{Run: runA, Scope: plan.Scope(tt.unfinished)},
			Hops:     []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{{ID: "fetch"}, {ID: "stop", Mutates: true}}}}}}}}},
		}}
		r.state.Steps = map[string]journal.StepState{"fetch": {Attempt: 1}}
		if tt.changed {
			r.state.Steps["stop"] = journal.StepState{Attempt: 1}
		}
		if got := (&rollbackOptions{scope: tt.asked}).replaces(r); got != tt.want {
			t.Errorf("%s after %s: %t", tt.asked, tt.unfinished, got)
		}
	}
}

// --out changes nothing, whatever is unfinished.
func TestOutGoesOnWithNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "back.json")
	r := &runRecord{id: backRun, plan: backPlan(t, runA, plan.ScopeHop)}
	if err := testSession(t).goOnBack(t.Context(), t.Context(), r, &rollbackOptions{scope: scopeAuto, out: file, output: "text", yes: true}, nil); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := decodePlan(content); err != nil || p.ID != r.plan.ID {
		t.Errorf("%v, %v", p, err)
	}
}

// Whoever cannot reach a control plane learns what to do, in the code of hosts; other
// errors are what they were.
func TestSilentShelf(t *testing.T) {
	gone := unasked([]shelf{{}, {err: &remote.ConnectionError{Host: "cp-2", Err: errors.New("no route to host")}}})
	if code, hint := classify(silentShelf(gone)); code != exitUsage || !strings.Contains(hint, "take it out of kup.yaml") {
		t.Errorf("exit code %d, hint %q", code, hint)
	}
	failed := unasked([]shelf{{err: &remote.ExitError{Host: "cp-2", Code: 1}}})
	if err := silentShelf(failed); !errors.Is(err, failed) || is[*usageError](err) {
		t.Errorf("%v", err)
	}
	if err := silentShelf(unasked([]shelf{{}})); err != nil {
		t.Error(err)
	}
}
