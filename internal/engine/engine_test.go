package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// world is a cluster of one fact per step: whether its effect is there. It
// stands behind every interface the engine declares.
type world struct {
	mu      sync.Mutex
	effects map[string]int // how often the effect was had
	records []journal.Record
	events  []Event
	active  int
	highest int

	run    func(s plan.Step) error // after the effect
	append func(journal.Record) error
	fence  error
	drift  func(done func(string) bool) error
	gates  map[plan.GateID]*gate
}

func newWorld() *world {
	return &world{effects: map[string]int{}, gates: map[plan.GateID]*gate{}}
}

func (w *world) engine() *Engine {
	return &Engine{Runners: map[plan.Kind]Runner{"work": w}, Gates: w, Journal: w, Fence: fence{w}, Drift: drift{w}, Observer: w}
}

func (w *world) Done(_ context.Context, s plan.Step) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[s.ID] > 0, nil
}

func (w *world) Run(_ context.Context, s plan.Step, x plan.Execution) error {
	w.mu.Lock()
	w.active++
	w.highest = max(w.highest, w.active)
	w.effects[s.ID]++
	w.mu.Unlock()
	time.Sleep(time.Second) // synthetic time: lets lanes overlap
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active--
	if w.run != nil {
		return w.run(s)
	}
	return nil
}

func (w *world) Append(r journal.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.append != nil {
		if err := w.append(r); err != nil {
			return err
		}
	}
	w.records = append(w.records, r)
	return nil
}

func (w *world) Event(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) Gate(id plan.GateID) (Gate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.gates[id]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("no gate %q", id)
}

type fence struct{ *world }

func (f fence) Assert(context.Context, string) error { return f.fence }

type drift struct{ *world }

func (d drift) Check(_ context.Context, _ *plan.Plan, done func(string) bool) error {
	if d.drift == nil {
		return nil
	}
	return d.drift(done)
}

// gate answers from a list, and the last answer for ever.
type gate struct {
	answers []plan.State
	policy  plan.GatePolicy
	asked   int
}

func (g *gate) Describe() string        { return "the thing is well" }
func (g *gate) Policy() plan.GatePolicy { return g.policy }
func (g *gate) Check(context.Context) plan.Verdict {
	i := min(g.asked, len(g.answers)-1)
	g.asked++
	return plan.Verdict{State: g.answers[i], Reason: "because"}
}

func step(id string) plan.Step {
	return plan.Step{ID: id, Kind: "work", Title: "work on " + id, Mutates: true}
}

func onePlan(parallel int, lanes ...plan.Lane) *plan.Plan {
	return &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{
		{Name: plan.Prepare, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{step("first")}}}}},
		{Name: plan.Workers, Waves: []plan.Wave{{Parallel: parallel, Lanes: lanes}}},
		{Name: plan.Addons, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{step("last")}}}}},
	}}}}
}

func fresh() journal.State { return journal.State{Run: "r", Steps: map[string]journal.StepState{}} }

func TestOrderAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := onePlan(2, plan.Lane{step("a1"), step("a2")}, plan.Lane{step("b1"), step("b2")}, plan.Lane{step("c1")}, plan.Lane{step("d1")})
		if err := w.engine().Run(t.Context(), p, fresh(), nil); err != nil {
			t.Fatal(err)
		}
		if w.highest != 2 {
			t.Errorf("%d steps at once, want 2", w.highest)
		}
		var ended []string
		for _, r := range w.records {
			if r.Kind == journal.StepAfter {
				ended = append(ended, r.Step)
			}
		}
		if len(ended) != 8 || ended[0] != "first" || ended[7] != "last" || slices.Index(ended, "a1") > slices.Index(ended, "a2") {
			t.Errorf("ended in order %v", ended)
		}
	})
}

// The journal is the memory of a run: whatever record the process dies at,
// before or after it is on disk, a resumed run must have every effect at least
// once, and no step whose end was recorded may run again.
func TestCrashAtEveryRecord(t *testing.T) {
	p := onePlan(1, plan.Lane{step("a"), step("b")}, plan.Lane{step("c")})
	crash := errors.New("power cut")
	for n := 0; n < 12; n++ {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("record %d written %v", n, written), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					count := 0
					w.append = func(r journal.Record) error {
						count++
						if count <= n {
							return nil
						}
						if written && count == n+1 {
							w.records = append(w.records, r)
						}
						return crash
					}
					_ = w.engine().Run(t.Context(), p, fresh(), nil)
					over := map[string]bool{}
					state := journal.Replay(w.records)
					for id, st := range state.Steps {
						over[id] = st.Outcome == journal.Done
					}
					before := map[string]int{}
					for id, times := range w.effects {
						before[id] = times
					}
					w.append = nil
					state.Run = "r"
					if err := w.engine().Run(t.Context(), p, state, nil); err != nil {
						t.Fatal(err)
					}
					for _, id := range []string{"first", "a", "b", "c", "last"} {
						if w.effects[id] == 0 {
							t.Errorf("step %s never had its effect", id)
						}
						if over[id] && w.effects[id] != before[id] {
							t.Errorf("step %s ran again although its end was recorded", id)
						}
						if w.effects[id] > 1 {
							t.Errorf("step %s had its effect %d times", id, w.effects[id])
						}
					}
				})
			})
		}
	}
}

func TestFailureLetsOtherLanesReachTheirBoundary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		boom := errors.New("boom")
		w.run = func(s plan.Step) error {
			if s.ID == "a1" {
				return boom
			}
			return nil
		}
		p := onePlan(2, plan.Lane{step("a1"), step("a2")}, plan.Lane{step("b1"), step("b2")}, plan.Lane{step("c1")})
		err := w.engine().Run(t.Context(), p, fresh(), nil)
		var se *StepError
		if !errors.As(err, &se) || se.Step != "a1" || !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		state := journal.Replay(w.records)
		if !state.Done("b1") {
			t.Error("the step that was under way in the other lane was not finished")
		}
		for _, id := range []string{"a2", "c1", "last"} {
			if w.effects[id] > 0 {
				t.Errorf("step %s ran after the failure", id)
			}
		}
		if state.Steps["a1"].Outcome != journal.Failed || state.Ended.Outcome != journal.Failed {
			t.Errorf("journal: %+v", state)
		}
		w.run = nil
		if w.effects["a1"] = 0; w.engine().Run(t.Context(), p, withRun(state), nil) != nil {
			t.Fatal("resume failed")
		}
		if s := journal.Replay(w.records).Steps["a1"]; s.Attempt != 2 || s.Outcome != journal.Done {
			t.Errorf("second attempt: %+v", s)
		}
	})
}

// Lanes that fail side by side are all told of; one that stopped at a boundary is not.
func TestFailedTellsOfEveryLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.run = func(s plan.Step) error {
			if s.ID == "a1" || s.ID == "b1" {
				return fmt.Errorf("%s: %w", s.ID, errors.New("is broken"))
			}
			return nil
		}
		p := onePlan(3, plan.Lane{step("a1"), step("a2")}, plan.Lane{step("b1")}, plan.Lane{step("c1"), step("c2"), step("c3")})
		var failed []string
		for _, f := range Failed(fmt.Errorf("run: %w", w.engine().Run(t.Context(), p, fresh(), nil))) {
			failed = append(failed, f.Step)
		}
		if !slices.Equal(failed, []string{"a1", "b1"}) || w.effects["c1"] == 0 {
			t.Errorf("failed %v", failed)
		}
	})
}

func withRun(s journal.State) journal.State { s.Run = "r"; return s }

func TestStopEndsAtTheStepBoundary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		stop := make(chan struct{})
		w.run = func(s plan.Step) error {
			if s.ID == "a" {
				close(stop)
			}
			return nil
		}
		p := onePlan(1, plan.Lane{step("a"), step("b")})
		if err := w.engine().Run(t.Context(), p, fresh(), stop); !errors.Is(err, ErrStopped) {
			t.Fatalf("got %v", err)
		}
		if s := journal.Replay(w.records); !s.Done("a") || s.Steps["b"].Attempt != 0 || s.Ended.Outcome != journal.Stopped {
			t.Errorf("journal: %+v", s)
		}
	})
}

func TestInterruptedStepHasNoRecordedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		w.run = func(plan.Step) error { cancel(); return context.Canceled }
		if err := w.engine().Run(ctx, onePlan(1), fresh(), nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if s := journal.Replay(w.records).Steps["first"]; !s.Begun() {
			t.Errorf("step: %+v, want begun and open", s)
		}
	})
}

func TestFenceAndDriftStopBeforeAnyEffect(t *testing.T) {
	lost := errors.New("lease lost")
	for name, set := range map[string]func(*world){
		"fence": func(w *world) { w.fence = lost },
		"drift": func(w *world) { w.drift = func(func(string) bool) error { return lost } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				set(w)
				if err := w.engine().Run(t.Context(), onePlan(1), fresh(), nil); !errors.Is(err, lost) {
					t.Fatalf("got %v", err)
				}
				if len(w.effects) > 0 {
					t.Errorf("effects: %v", w.effects)
				}
			})
		})
	}
}

func TestGates(t *testing.T) {
	const (
		yes, no, never, unsure = plan.Holds, plan.NotYet, plan.Never, plan.CannotTell
	)
	sustained := plan.GatePolicy{Sustain: 10 * time.Second, Every: 2 * time.Second, Timeout: 59 * time.Second}
	once := plan.GatePolicy{Every: time.Second, Timeout: time.Minute}
	tests := map[string]struct {
		policy  plan.GatePolicy
		answers []plan.State
		pass    bool
		asked   int
		spent   map[string]time.Duration
	}{
		"holds for its time":      {sustained, []plan.State{yes}, true, 6, map[string]time.Duration{SpentReadiness: 0, SpentSustain: 10 * time.Second}},
		"a break starts it anew":  {sustained, []plan.State{yes, yes, no, yes}, true, 9, map[string]time.Duration{SpentReadiness: 2 * time.Second, SpentSustain: 14 * time.Second}},
		"silence is a break":      {sustained, []plan.State{yes, unsure, yes}, true, 8, map[string]time.Duration{SpentReadiness: 2 * time.Second, SpentSustain: 12 * time.Second}},
		"never ends at once":      {sustained, []plan.State{no, never}, false, 2, nil},
		"time runs out":           {sustained, []plan.State{no}, false, 30, nil},
		"asked once and holds":    {once, []plan.State{yes}, true, 1, map[string]time.Duration{SpentReadiness: 0}},
		"asked once and does not": {once, []plan.State{no, yes}, false, 1, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				g := &gate{answers: tt.answers, policy: tt.policy}
				w.gates["g"] = g
				p := onePlan(1)
				p.Hops[0].Stages[0].Waves[0].Lanes[0][0].Before = []plan.GateID{"g"}
				err := w.engine().Run(t.Context(), p, fresh(), nil)
				var ge *GateError
				if (err == nil) != tt.pass || (err != nil && !errors.As(err, &ge)) {
					t.Fatalf("got %v", err)
				}
				if g.asked != tt.asked {
					t.Errorf("asked %d times, want %d", g.asked, tt.asked)
				}
				if !tt.pass && w.effects["first"] > 0 {
					t.Error("the step ran behind a closed gate")
				}
				if tt.spent != nil {
					got := map[string]time.Duration{}
					for _, e := range w.events {
						if e.Kind == TimeSpent {
							got[e.Text] += e.To.Sub(e.From)
						}
					}
					if diff := cmp.Diff(tt.spent, got); diff != "" {
						t.Error(diff)
					}
				}
			})
		})
	}
}
