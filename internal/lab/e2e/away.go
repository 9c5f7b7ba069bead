package e2e

import "sync"

// away keeps the names of nodes that the scenario itself took away: requests are
// not sent to them any more, and that their containers start anew is not kup's
// doing. The zero value is empty; it is safe for concurrent use.
type away struct {
	mu    sync.Mutex
	names map[string]bool
}

func (a *away) add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names = map[string]bool{}
	}
	a.names[name] = true
}

func (a *away) has(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[name]
}
