package detached

import "time"

// Quick asks again often, so that tests see more than one answer.
func Quick() Option {
	return func(e *Executor) {
		e.hold, e.quick, e.retry = 300*time.Millisecond, 100*time.Millisecond, 10*time.Millisecond
	}
}
