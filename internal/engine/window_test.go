package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// until is a window by the (synthetic) clock.
type until time.Time

func (u until) Fits(d time.Duration) bool { return !time.Now().Add(d).After(time.Time(u)) }

// takes is a step that takes a second; it is estimated to.
func takes(id string, estimate time.Duration) plan.Step {
	s := step(id)
	s.Estimate = estimate
	return s
}

// ran tells which steps had their effect, in the plan's order.
func (w *world) ran(p *plan.Plan) string {
	var out []string
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if w.effects[s.ID] > 0 {
			out = append(out, s.ID)
		}
		return true
	})
	return strings.Join(out, " ")
}

func TestWindow(t *testing.T) {
	lane := func(node string, estimates ...int) plan.Lane {
		var l plan.Lane
		for i, e := range estimates {
			s := takes(node+string(rune('1'+i)), time.Duration(e)*time.Second)
			l = append(l, s)
		}
		return l
	}
	for name, tt := range map[string]struct {
		lasts    time.Duration
		parallel int
		lanes    []plan.Lane
		want     string
		before   string // the step that is not begun; empty: all are
	}{
		"all of it":                  {time.Hour, 1, []plan.Lane{lane("a", 1, 1), lane("b", 1)}, "first a1 a2 b1 last", ""},
		"a step that takes too long": {10 * time.Second, 1, []plan.Lane{lane("a", 60)}, "first", "a1"},
		"no node is begun that does not fit as a whole": {10 * time.Second, 1, []plan.Lane{lane("a", 1, 1), lane("b", 1, 60), lane("c", 1)}, "first a1 a2", "b1"},
		"side by side, what was begun comes to its end": {10 * time.Second, 2, []plan.Lane{lane("a", 1, 1, 1), lane("b", 60), lane("c", 1)}, "first a1 a2 a3 c1", "b1"},
		"a node that took longer than estimated":        {2500 * time.Millisecond, 1, []plan.Lane{lane("a", 0, 1, 0)}, "first a1", "a2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				p := onePlan(tt.parallel, tt.lanes...)
				e := w.engine()
				e.Window = until(time.Now().Add(tt.lasts))
				err := e.Run(t.Context(), p, fresh(), nil)
				if got := w.ran(p); got != tt.want {
					t.Errorf("ran %q, want %q", got, tt.want)
				}
				closed := new(WindowError)
				if errors.As(err, &closed) != (tt.before != "") || closed.Step != tt.before {
					t.Fatalf("%v, want an end before %q", err, tt.before)
				}
				if s := journal.Replay(w.records); tt.before != "" && (s.Ended.Outcome != journal.Stopped || s.Ended.Error == "" || s.Steps[tt.before].Attempt != 0) {
					t.Errorf("journal: %+v", s.Ended)
				}
			})
		})
	}
}

// A node is given back to the scheduler whatever the clock says.
func TestWindowDoesNotKeepANodeCordoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		lane := plan.Lane{step("cordon"), step("uncordon")}
		lane[1].Kind, lane[1].Estimate = plan.KindUncordon, 0
		p := onePlan(1, lane)
		e := w.engine()
		e.Runners[plan.KindUncordon] = w
		e.Window = until(time.Now().Add(1500 * time.Millisecond)) // over while the node is cordoned
		err := e.Run(t.Context(), p, fresh(), nil)
		if closed := new(WindowError); !errors.As(err, &closed) || closed.Step != "last" {
			t.Errorf("%v", err)
		}
		if got := w.ran(p); got != "first cordon uncordon" {
			t.Errorf("ran %q", got)
		}
	})
}

// An API server is given back to the load balancer too, but none is taken out of it
// when there is no time left.
func TestWindowDoesNotKeepAnAPIServerOutOfTheLoadBalancer(t *testing.T) {
	for name, tt := range map[string]struct {
		lasts time.Duration
		want  string
	}{
		"over during the restart": {2500 * time.Millisecond, "first lb-drain restart lb-restore"},
		"over after the return":   {3500 * time.Millisecond, "first lb-drain restart lb-restore"},
		"there is time":           {time.Hour, "first lb-drain restart lb-restore lb-drain-2 restart-2 lb-restore-2 last"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				var lane plan.Lane
				for _, id := range []string{"lb-drain", "restart", "lb-restore", "lb-drain-2", "restart-2", "lb-restore-2"} {
					s := takes(id, 0)
					if strings.HasPrefix(id, "lb-") {
						s.Kind = plan.KindLocal
					}
					lane = append(lane, s)
				}
				lane[2].Estimate = 500 * time.Millisecond
				p := onePlan(1, lane)
				e := w.engine()
				e.Runners[plan.KindLocal] = w
				e.Window = until(time.Now().Add(tt.lasts))
				err := e.Run(t.Context(), p, fresh(), nil)
				if closed := new(WindowError); errors.As(err, &closed) == strings.HasSuffix(tt.want, "last") {
					t.Errorf("%v", err)
				}
				if got := w.ran(p); got != tt.want {
					t.Errorf("ran %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// A failure in a lane is told, not hidden behind the end of the window.
func TestWindowHidesNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		boom := errors.New("boom")
		w.run = func(s plan.Step) error {
			if s.ID == "a" {
				return boom
			}
			return nil
		}
		e := w.engine()
		e.Window = until(time.Now().Add(10 * time.Second))
		p := onePlan(2, plan.Lane{step("a")}, plan.Lane{takes("b", time.Minute)})
		if err := e.Run(t.Context(), p, fresh(), nil); !errors.Is(err, boom) {
			t.Errorf("%v", err)
		}
	})
}
