package snapshot

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Place is where snapshots are kept: a directory, a bucket. It keeps files under
// plain names and knows nothing of what is in them. Making one opens nothing: what
// cannot be reached is found out by the first thing that needs it.
type Place interface {
	// String names the place for people.
	String() string
	// Put stores size bytes: whole under the name, or not at all. A file of that
	// name is replaced.
	Put(ctx context.Context, name string, content io.Reader, size int64) error
	// Open gives a file's content, fs.ErrNotExist when there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List gives all files that may be snapshots or descriptions of them. A place
	// that was never used has none.
	List(ctx context.Context) ([]File, error)
	// Remove removes a file. One that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// File is one file in a place.
type File struct {
	Name     string
	Size     int64 // bytes
	Modified time.Time
}

// patience is how long a place may go without moving a byte or giving an answer.
const patience = time.Minute

// afterCancel is how long a place that was cancelled may take to come back before it
// is left behind.
const afterCancel = time.Second

// attend does something with a place and gives up when it neither ends nor calls tick
// for the given time. A system call that hangs, on a file server that went away, ends
// for no cancellation: then the goroutine is left to it.
func attend[T any](ctx context.Context, idle time.Duration, f func(ctx context.Context, tick func()) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan answer, 1)
	alive := make(chan struct{}, 1)
	tick := func() {
		select {
		case alive <- struct{}{}:
		default:
		}
	}
	go func() {
		value, err := f(ctx, tick)
		ended <- answer{value, err}
	}()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	var why error
	for why == nil {
		select {
		case a := <-ended:
			return a.value, a.err
		case <-alive:
			timer.Reset(idle)
		case <-timer.C:
			why = fmt.Errorf("no answer for %s", idle)
		case <-ctx.Done():
			why = context.Cause(ctx)
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(afterCancel):
	}
	var none T
	return none, why
}

// attended is attend for what gives nothing but an error.
func attended(ctx context.Context, idle time.Duration, f func(ctx context.Context, tick func()) error) error {
	_, err := attend(ctx, idle, func(ctx context.Context, tick func()) (struct{}, error) { return struct{}{}, f(ctx, tick) })
	return err
}

// closable passes on what is written until it is closed: who was left behind writes
// nothing more.
type closable struct {
	mu     sync.Mutex
	closed bool
	w      io.Writer
}

func (c *closable) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	return c.w.Write(p)
}

func (c *closable) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// ticking tells of every piece that is read through it.
type ticking struct {
	r    io.Reader
	tick func()
}

func (t ticking) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.tick()
	return n, err
}
