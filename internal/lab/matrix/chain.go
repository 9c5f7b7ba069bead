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
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// chain is one course of a cluster, killed and resumed until it is through.
type chain struct {
	mode    Mode // empty: undisturbed
	cluster *hollow.Cluster
	options *Options

	mu    sync.Mutex
	move  move
	child *os.Process   // that runs now
	dead  chan struct{} // closed once it is dead
	errs  []error       // why a moment was missed
}

// move is the one that is under way.
type move struct {
	Move
	mode Mode
	past string          // file of what kup was killed at
	old  map[string]bool // journals that there were before
}

// outcome is what a move came to.
type outcome struct {
	kills     int
	runs      int
	facts     *hollow.Facts
	mutations []hollow.Mutation
	requests  []hollow.Request
	records   []journal.Record
	run       string            // that the artefacts are of
	artefacts map[string]string // digests, by what they are
}

// mostRuns bounds a move: a run that gets nowhere would be resumed for ever.
const mostRuns = 5000

// What bounds a run of kup, and a cluster's way to rest: nothing may hang.
const (
	longestRun  = 12 * time.Minute // a gate gives up after ten
	longestRest = 5 * time.Minute
)

// run goes the course and gives the outcomes of the moves that are disturbed.
func (c *chain) run(ctx context.Context, course *Course) ([]*outcome, error) {
	if c.mode == During {
		c.cluster.OnMutation(func(hollow.Mutation) { c.strike() })
		c.cluster.OnRequest(func(hollow.Request) { c.strike() })
	}
	var out []*outcome
	for i, m := range course.Moves {
		if err := c.begin(i, m); err != nil {
			return nil, err
		}
		o, err := c.through(ctx)
		if err != nil {
			return nil, err
		}
		if m.Again != nil {
			out = append(out, o)
		}
	}
	return out, nil
}

// begin makes a move the one that is under way.
func (c *chain) begin(i int, m Move) error {
	old, err := c.journals()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move = move{Move: m, past: filepath.Join(c.cluster.Dir(), "killed-"+strconv.Itoa(i)), old: map[string]bool{}}
	for _, file := range old {
		c.move.old[file] = true
	}
	switch {
	case m.Until != "":
		c.move.mode = BeforeAfter
	case m.Again != nil:
		c.move.mode = c.mode
	}
	return nil
}

// through takes the move that is under way to its end.
func (c *chain) through(ctx context.Context) (*outcome, error) {
	out := &outcome{}
	mutations, requests := len(c.cluster.Mutations()), len(c.cluster.Requests())
	args := c.move.Args
	for out.runs < mostRuns {
		killed, err := c.once(ctx, args)
		out.runs++
		if err != nil {
			return nil, err
		}
		if c.move.Until != "" {
			if !killed {
				return nil, fmt.Errorf("kup %v did not come to %s", args, c.move.Until)
			}
			return out, nil
		}
		if err := c.keep(out); err != nil {
			return nil, err
		}
		if !killed {
			err := errors.Join(append(c.errs, c.settle(ctx, out))...)
			out.mutations, out.requests = c.cluster.Mutations()[mutations:], c.cluster.Requests()[requests:]
			return out, err
		}
		out.kills++
		args = c.move.Again
	}
	return nil, fmt.Errorf("kup was resumed %d times and is not through", mostRuns)
}

// once runs kup in a process of its own and tells whether it was killed. Any end
// but being killed and the move's exit code is an error.
func (c *chain) once(ctx context.Context, args []string) (killed bool, err error) {
	argv := append([]string{
		"crash-kup", "--dir", c.cluster.Dir(), "--pace", strconv.FormatFloat(c.cluster.Pace(), 'g', -1, 64),
		"--mode", string(c.move.mode), "--past", c.move.past, "--only", c.move.Until, "--",
	}, args...)
	ctx, cancel := context.WithTimeoutCause(ctx, longestRun, fmt.Errorf("kup %v has not ended after %s, beyond %s", args, longestRun, lastOf(c.move.past)))
	defer cancel()
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
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == c.move.Exit:
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("%w\n%s", context.Cause(ctx), said.String())
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true, nil
	}
	return false, fmt.Errorf("kup %v: %v, want exit code %d\n%s", args, cmd.ProcessState, c.move.Exit, said.String())
}

// strike kills kup the first time that a step begins an effect. The effect waits
// until kup is dead, and is then had.
func (c *chain) strike() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.move.mode != During || c.child == nil || isClosed(c.dead) {
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
	past, err := readPast(c.move.past)
	if err != nil || past[during(step)] {
		return false, err
	}
	return true, mark(c.move.past, during(step))
}

// settle gives the cluster the time that its controllers need, then looks at it.
func (c *chain) settle(ctx context.Context, out *outcome) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestRest, fmt.Errorf("the cluster is not at rest after %s", longestRest))
	defer cancel()
	if err := c.cluster.Settle(ctx); err != nil {
		return err
	}
	if out.records, err = c.journal(); err != nil {
		return err
	}
	out.facts, err = c.cluster.Facts()
	return err
}
