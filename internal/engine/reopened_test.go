package engine

import (
	"testing"
	"testing/synctest"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// What a rollback took back left its traces behind, an execution that ended well among
// them: the step is not asked whether it is done, and its attempts go on.
func TestReopenedStepIsBegunAnew(t *testing.T) {
	for outcome, want := range map[journal.Outcome]int{journal.Reopened: 3, journal.Failed: 0} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.effects["a"] = 1 // its record says so
			state := journal.State{Run: "r", Steps: map[string]journal.StepState{"a": {Attempt: 2, Outcome: outcome}}}
			if err := w.engine().Run(t.Context(), onePlan(1, plan.Lane{step("a")}), state, nil); err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, r := range w.records {
				if r.Kind == journal.StepBefore && r.Step == "a" {
					got = r.Attempt
				}
			}
			if got != want || (w.effects["a"] > 1) != (want > 0) {
				t.Errorf("%s: attempt %d, want %d; the effect was had %d times", outcome, got, want, w.effects["a"])
			}
		})
	}
}
