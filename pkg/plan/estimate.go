package plan

import "time"

// Estimate is how long the lane's steps take one after the other.
func (l Lane) Estimate() time.Duration {
	var sum time.Duration
	for i := range l {
		sum += l[i].Estimate
	}
	return sum
}

// Estimate is how long the wave takes with its lanes started in order, Parallel
// at once.
func (w *Wave) Estimate() time.Duration {
	free := make([]time.Duration, max(1, min(w.Parallel, len(w.Lanes)))) // when each place is free again
	for _, lane := range w.Lanes {
		next := 0
		for i := range free {
			if free[i] < free[next] {
				next = i
			}
		}
		free[next] += lane.Estimate()
	}
	var end time.Duration
	for _, t := range free {
		end = max(end, t)
	}
	return end
}

// Estimate is how long the stage takes; waves follow each other.
func (s *Stage) Estimate() time.Duration {
	var sum time.Duration
	for i := range s.Waves {
		sum += s.Waves[i].Estimate()
	}
	return sum
}

// Estimate is how long the hop takes.
func (h *Hop) Estimate() time.Duration {
	var sum time.Duration
	for i := range h.Stages {
		sum += h.Stages[i].Estimate()
	}
	return sum
}

// Estimate is how long the plan takes.
func (p *Plan) Estimate() time.Duration {
	var sum time.Duration
	for i := range p.Hops {
		sum += p.Hops[i].Estimate()
	}
	return sum
}
