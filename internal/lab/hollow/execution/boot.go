package execution

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// BootFile is where a host says which boot it is in.
const BootFile = "/proc/sys/kernel/random/boot_id"

// errOver is the end of a machine's power.
var errOver = errors.New("the machine is off")

// Boot is the time between a machine's start and its end. What runs on the machine
// belongs to it. Its context is the lifetime itself, which is why it is kept.
type Boot struct {
	ID string

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closing bool                // nothing begins any more
	over    bool                // nothing is written any more
	alive   map[string]*running // by directory
}

// NewBoot starts a machine: its file system gets the boot's id.
func NewBoot(fs *vfs.FS, id string) (*Boot, error) {
	if err := fs.MkdirAll("/proc/sys/kernel/random", 0o555); err != nil {
		return nil, fmt.Errorf("boot %s: %w", id, err)
	}
	if err := fs.WriteFile(BootFile, []byte(id+"\n"), 0o444); err != nil {
		return nil, fmt.Errorf("boot %s: %w", id, err)
	}
	b := &Boot{ID: id, alive: map[string]*running{}}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	return b, nil
}

// Context ends with the boot.
func (b *Boot) Context() context.Context { return b.ctx }

// Bind gives a context that ends with ctx and with the boot: a session's.
func (b *Boot) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(errOver) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// End cuts the power: everything ends at once, and no execution writes a status any
// more. It does not wait, so that a command can call it; Wait does.
func (b *Boot) End() {
	b.mu.Lock()
	b.closing, b.over = true, true
	b.mu.Unlock()
	b.cancel(errOver)
}

// shutdownGrace is what executions have at a shutdown until the power goes.
const shutdownGrace = 90 * time.Second

// Shutdown ends the boot in order: executions are terminated and say so, then the
// power goes. No command of the boot may call it.
func (b *Boot) Shutdown() {
	b.mu.Lock()
	b.closing = true
	for _, r := range b.alive {
		r.end()
	}
	b.mu.Unlock()
	patience := time.AfterFunc(shutdownGrace, b.End)
	defer patience.Stop()
	b.wg.Wait()
	b.End()
	b.wg.Wait()
}

// Wait waits until what ran is gone.
func (b *Boot) Wait() { b.wg.Wait() }

// begin runs f as the one who carries out an execution, once ready has claimed it.
func (b *Boot) begin(r *running, ready func() error, f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return errOver
	}
	if err := ready(); err != nil {
		return err
	}
	b.alive[r.execution.Dir] = r
	b.wg.Go(func() {
		defer b.leave(r)
		f()
	})
	return nil
}

func (b *Boot) leave(r *running) {
	b.mu.Lock()
	delete(b.alive, r.execution.Dir)
	b.mu.Unlock()
	r.tell()
}

// while does something unless the power is cut.
func (b *Boot) while(do func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return errOver
	}
	return do()
}

// find gives who carries out the execution in a directory, or nil.
func (b *Boot) find(dir string) *running {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alive[dir]
}
