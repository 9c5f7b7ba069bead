package vfs

import (
	"context"
	"io/fs"
	"os"
	"syscall"
)

// holders are those that hold a file's advisory lock.
type holders struct {
	exclusive bool
	count     int
	waiting   int
	freed     chan struct{} // closed when somebody lets go
}

// Lock takes the advisory lock of a file or directory, as flock(1) does: a file
// that is missing is made. It waits until it gets the lock or ctx is done. A lock
// belongs to the file, not to its name, and is no part of what a clone or a saved
// tree has. release must be called once.
func (f *FS) Lock(ctx context.Context, name string, shared bool) (release func(), err error) {
	n, err := f.lockable(name)
	if err != nil {
		return nil, err
	}
	for {
		freed, ok := f.take(n, shared)
		if ok {
			return func() { f.letGo(n) }, nil
		}
		select {
		case <-freed:
			f.stopWaiting(n)
		case <-ctx.Done():
			f.stopWaiting(n)
			return nil, failed("flock", name, ctx.Err())
		}
	}
}

// TryLock is Lock that does not wait: it fails with EAGAIN.
func (f *FS) TryLock(name string, shared bool) (release func(), err error) {
	n, err := f.lockable(name)
	if err != nil {
		return nil, err
	}
	if _, ok := f.take(n, shared); !ok {
		f.stopWaiting(n)
		return nil, failed("flock", name, syscall.EAGAIN)
	}
	return func() { f.letGo(n) }, nil
}

func (f *FS) lockable(name string) (*node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, err := f.existing(name, true); err == nil && p.node.mode.IsDir() {
		return p.node, nil
	}
	h, err := f.open(name, os.O_RDONLY|os.O_CREATE, fs.FileMode(0o644))
	if err != nil {
		return nil, failed("open", name, err)
	}
	return h.node, nil
}

// take takes a lock, or gives what to wait for and counts the caller as waiting.
func (f *FS) take(n *node, shared bool) (freed <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.locks[n]
	if h == nil {
		h = &holders{freed: make(chan struct{})}
		f.locks[n] = h
	}
	if h.count > 0 && (h.exclusive || !shared) {
		h.waiting++
		return h.freed, false
	}
	h.count, h.exclusive = h.count+1, !shared
	return nil, true
}

func (f *FS) stopWaiting(n *node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locks[n].waiting--
	f.tidy(n)
}

func (f *FS) letGo(n *node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.locks[n]
	if h.count--; h.count == 0 {
		close(h.freed)
		h.freed = make(chan struct{})
	}
	f.tidy(n)
}

func (f *FS) tidy(n *node) {
	if h := f.locks[n]; h.count == 0 && h.waiting == 0 {
		delete(f.locks, n)
	}
}
