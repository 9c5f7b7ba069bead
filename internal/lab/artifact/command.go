package artifact

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// CommandError is a failed local command with all it wrote to standard error.
type CommandError struct {
	Argv   []string
	Stderr string
	Err    error
}

func (e *CommandError) Error() string {
	msg := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Stderr != "" {
		msg += "\n" + strings.TrimRight(e.Stderr, "\n")
	}
	return msg
}

func (e *CommandError) Unwrap() error { return e.Err }

// command is one local process to run to its end.
type command struct {
	argv  []string
	dir   string
	env   []string // added to the process's own environment
	stdin []byte
	watch func(elapsed time.Duration, stderrLines int) // called now and then while it runs
}

// run returns standard output. The process and its children are killed when
// ctx ends.
func (c command) run(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	if c.stdin != nil {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var stdout bytes.Buffer
	var stderr lineCounter
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stop := c.startWatch(&stderr)
	err := cmd.Run()
	stop()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return stdout.String(), &CommandError{Argv: c.argv, Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

func (c command) startWatch(stderr *lineCounter) (stop func()) {
	if c.watch == nil {
		return func() {}
	}
	started := time.Now()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.watch(time.Since(started), stderr.Lines())
			}
		}
	}()
	return func() { close(done); wg.Wait() }
}

// lineCounter collects output and can be asked for its length while it grows.
type lineCounter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lineCounter) Lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte{'\n'})
}

func (l *lineCounter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
