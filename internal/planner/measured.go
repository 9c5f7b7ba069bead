package planner

import (
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// Measured is how long steps took in earlier runs on this cluster.
type Measured struct {
	// Runs is how many runs were looked at; 0: none.
	Runs int
	// Took is by [MeasureKey]: from the begin of a step, when the gates before it
	// hold, to its end, when those after it have held.
	Took map[string]time.Duration
}

// MeasureKey names what steps of the same stage and name have in common, out of a
// step's id: "workers/drain" for "1.34/workers/w-1/drain".
func MeasureKey(stepID string) string {
	parts := strings.Split(stepID, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[1] + "/" + parts[len(parts)-1]
}

// took is how long such a step took on this cluster; false: nobody knows.
func (p Policy) took(stepID string) (time.Duration, bool) {
	d, ok := p.Measured.Took[MeasureKey(stepID)]
	return d, ok
}

// measured says how far a plan's estimates were measured; nil: not at all.
func measured(p *plan.Plan, policy Policy) *plan.Measured {
	m := plan.Measured{Runs: policy.Measured.Runs}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if _, ok := policy.took(s.ID); ok {
			m.Steps++
		}
		return true
	})
	if m.Steps == 0 {
		return nil
	}
	return &m
}
