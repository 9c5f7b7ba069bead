package sshd

import (
	"slices"
	"sync"
	"time"
)

// When is a moment in the life of a command.
type When int

// The moments at which a connection can be cut.
const (
	// Before the command starts: it has no effect.
	Before When = iota
	// During the command, once its input has arrived whole: it goes on by itself.
	During
	// After the command, before its reply: the effect is had, nobody is told.
	After
)

// faults is what is wrong with a server's network. The zero value is a good one.
type faults struct {
	mu     sync.Mutex
	refuse bool
	hung   chan struct{} // nil: the server answers; closed when it does again
	delay  time.Duration
	cuts   []*cut
}

// cut is a connection to be cut, once.
type cut struct {
	match func(line string) bool
	when  When
	done  chan struct{}
}

// CutNow cuts every connection. Commands go on.
func (s *Server) CutNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// CutOn cuts the connection of the next command whose line matches, once. The line
// is what the client sent, quoted for a shell. The channel is closed once the
// connection is cut.
func (s *Server) CutOn(match func(line string) bool, when When) <-chan struct{} {
	c := &cut{match: match, when: when, done: make(chan struct{})}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.cuts = append(s.faults.cuts, c)
	return c.done
}

// Delay makes everything that arrives at the server arrive later, by d for each
// piece.
func (s *Server) Delay(d time.Duration) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.delay = d
}

// Hang makes the network swallow everything until Restore: neither commands nor
// keepalives are answered, new connections get no further than TCP.
func (s *Server) Hang() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.hung == nil {
		s.faults.hung = make(chan struct{})
	}
}

// Refuse resets new connections until Restore. The port stays taken, so that no
// other program can have it meanwhile.
func (s *Server) Refuse() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.refuse = true
}

// Restore ends every fault; what hung arrives now, cuts to come are off.
func (s *Server) Restore() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.refuse, s.faults.delay, s.faults.cuts = false, 0, nil
	if s.faults.hung != nil {
		close(s.faults.hung)
		s.faults.hung = nil
	}
}

func (f *faults) refuses() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refuse
}

// hold keeps a piece back for as long as the faults say; false: the connection
// was closed meanwhile.
func (f *faults) hold(over <-chan struct{}, arriving bool) bool {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if arriving && delay > 0 {
		late := time.NewTimer(delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-over:
			return false
		}
	}
	for {
		f.mu.Lock()
		hung := f.hung
		f.mu.Unlock()
		if hung == nil {
			return true
		}
		select {
		case <-hung:
		case <-over:
			return false
		}
	}
}

// take gives the cut that this line is to suffer, or nil.
func (f *faults) take(line string) *cut {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.cuts {
		if c.match(line) {
			f.cuts = slices.Delete(f.cuts, i, i+1)
			return c
		}
	}
	return nil
}

// at cuts the connection when this is the moment.
func (c *cut) at(when When, victim *conn) bool {
	if c == nil || c.when != when {
		return false
	}
	_ = victim.Close()
	close(c.done)
	return true
}
