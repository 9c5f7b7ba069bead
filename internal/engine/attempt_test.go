package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// lostError is an execution that went down with its host.
type lostError struct{}

func (lostError) Error() string { return "the host was restarted" }
func (lostError) Lost() bool    { return true }

// flaky is a runner whose execution is lost a number of times.
type flaky struct {
	*world
	losses   int
	effect   bool // had before it was lost
	attempts []int
}

func (f *flaky) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	f.attempts = append(f.attempts, x.Attempt)
	if f.losses > 0 {
		f.losses--
		if f.effect {
			f.effects[s.ID]++
		}
		return fmt.Errorf("cp-1: install: %w", lostError{})
	}
	return f.world.Run(ctx, s, x)
}

// An execution that was lost to a reboot is never taken for success and never the
// end of the run: the step is asked, and taken anew.
func TestLostExecution(t *testing.T) {
	for name, tt := range map[string]struct {
		losses   int
		effect   bool
		attempts string
		ends     bool
		recorded string
	}{
		"the effect is not there": {1, false, "[1 2]", true, "begin 1, failed 1, begin 2, done 2"},
		"the effect is there":     {1, true, "[1]", true, "begin 1, failed 1, done 1"},
		"lost twice":              {2, false, "[1 2 3]", true, "begin 1, failed 1, begin 2, failed 2, begin 3, done 3"},
		"lost again and again":    {9, false, "[1 2 3]", false, "begin 1, failed 1, begin 2, failed 2, begin 3, failed 3"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				f := &flaky{world: w, losses: tt.losses, effect: tt.effect}
				e := w.engine()
				e.Runners["work"] = f
				p := &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{step("s")}}}}}}}}}
				err := e.Run(t.Context(), p, fresh(), nil)
				if (err == nil) != tt.ends || fmt.Sprint(f.attempts) != tt.attempts {
					t.Errorf("attempts %v: %v", f.attempts, err)
				}
				var said []string
				for _, r := range w.records {
					switch r.Kind {
					case journal.StepBefore:
						said = append(said, fmt.Sprintf("begin %d", r.Attempt))
					case journal.StepAfter:
						said = append(said, fmt.Sprintf("%s %d", r.Outcome, r.Attempt))
					default:
					}
				}
				if got := strings.Join(said, ", "); got != tt.recorded {
					t.Errorf("recorded %q, want %q", got, tt.recorded)
				}
				if !tt.ends && w.effects["s"] > 0 {
					t.Error("taken for success")
				}
			})
		})
	}
}

// Waiting for a gate before a step is a boundary: nothing of the step was begun.
func TestStopWhileWaitingToBegin(t *testing.T) {
	for name, policy := range map[string]plan.GatePolicy{
		"polled": {Sustain: 10 * time.Second, Every: time.Second, Timeout: time.Hour},
		"once":   {Timeout: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				stop := make(chan struct{})
				w.gates["g"] = &gate{answers: []plan.State{plan.NotYet}, policy: policy}
				p := onePlan(1)
				p.Hops[0].Stages[0].Waves[0].Lanes[0][0].Before = []plan.GateID{"g"}
				if name == "once" {
					close(stop)
				} else {
					time.AfterFunc(5*time.Second, func() { close(stop) })
				}
				began := time.Now()
				if err := w.engine().Run(t.Context(), p, fresh(), stop); !errors.Is(err, ErrStopped) || time.Since(began) > time.Minute {
					t.Fatalf("after %s: %v", time.Since(began), err)
				}
				if s := journal.Replay(w.records); s.Steps["first"].Attempt != 0 || s.Ended.Outcome != journal.Stopped {
					t.Errorf("journal: %+v", s)
				}
			})
		})
	}
}

// A journal that cannot be written ends the run before the next effect.
func TestFullDiskStopsBeforeTheNextEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		full := errors.New("no space left on device")
		w.append = func(r journal.Record) error {
			if r.Kind == journal.StepAfter && r.Step == "a" || len(w.records) > 3 {
				return full
			}
			return nil
		}
		p := onePlan(1, plan.Lane{step("a"), step("b")})
		if err := w.engine().Run(t.Context(), p, fresh(), nil); !errors.Is(err, full) {
			t.Fatalf("%v", err)
		}
		if got := w.ran(p); got != "first a" {
			t.Errorf("ran %q", got)
		}
	})
}

// Whatever byte of a real journal a crash leaves as the last, a resumed run repeats
// no step whose end is recorded, skips none, and has every effect exactly once.
func TestResumeFromEveryByte(t *testing.T) {
	p := onePlan(1, plan.Lane{step("a"), step("b")}, plan.Lane{step("c")})
	whole := t.TempDir()
	synctest.Test(t, func(t *testing.T) { runOnDisk(t, newWorld(), p, whole) })
	content, err := os.ReadFile(filepath.Join(whole, journal.File))
	if err != nil {
		t.Fatal(err)
	}
	firstLine := strings.IndexByte(string(content), '\n') + 1
	for cut := firstLine; cut <= len(content); cut += 7 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, journal.File), content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			records, err := journal.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld()
			recorded := journal.Replay(records)
			for id, st := range recorded.Steps { // the world as it was: what was begun had its effect
				if st.Attempt > 0 {
					w.effects[id] = 1
				}
			}
			runOnDisk(t, w, p, dir)
			for _, id := range []string{"first", "a", "b", "c", "last"} {
				if w.effects[id] != 1 {
					t.Errorf("cut at %d: step %s had its effect %d times", cut, id, w.effects[id])
				}
			}
			if end := journal.Replay(w.records); end.Ended == nil || end.Ended.Outcome != journal.Done {
				t.Errorf("cut at %d: ended %+v", cut, end.Ended)
			}
		})
	}
}

// runOnDisk runs the plan with a journal in dir.
func runOnDisk(t *testing.T, w *world, p *plan.Plan, dir string) {
	t.Helper()
	j, records, err := journal.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		j, err = journal.Create(dir, journal.Record{Run: "r"})
		records = []journal.Record{{Kind: journal.RunStarted, Run: "r"}}
	}
	if err != nil {
		t.Fatal(err)
	}
	w.append = j.Append
	w.records = records
	if err := errors.Join(w.engine().Run(t.Context(), p, journal.Replay(records), nil), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// attendant is a runner that knows whether an attempt was started.
type attendant struct {
	*world
	known bool
}

func (a *attendant) Known(context.Context, plan.Step, plan.Execution) (bool, error) {
	return a.known, nil
}

// A step that was announced and never started is begun by the run that goes on:
// what guards its beginning is asked then, and not taken as answered hours ago. One
// that is at work is attached to first.
func TestGatesGuardWhatWasAnnouncedOnly(t *testing.T) {
	for name, known := range map[string]bool{"never started": false, "at work": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.gates["g"] = &gate{answers: []plan.State{plan.Never}, policy: plan.GatePolicy{Sustain: 10 * time.Second, Every: time.Second, Timeout: time.Hour}}
				p := onePlan(1)
				p.Hops[0].Stages[0].Waves[0].Lanes[0][0].Before = []plan.GateID{"g"}
				e := w.engine()
				e.Runners["work"] = &attendant{world: w, known: known}
				state := fresh()
				state.Steps["first"] = journal.StepState{Attempt: 1}
				err := e.Run(t.Context(), p, state, nil)
				var closed *GateError
				if known != (err == nil) || known != (w.effects["first"] == 1) || !known && !errors.As(err, &closed) {
					t.Errorf("effects %v: %v", w.effects, err)
				}
			})
		})
	}
}
