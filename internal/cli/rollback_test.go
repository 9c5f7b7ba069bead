package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const backRun = "20260102-040000-cccccc"

// backPlan is a sealed rollback of a run.
func backPlan(t *testing.T, of string, scope plan.Scope) *plan.Plan {
	t.Helper()
	p := &plan.Plan{
		Format:   plan.Format,
		Facts:    cluster.Facts{Identity: cluster.Identity{UID: testUID}, Nodes: []cluster.Node{{Name: "w-1"}}},
		Rollback: &plan.Rollback{Run: of, Plan: "sha256:up", Scope: scope},
		Hops: []plan.Hop{{
			From: cluster.MustParseVersion("v1.34.4"), To: cluster.MustParseVersion("v1.33.13"), Etcd: cluster.MustParseVersion("3.5.33"),
			Stages: []plan.Stage{{Name: plan.WorkloadStage, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{
				{ID: "1.33/workloads/reopen", Kind: plan.KindReopen, Title: "reopen", WayBack: plan.WayBackNothing},
			}}}}}},
		}},
	}
	if scope == plan.ScopeNode {
		p.Rollback.Nodes = []string{"w-1"}
	}
	if err := errors.Join(plan.Seal(p), plan.Validate(p)); err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	backBegun = journal.Record{Kind: journal.StepBefore, Step: "1.33/workloads/reopen", Attempt: 1}
	backOver  = journal.Record{Kind: journal.StepAfter, Step: "1.33/workloads/reopen", Attempt: 1, Outcome: journal.Done}
)

func testSession(t *testing.T) *session {
	t.Helper()
	sys, _, _ := testSystem(strings.NewReader(""))
	return &session{sys: sys, global: &global{}, inv: inventory.Default()}
}

func mustLoad(t *testing.T, dir string) *runRecord {
	t.Helper()
	r, err := loadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A rollback that was killed before it wrote down its end is gone on with: asked again
// for the least costly way, kup would take the next, larger one.
func TestUnfinishedRollback(t *testing.T) {
	ended := func(o journal.Outcome) journal.Record { return journal.Record{Kind: journal.RunEnded, Outcome: o} }
	for name, tt := range map[string]struct {
		records []journal.Record
		want    bool
	}{
		"begun":               {[]journal.Record{backBegun}, true},
		"stopped":             {[]journal.Record{backBegun, ended(journal.Failed)}, true},
		"killed at its end":   {[]journal.Record{backBegun, backOver}, true},
		"killed when gone on": {[]journal.Record{backBegun, backOver, ended(journal.Done), {Kind: journal.RunResumed}}, true},
		"over":                {[]journal.Record{backBegun, backOver, ended(journal.Done)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			r := mustLoad(t, testRun(t, backPlan(t, runA, plan.ScopeNode), backRun, tt.records...))
			if got := r.unfinished(); got != tt.want {
				t.Errorf("unfinished: %t, want %t", got, tt.want)
			}
		})
	}
}

// The journal of the run that is taken back is told once, here and on every control
// plane, also when this machine had no copy of it.
func TestReopen(t *testing.T) {
	for name, tt := range map[string]struct {
		steps []string
		kind  journal.Kind
	}{
		"steps":     {[]string{"1.34/prepare/snapshot"}, journal.StepReopened},
		"all of it": {nil, journal.RunEnded},
	} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Setenv("XDG_STATE_HOME", t.TempDir())
				dirs, hosts := newHosts(t, 2)
				up := testRun(t, testPlan(t), runA, begun, over)
				for _, d := range dirs {
					put(t, d, up)
					d.own(t, backRun+" 7")
				}
				if elsewhere {
					if err := os.RemoveAll(up); err != nil {
						t.Fatal(err)
					}
				}
				u := undone{
					session: testSession(t), epoch: 7, by: &runRecord{id: backRun, plan: backPlan(t, runA, plan.ScopeNode)},
					peers: func() ([]remote.Host, error) { return hosts, nil }, note: func(string) {},
				}
				if done, err := u.Reopened(t.Context(), runA); done || err != nil {
					t.Errorf("told before: %t, %v", done, err)
				}
				for range 2 { // a crash in between is no harm
					if err := u.Reopen(t.Context(), runA, tt.steps); err != nil {
						t.Fatal(err)
					}
				}
				if done, err := u.Reopened(t.Context(), runA); !done || err != nil {
					t.Errorf("told: %t, %v", done, err)
				}
				r := mustLoad(t, up)
				last := r.records[len(r.records)-1]
				if len(r.records) != 4 || last.Kind != tt.kind || last.Run != backRun || !slices.Equal(last.Steps, tt.steps) {
					t.Errorf("%d records, the last is %+v", len(r.records), last)
				}
				want, err := os.ReadFile(filepath.Join(up, journal.File))
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range dirs {
					got, err := os.ReadFile(filepath.Join(d.root, "var/lib/kup", runA, journal.File))
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s has another copy: %v", d, err)
					}
				}
			})
		}
	}
}

// What goes on after a rollback, and what does not.
func TestAfterARollback(t *testing.T) {
	reopened := journal.Record{Kind: journal.StepReopened, Run: backRun, Steps: []string{"1.34/prepare/snapshot"}}
	whole := journal.Record{Kind: journal.RunEnded, Run: backRun, Outcome: journal.RolledBack}
	for name, tt := range map[string]struct {
		up, back       []journal.Record
		resume, undone string // parts of what is said; empty: the run goes on
		hint           string
	}{
		"not begun":        {[]journal.Record{begun, over}, nil, "", "", ""},
		"unfinished":       {[]journal.Record{begun, over}, []journal.Record{backBegun}, "is unfinished", "", "kup rollback"},
		"of a node":        {[]journal.Record{begun, over, reopened}, []journal.Record{backBegun, backOver}, "", "", ""},
		"of the whole hop": {[]journal.Record{begun, over, whole}, []journal.Record{backBegun, backOver}, "was rolled back as a whole", "was rolled back as a whole", "kup plan"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			testRun(t, testPlan(t), runA, tt.up...)
			last := mustLoad(t, testRun(t, backPlan(t, runA, plan.ScopeNode), backRun, append(tt.back, journal.Record{Kind: journal.RunResumed, Epoch: 9})...))
			s := testSession(t)
			r, err := s.resumable(t.Context(), last)
			wants(t, "resume", err, tt.resume, tt.hint)
			if err == nil && (r.id != runA || r.above != 9) {
				t.Errorf("goes on with %s above epoch %d", r.id, r.above)
			}
			_, err = s.undoable(t.Context(), last)
			wants(t, "rollback", err, tt.undone, tt.hint)
		})
	}
}

func wants(t *testing.T, what string, err error, said, hint string) {
	t.Helper()
	if said == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	code, got := classify(err)
	if err == nil || code != exitUsage || !strings.Contains(err.Error(), said) || !strings.Contains(got, hint) {
		t.Errorf("%s: %v, exit code %d, hint %q", what, err, code, got)
	}
}

func TestRollbackFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		o    rollbackOptions
		want string // what is said; empty: it is fine
	}{
		"as they come":         {rollbackOptions{}, ""},
		"a scope":              {rollbackOptions{scope: "data"}, ""},
		"no scope of ours":     {rollbackOptions{scope: "all"}, "want auto, node, hop or data"},
		"a node":               {rollbackOptions{nodes: []string{"w-1"}}, ""},
		"a node and its scope": {rollbackOptions{scope: "node", nodes: []string{"w-1"}}, ""},
		"a node of a hop":      {rollbackOptions{scope: "hop", nodes: []string{"w-1"}}, "--node is of scope node"},
		"an output":            {rollbackOptions{output: "yaml"}, "want text or json"},
	} {
		if tt.o.scope == "" {
			tt.o.scope = scopeAuto
		}
		if tt.o.output == "" {
			tt.o.output = "text"
		}
		err := tt.o.check()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if len(tt.o.nodes) > 0 && tt.want == "" && tt.o.scope != "node" {
			t.Errorf("%s: scope %s", name, tt.o.scope)
		}
	}
}

// --yes accepts neither losses nor notices that ask for consent.
func TestWhatARollbackAsksFor(t *testing.T) {
	lossy := backPlan(t, runA, plan.ScopeHop)
	lossy.Rollback.Losses = []plan.Loss{{Kind: plan.LossCreated, Resource: "ConfigMap", Name: "a"}}
	loud := backPlan(t, runA, plan.ScopeHop)
	loud.Notices = []plan.Notice{{Consent: true, Text: "the API is down"}}
	for name, tt := range map[string]struct {
		p       *plan.Plan
		o       rollbackOptions
		code    int
		unasked bool // apply may do it by itself
	}{
		"nothing":               {backPlan(t, runA, plan.ScopeHop), rollbackOptions{yes: true}, exitDone, true},
		"losses":                {lossy, rollbackOptions{yes: true, notices: true}, exitUsage, false},
		"losses, accepted":      {lossy, rollbackOptions{yes: true, losses: true}, exitDone, false},
		"accepted, but not yes": {lossy, rollbackOptions{losses: true}, exitUsage, false},
		"consent":               {loud, rollbackOptions{yes: true, losses: true}, exitUsage, false},
	} {
		sys, _, _ := testSystem(strings.NewReader(""))
		err := agreeBack(t.Context(), sys, tt.p, &tt.o)
		code := exitDone
		if err != nil {
			code, _ = classify(err)
		}
		if code != tt.code {
			t.Errorf("%s: %v, exit code %d, want %d", name, err, code, tt.code)
		}
		if unasked := harmless(tt.p) == nil; unasked != tt.unasked {
			t.Errorf("%s: done unasked: %t", name, unasked)
		}
	}
}

// apply takes back by itself only what a node's backup undoes, and on every node that failed.
func TestFailedNodes(t *testing.T) {
	of := func(node, id string, w plan.WayBack) plan.Step {
		return plan.Step{ID: node + "/" + id, Node: node, WayBack: w}
	}
	var lanes []plan.Lane
	for _, node := range []string{"w-1", "w-2", "w-3"} {
		lanes = append(lanes, plan.Lane{of(node, "cordon", plan.WayBackNothing), of(node, "package", plan.WayBackNode), of(node, "ready", plan.WayBackNothing)})
	}
	r := &runRecord{plan: &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: lanes}}}}}}}}
	for _, tt := range []struct{ begun, failed, want string }{
		{"w-1/cordon", "w-1/cordon", ""},
		{"w-1/cordon w-1/package", "w-1/package", "w-1"},
		{"w-1/cordon w-1/package w-1/ready", "w-1/ready", "w-1"},
		{"w-1/cordon", "w-1/package", ""}, // a gate before it failed
		{"w-1/cordon w-2/package", "w-1/cordon", ""},
		{"", "elsewhere", ""},
		{"w-1/package w-2/package w-3/package", "w-3/package w-1/package", "w-1 w-3"}, // w-2 stopped at a boundary
		{"w-1/cordon w-2/package", "w-1/cordon w-2/package", "w-2"},
	} {
		r.state = journal.State{Steps: map[string]journal.StepState{}}
		for _, id := range strings.Fields(tt.begun) {
			r.state.Steps[id] = journal.StepState{Attempt: 1, Outcome: journal.Done}
		}
		var err error
		for _, id := range strings.Fields(tt.failed) {
			err = errors.Join(err, &engine.StepError{Step: id, Err: errors.New("no")})
		}
		err = &begunError{err: fmt.Errorf("%w; and more", err)}
		if got := strings.Join(failedNodes(r, engine.Failed(err)), " "); got != tt.want {
			t.Errorf("begun %s, %s failed: %q, want %q", tt.begun, tt.failed, got, tt.want)
		}
	}
}

func TestStandingOfARollback(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	r := mustLoad(t, testRun(t, backPlan(t, runA, plan.ScopeNode), backRun, backBegun, backOver, journal.Record{Kind: journal.RunEnded, Outcome: journal.Done}))
	var out bytes.Buffer
	if err := r.stand().write(&out, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rolled-back", "takes back run " + runA + ", scope node", "then: kup apply --resume goes on with run " + runA} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("status lacks %q:\n%s", want, &out)
		}
	}
	if p := r.past(); p.Undoes != runA || p.Scope != "node" || p.Outcome != "rolled-back" {
		t.Errorf("%+v", p)
	}
	out.Reset()
	if err := writeHistory(&out, []pastRun{r.past()}); err != nil || !strings.Contains(out.String(), runA+" (node)") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// The planner names the artefacts of steps by itself: it does not know package step.
func TestArtefactsAreNamedAlike(t *testing.T) {
	if planner.ArtefactBackup != step.ArtefactBackup || planner.ArtefactCordoned != step.ArtefactCordoned || planner.ArtefactObjects != step.ArtefactObjects || planner.ArtefactSchema != step.ArtefactSchema {
		t.Error("a rollback looks for backups under another name than steps record them")
	}
}

// Without the API there is no lock to take a node back under: that way is closed before
// anything is begun.
func TestNoNodeGoesBackWithoutTheAPI(t *testing.T) {
	e := &planner.Evidence{Refused: map[plan.Scope]string{}}
	if err := lookAtNodes(t.Context(), testSession(t), &runRecord{id: "r", plan: &plan.Plan{}}, e); err != nil {
		t.Fatal(err)
	}
	if why := e.Refused[plan.ScopeNode]; !strings.Contains(why, "the API does not answer") {
		t.Errorf("why %q", why)
	}
}
