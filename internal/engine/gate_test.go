package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// slow is a gate whose every check takes its time.
type slow struct {
	gate
	takes time.Duration
}

func (g *slow) Check(ctx context.Context) plan.Verdict {
	select {
	case <-time.After(g.takes):
	case <-ctx.Done():
		return plan.Verdict{State: plan.CannotTell, Reason: ctx.Err().Error()}
	}
	return g.gate.Check(ctx)
}

type oneGate struct{ only Gate }

func (g oneGate) Gate(plan.GateID) (Gate, error) { return g.only, nil }

func guarded(g Gate) (*world, *Engine, *plan.Plan) {
	w := newWorld()
	e := w.engine()
	e.Gates = oneGate{g}
	p := onePlan(1)
	p.Hops[0].Stages[0].Waves[0].Lanes[0][0].Before = []plan.GateID{"g"}
	return w, e, p
}

// An answer that took longer to come than the gate must hold is one answer, and
// proves nothing about a time.
func TestOneSlowAnswerDoesNotSustain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &slow{gate{answers: []plan.State{plan.Holds, plan.NotYet, plan.Holds}, policy: plan.GatePolicy{Sustain: 10 * time.Second, Every: 2 * time.Second, Timeout: time.Hour}}, 12 * time.Second}
		_, e, p := guarded(g)
		if err := e.Run(t.Context(), p, fresh(), nil); err != nil || g.asked < 4 {
			t.Errorf("passed after %d answers: %v", g.asked, err)
		}
	})
}

// What a gate said last is why it failed, and not that its last question was cut
// off by the end of its time.
func TestGateKeepsItsReasonAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &slow{gate{answers: []plan.State{plan.NotYet}, policy: plan.GatePolicy{Sustain: 10 * time.Second, Every: 2 * time.Second, Timeout: 15 * time.Second}}, 10 * time.Second}
		w, e, p := guarded(g)
		err := e.Run(t.Context(), p, fresh(), nil)
		var closed *GateError
		if !errors.As(err, &closed) || closed.Last.Reason != "because" {
			t.Errorf("%v", err)
		}
		for _, ev := range w.events {
			if ev.Kind == GateWaiting && strings.Contains(ev.Text, "deadline") {
				t.Errorf("told %q", ev.Text)
			}
		}
	})
}

// A gate that does not exist ends the step with nothing left running behind it.
func TestUnknownGateLeavesNoPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gates["g"] = &gate{answers: []plan.State{plan.NotYet}, policy: plan.GatePolicy{Sustain: 10 * time.Second, Every: time.Second, Timeout: time.Hour}}
		p := onePlan(1)
		p.Hops[0].Stages[0].Waves[0].Lanes[0][0].After = []plan.GateID{"g", "no such gate"}
		if err := w.engine().Run(t.Context(), p, fresh(), nil); err == nil || !strings.Contains(err.Error(), "no such gate") {
			t.Errorf("%v", err)
		}
		asked := w.gates["g"].asked
		time.Sleep(time.Minute)
		if w.gates["g"].asked != asked {
			t.Error("the other gate is still being asked")
		}
	})
}
