package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// chain is one upgrade, killed and resumed until it is through.
type chain struct {
	mode    Mode // empty: undisturbed
	cluster *hollow.Cluster
	options *Options
	past    string // file of what kup was killed at

	mu    sync.Mutex
	child *os.Process   // that runs now
	dead  chan struct{} // closed once it is dead
	errs  []error       // why a moment was missed
}

// outcome is what a chain came to.
type outcome struct {
	kills     int
	runs      int
	facts     *hollow.Facts
	mutations []hollow.Mutation
	requests  []hollow.Request
	records   []journal.Record
	artefacts map[string]string
}

// mostRuns bounds a chain: a run that gets nowhere would be resumed for ever.
const mostRuns = 5000

func newChain(mode Mode, c *hollow.Cluster, o *Options) *chain {
	return &chain{mode: mode, cluster: c, options: o, past: filepath.Join(c.Dir(), "killed")}
}

// run upgrades the cluster.
func (c *chain) run(ctx context.Context) (*outcome, error) {
	if c.mode == During {
		c.cluster.OnMutation(func(hollow.Mutation) { c.strike() })
		c.cluster.OnRequest(func(hollow.Request) { c.strike() })
	}
	out := &outcome{artefacts: map[string]string{}}
	args := []string{"apply", "--to", c.options.To, "--yes", "--accept-notices"}
	for out.runs < mostRuns {
		killed, err := c.once(ctx, args)
		out.runs++
		if err != nil {
			return nil, err
		}
		if err := c.keep(out.artefacts); err != nil {
			return nil, err
		}
		if !killed {
			return out, errors.Join(append(c.errs, c.settle(ctx, out))...)
		}
		out.kills++
		args = []string{"apply", "--resume", "--yes"}
	}
	return nil, fmt.Errorf("kup was resumed %d times and is not through", mostRuns)
}

// once runs kup in a process of its own and tells whether it was killed. Any end
// but being killed and exit code 0 is an error.
func (c *chain) once(ctx context.Context, args []string) (killed bool, err error) {
	argv := append([]string{
		"crash-kup", "--dir", c.cluster.Dir(), "--pace", strconv.FormatFloat(c.cluster.Pace(), 'g', -1, 64),
		"--mode", string(c.mode), "--past", c.past, "--",
	}, args...)
	cmd := exec.CommandContext(ctx, c.options.Program, argv...)
	cmd.Env = append(os.Environ(), "GOGC="+strconv.Itoa(garbagePercent))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	c.mu.Lock() // nothing strikes a process that is not known yet
	err = cmd.Start()
	c.child, c.dead = cmd.Process, make(chan struct{})
	c.mu.Unlock()
	if err != nil {
		return false, err
	}
	err = cmd.Wait()
	close(c.dead)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true, nil
	}
	return false, fmt.Errorf("kup %v: %w\n%s", args, err, said.String())
}

// strike kills kup the first time that a step begins an effect. The effect waits
// until kup is dead, and is then had.
func (c *chain) strike() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil || isClosed(c.dead) {
		return
	}
	fresh, err := c.fresh()
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	if fresh && c.child.Kill() == nil {
		<-c.dead
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fresh tells whether the step that the journal says is under way was not killed
// before, and notes that it was.
func (c *chain) fresh() (bool, error) {
	records, err := c.journal()
	if err != nil {
		return false, err
	}
	step := underWay(records)
	if step == "" {
		return false, nil // kup takes its lock, or gives it back
	}
	past, err := readPast(c.past)
	if err != nil || past[during(step)] {
		return false, err
	}
	return true, mark(c.past, during(step))
}

// settle gives the cluster the time that its controllers need, then looks at it.
func (c *chain) settle(ctx context.Context, out *outcome) (err error) {
	if err := c.cluster.Settle(ctx); err != nil {
		return err
	}
	out.mutations, out.requests = c.cluster.Mutations(), c.cluster.Requests()
	if out.records, err = c.journal(); err != nil {
		return err
	}
	out.facts, err = c.cluster.Facts()
	return err
}
