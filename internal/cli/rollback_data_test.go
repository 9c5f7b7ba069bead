package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/internal/stored"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// awayPlan is the least that takes the API away and brings it back.
func awayPlan() *plan.Plan {
	wave := func(steps ...plan.Step) plan.Wave { return plan.Wave{Parallel: 1, Lanes: []plan.Lane{steps}} }
	return &plan.Plan{
		Rollback: &plan.Rollback{Run: "r", Scope: plan.ScopeData},
		Hops: []plan.Hop{{Stages: []plan.Stage{
			{Name: plan.Prepare, Waves: []plan.Wave{wave(plan.Step{ID: "fetch"})}},
			{Name: plan.Standstill, Waves: []plan.Wave{wave(plan.Step{ID: "stop", Mutates: true}), wave(plan.Step{ID: "proof"})}},
			{Name: plan.Restore, Waves: []plan.Wave{wave(plan.Step{ID: "member", Mutates: true})}},
			{Name: plan.Start, Waves: []plan.Wave{
				wave(plan.Step{ID: "kubelet", Mutates: true}),
				wave(plan.Step{ID: "server", Mutates: true, After: []plan.GateID{"apiservers-ready"}}),
				wave(plan.Step{ID: "controllers", Mutates: true, After: []plan.GateID{"apiservers-ready"}}),
			}},
			{Name: plan.WorkloadStage, Waves: []plan.Wave{wave(plan.Step{ID: "compare"})}},
		}}},
	}
}

func TestPhases(t *testing.T) {
	want := map[string]phase{
		"fetch": phaseBefore, "stop": phaseAway, "proof": phaseAway, "member": phaseAway, "kubelet": phaseAway, "server": phaseAway,
		"controllers": phaseBack, "compare": phaseBack,
	}
	got := phasesOf(awayPlan())
	for id, p := range want {
		if got[id] != p {
			t.Errorf("%s: %d, want %d", id, got[id], p)
		}
	}
	among := func(ids ...string) func(string) bool {
		return func(id string) bool {
			for _, i := range ids {
				if i == id {
					return true
				}
			}
			return false
		}
	}
	for _, tt := range []struct {
		done, begun []string
		want        phase
	}{
		{nil, nil, phaseBefore},
		{[]string{"fetch"}, nil, phaseBefore},
		{[]string{"fetch"}, []string{"stop"}, phaseAway},
		{[]string{"fetch", "stop", "proof", "member", "kubelet"}, []string{"server"}, phaseAway},
		{[]string{"fetch", "stop", "proof", "member", "kubelet", "server"}, nil, phaseBack},
	} {
		if got := phaseAt(awayPlan(), among(tt.done...), among(tt.begun...)); got != tt.want {
			t.Errorf("done %v, begun %v: %d, want %d", tt.done, tt.begun, got, tt.want)
		}
	}
}

// An encrypted snapshot is not taken for a damaged one: the operator is told what to do.
func TestAnEncryptedSnapshotAsksForAnIdentity(t *testing.T) {
	p := &plan.Plan{Hops: []plan.Hop{{To: cluster.MustParseVersion("v1.34.4"), Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{{ID: "a", Mutates: true}}}}}}}}}}
	u := &runRecord{id: "r", plan: p, state: journal.State{
		Steps:     map[string]journal.StepState{"a": {Attempt: 1}},
		Artefacts: []journal.Artefact{{Name: step.ArtefactSnapshot, Hop: "1.34", Path: "/state/r/etcd-1.34.db.age"}},
	}}
	e := &planner.Evidence{Refused: map[plan.Scope]string{}}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	p.Facts.Identity.UID = testUID
	s := testSession(t)
	if err := lookAtData(t.Context(), s, u, e); err != nil {
		t.Fatal(err)
	}
	if why := e.Refused[plan.ScopeData]; !strings.Contains(why, "is encrypted") || !strings.Contains(why, "--identity FILE") || !s.sealed {
		t.Errorf("why %q", why)
	}
}

// While the API is away nothing is asked, and nothing is taken for lost.
func TestAwayHoldAsksNobody(t *testing.T) {
	h := &awayHold{epoch: 7, phases: phasesOf(awayPlan()), changed: make(chan struct{})}
	if err := h.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.SetStep(t.Context(), "member"); err != nil || h.Epoch() != 7 {
		t.Errorf("%v, epoch %d", err, h.Epoch())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDriftIsNotLookedForWhileTheAPIIsAway(t *testing.T) {
	asked := 0
	d := awayDrift{drift: driftFunc(func() error { asked++; return nil }), answers: true, begun: func(string) bool { return false }}
	none := func(string) bool { return false }
	if err := d.Check(t.Context(), awayPlan(), none); err != nil || asked != 1 {
		t.Errorf("before: %v, asked %d times", err, asked)
	}
	d.begun = func(id string) bool { return id == "stop" }
	if err := d.Check(t.Context(), awayPlan(), none); err != nil || asked != 1 {
		t.Errorf("away: %v, asked %d times", err, asked)
	}
	d.begun, d.answers = none, false
	if err := d.Check(t.Context(), awayPlan(), none); err != nil || asked != 1 {
		t.Errorf("dead: %v, asked %d times", err, asked)
	}
}

type driftFunc func() error

func (f driftFunc) Check(context.Context, *plan.Plan, func(string) bool) error { return f() }

func TestLossesOfADifference(t *testing.T) {
	got := lossesOf(stored.Difference{
		Objects:   []stored.Differs{{Change: stored.Created, Resource: "ConfigMap", Namespace: "shop", Name: "a"}},
		Pods:      []stored.Differs{{Change: stored.Moves, Resource: "Pod", Namespace: "shop", Name: "set-0", Node: "w-1", Detail: "from w-2"}},
		Volumes:   []stored.Differs{{Change: stored.Released, Resource: "PersistentVolumeClaim", Namespace: "shop", Name: "data"}},
		Rewritten: map[string]stored.Tally{"Event": {Created: 3}},
	})
	want := []plan.LossKind{plan.LossCreated, plan.LossPodMoves, plan.LossReleased, plan.LossChanged}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, k := range want {
		if got[i].Kind != k || got[i].Name == "" {
			t.Errorf("%d: %+v, want %s", i, got[i], k)
		}
	}
	if got[1].Node != "w-1" || got[1].Detail != "from w-2" {
		t.Errorf("%+v", got[1])
	}
}
