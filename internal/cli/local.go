package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// local runs commands on this machine, without a shell, in the directory of kup.yaml:
// that is where the relative paths in it begin.
type local struct{ dir string } // absolute, or empty: the working directory

// usable tells what a plan's commands lack on this machine, before the first step:
// in the middle of a hop an API server would be left out of the load balancer.
func (l local) usable(p *plan.Plan, done func(step string) bool) error {
	var lacks error
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		argv := plan.SplitArgv(s.Args["argv"])
		if s.Kind != plan.KindLocal || done(s.ID) || len(argv) == 0 {
			return true
		}
		program := argv[0]
		if strings.Contains(program, "/") && !filepath.IsAbs(program) {
			program = filepath.Join(l.dir, program)
		}
		if _, err := exec.LookPath(program); err != nil {
			lacks = &usageError{
				err:  fmt.Errorf("step %s runs %s on this machine: %w", s.ID, remote.Display(argv), err),
				hint: "loadBalancer in kup.yaml names it: a path begins at that file's directory, a name is looked for on PATH",
			}
		}
		return lacks == nil
	})
	return lacks
}

// afterLocal is how long a command's output is waited for once the command has ended:
// what it left in the background may hold it open.
const afterLocal = 5 * time.Second

// Run runs the command in a process group of its own: a Ctrl-C in the terminal is
// meant for kup, which lets the step end. When ctx ends so does the whole group.
func (l local) Run(ctx context.Context, argv []string, line func(string)) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = l.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterLocal
	out := &lines{line: line}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	out.end()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // the command itself ended well
		return fmt.Errorf("%s: %w", remote.Display(argv), err)
	}
	return nil
}

// longestLine bounds what is kept of a line that does not end.
const longestLine = 64 << 10

// lines passes on what is written to it line by line.
type lines struct {
	line func(string)
	open []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	for text := range bytes.Lines(p) {
		whole := bytes.HasSuffix(text, []byte("\n"))
		if room := longestLine - len(l.open); room > 0 {
			text = bytes.TrimSuffix(text, []byte("\n"))
			l.open = append(l.open, text[:min(room, len(text))]...)
		}
		if whole {
			l.line(string(l.open))
			l.open = l.open[:0]
		}
	}
	return len(p), nil
}

// end passes on a last line without an end.
func (l *lines) end() {
	if len(l.open) > 0 {
		l.line(string(l.open))
	}
}
