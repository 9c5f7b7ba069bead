package planner

import (
	"testing"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// What was measured takes the place of what is typical, without the gates after
// the step, which the measurement has in it.
func TestMeasuredEstimates(t *testing.T) {
	c := load(t)
	targets := versions("v1.34.4")
	facts := topology{3, 2, "v1.33.13", "v3.5.26"}.facts(c)
	policy := testPolicy(targets...)
	typical, err := Build(facts, targets, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if typical.Measured != nil {
		t.Errorf("nothing was measured, and the plan says %+v", typical.Measured)
	}
	policy.Measured = Measured{Runs: 3, Took: map[string]time.Duration{"workers/drain": 7 * time.Minute, "control-plane/apply": 5 * time.Minute, "gone/step": time.Hour}}
	p, err := Build(facts, targets, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if p.Measured == nil || *p.Measured != (plan.Measured{Runs: 3, Steps: 3}) {
		t.Errorf("measured: %+v", p.Measured)
	}
	want := map[string]time.Duration{
		"1.34/workers/w-2/drain":        7 * time.Minute,
		"1.34/control-plane/cp-1/apply": 5*time.Minute + policy.GateSustain, // the gates before it
		"1.34/control-plane/cp-1/drain": c.Estimate("drain"),
	}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if d, ok := want[s.ID]; ok && s.Estimate != d {
			t.Errorf("%s takes %s, want %s", s.ID, s.Estimate, d)
		}
		delete(want, s.ID)
		return true
	})
	if len(want) > 0 {
		t.Errorf("no such steps: %v", want)
	}
	if got := MeasureKey("1.34/prepare/snapshot"); got != "prepare/snapshot" || MeasureKey("odd") != "" {
		t.Errorf("key %q", got)
	}
}
