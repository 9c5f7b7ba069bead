package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a kup that was started. Whoever starts one waits for it.
type process struct {
	line string // as it would be typed
	cmd  *exec.Cmd
	said transcript
	done chan struct{}

	// Read these after done is closed.
	outcome outcome
	err     error
}

// transcript gathers what is printed while others read it.
type transcript struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.Write(b)
}

// String is everything so far.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// since is what was printed after the first n bytes.
func (t *transcript) since(n int) string {
	all := t.String()
	return all[min(n, len(all)):]
}

func (t *transcript) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.Len()
}

// start begins a kup without a terminal. When ctx ends it is asked to stop.
func (b *binary) start(ctx context.Context, live io.Writer, args ...string) (*process, error) {
	o := outcome{argv: append([]string{"kup"}, args...)}
	p := &process{line: o.String(), done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, b.path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	cmd.Dir = b.home
	// Nothing of the caller's environment may help or harm: no agent, no
	// kubeconfig, no ssh configuration.
	cmd.Env = []string{"HOME=" + b.home, "XDG_STATE_HOME=" + b.state, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1"}
	var stdout, stderr bytes.Buffer
	if live == nil {
		live = io.Discard
	}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &p.said, live), io.MultiWriter(&stderr, &p.said, live)
	p.cmd = cmd
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.line, err)
	}
	go func() {
		defer close(p.done)
		err := cmd.Wait()
		o.took = time.Since(began)
		o.stdout, o.stderr = stdout.Bytes(), stderr.Bytes()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			o.code, err = exit.ExitCode(), nil
		}
		p.outcome = o
		if err != nil {
			p.err = fmt.Errorf("%s: %w", p.line, err)
			return
		}
		p.err = b.keep(o)
	}()
	return p, nil
}

// wait gives what became of it. An error means that it could not be run.
func (p *process) wait() (outcome, error) {
	<-p.done
	return p.outcome, p.err
}

// ended says whether it has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends it with no warning, unless it has ended, and waits for its end.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.line, err)
	}
	_, err := p.wait()
	return err
}

// freeze stops it where it is, and thaw lets it go on.
func (p *process) freeze() error { return p.signal(syscall.SIGSTOP) }
func (p *process) thaw() error   { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: send %s: %w", p.line, s, err)
	}
	return nil
}
