package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// StepError is the step that failed while a lab came up or went down, with all
// that the failing command wrote to standard error.
type StepError struct {
	Step string
	Node string // empty: the whole lab
	Err  error
}

func (e *StepError) Error() string {
	if e.Node == "" {
		return fmt.Sprintf("%s: %v", e.Step, e.Err)
	}
	return fmt.Sprintf("%s on %s: %v", e.Step, e.Node, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// ExecError is a failed docker command.
type ExecError struct {
	Argv   []string
	Stdout string
	Stderr string
	Err    error
}

func (e *ExecError) Error() string {
	msg := fmt.Sprintf("docker %s: %v", strings.Join(e.Argv, " "), e.Err)
	if out := strings.TrimSpace(e.Stderr); out != "" {
		return msg + "\n" + out
	}
	if out := strings.TrimSpace(e.Stdout); out != "" {
		return msg + "\n" + out
	}
	return msg
}

func (e *ExecError) Unwrap() error { return e.Err }

// docker runs one docker command and returns its standard output without the
// trailing newline.
func docker(ctx context.Context, args ...string) (string, error) {
	return dockerIn(ctx, nil, args...)
}

func dockerIn(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdin = stdin
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return strings.TrimRight(stdout.String(), "\n"), &ExecError{Argv: args, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return strings.TrimRight(stdout.String(), "\n"), nil
}

// dockerLines is docker with the output split into lines, none when empty.
func dockerLines(ctx context.Context, args ...string) ([]string, error) {
	out, err := docker(ctx, args...)
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(out, "\n"), nil
}

// poll calls check until it returns nil; when timeout passes first the last
// error is returned.
func poll(ctx context.Context, timeout, every time.Duration, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", timeout, err)
		case <-tick.C:
		}
	}
}
