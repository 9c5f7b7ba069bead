package report

import (
	"slices"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/engine"
)

// Spent accounts for a run's wall time. Intervals overlap (a gate is polled
// while another is sustained, lanes run side by side), so each moment is counted
// once, for the first of these that was going on: a remote command, an eviction
// or a gate not yet holding, a gate being sustained. What is left is kup's own.
type Spent struct {
	mu    sync.Mutex
	began time.Time
	ended time.Time
	by    map[string][]interval
}

type interval struct{ from, to time.Time }

// Split is where the wall time of a run went.
type Split struct {
	Wall    time.Duration `json:"-"`
	Remote  time.Duration `json:"-"`
	Wait    time.Duration `json:"-"`
	Sustain time.Duration `json:"-"`
	Rest    time.Duration `json:"-"`
}

// Event implements engine.Observer.
func (s *Spent) Event(e engine.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case engine.RunStarted:
		s.began, s.by = e.At, map[string][]interval{}
	case engine.RunEnded:
		s.ended = e.At
	case engine.TimeSpent:
		if s.by != nil {
			s.by[e.Text] = append(s.by[e.Text], interval{e.From, e.To})
		}
	default:
	}
}

// Split gives the account so far.
func (s *Spent) Split() Split {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.ended
	if end.IsZero() {
		end = time.Now()
	}
	remote := union(s.by[engine.SpentRemote])
	wait := union(slices.Concat(s.by[engine.SpentRemote], s.by[engine.SpentEviction], s.by[engine.SpentReadiness]))
	all := union(slices.Concat(s.by[engine.SpentRemote], s.by[engine.SpentEviction], s.by[engine.SpentReadiness], s.by[engine.SpentSustain]))
	wall := end.Sub(s.began)
	return Split{Wall: wall, Remote: remote, Wait: wait - remote, Sustain: all - wait, Rest: wall - all}
}

// union is the length of the time covered by at least one interval.
func union(in []interval) time.Duration {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b interval) int { return a.from.Compare(b.from) })
	var sum time.Duration
	var end time.Time
	for _, i := range in {
		if i.from.Before(end) {
			i.from = end
		}
		if i.to.After(i.from) {
			sum += i.to.Sub(i.from)
			end = i.to
		}
	}
	return sum
}
