package cli

import (
	"io"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/kube"
)

// Seams are where a test takes hold of kup in its own process. The zero value is
// the kup that is shipped: no flag and no environment variable reaches a seam.
type Seams struct {
	// Pace scales the times that kup itself chooses (how long gates are sustained,
	// how often it asks, how long its lease lasts, what an estimate is worth) for
	// clusters whose clocks run faster. 0 and 1: as they are.
	Pace float64
	// Journal wraps the journal of the run in dir; nil: nothing does.
	Journal func(dir string, next engine.Journal) engine.Journal
	// The streams; nil: the process's own.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// pace scales a duration.
func (s Seams) pace(d time.Duration) time.Duration {
	if s.Pace <= 0 {
		return d
	}
	return time.Duration(float64(d) * s.Pace)
}

// shortestLease is the shortest that the API's whole seconds, and renewing three
// times in it, allow.
const shortestLease = 3 * time.Second

// lease is how long the lock lasts without a sign of life.
func (s Seams) lease() time.Duration {
	return min(leaseDuration, max(s.pace(leaseDuration), shortestLease))
}

// leastConnecting lets a load balancer find out which of its API servers is there.
const leastConnecting = 300 * time.Millisecond

// connecting is how long an API that is away is asked to answer for the first time.
func (s Seams) connecting() time.Duration {
	return min(kube.ForConnect, max(s.pace(kube.ForConnect), leastConnecting))
}

func (s Seams) wrap(dir string, j engine.Journal) engine.Journal {
	if s.Journal == nil {
		return j
	}
	return s.Journal(dir, j)
}
