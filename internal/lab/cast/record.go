package cast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
)

const terminal = "xterm-256color"

// Command is what to record.
type Command struct {
	Argv          []string
	Dir           string
	Env           []string // added to the environment of this process
	Width, Height int
	Title         string
}

// grace is how long a cancelled command may take to end by itself.
const grace = 5 * time.Second

// Record runs the command on a terminal of its own and records what it writes,
// which also goes to tee while it runs. It returns the command's exit code; a
// recording is returned with every error that came after the start.
func Record(ctx context.Context, c Command, tee io.Writer) (*Recording, int, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(append(os.Environ(), "TERM="+terminal), c.Env...)
	// The command leads a session; what it started goes with it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	size := &pty.Winsize{Cols: uint16(c.Width), Rows: uint16(c.Height)}
	began := time.Now()
	tty, err := pty.StartWithSize(cmd, size)
	if err != nil {
		return nil, 0, fmt.Errorf("start %s on a terminal: %w", c.Argv[0], err)
	}
	out := &Recording{Width: c.Width, Height: c.Height, Title: c.Title}
	readErr := out.follow(tty, began, tee)
	waitErr := cmd.Wait()
	err = errors.Join(readErr, tty.Close())
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) && ctx.Err() == nil {
		return out, exit.ExitCode(), err
	}
	return out, 0, errors.Join(waitErr, err)
}

// follow reads until the last process has left the terminal. A rune that came in
// two reads is kept whole.
func (r *Recording) follow(tty io.Reader, began time.Time, tee io.Writer) error {
	buf := make([]byte, 32<<10)
	kept := 0
	for {
		n, err := tty.Read(buf[kept:])
		at := time.Since(began).Round(time.Millisecond)
		n += kept
		whole := n - partial(buf[:n])
		if err != nil {
			whole = n
		}
		if whole > 0 {
			r.Events = append(r.Events, Event{At: at, Data: string(buf[:whole])})
			if _, err := tee.Write(buf[:whole]); err != nil {
				return fmt.Errorf("show the recorded output: %w", err)
			}
		}
		kept = copy(buf, buf[whole:n])
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO): // Linux says EIO when nobody is left
			return nil
		default:
			return fmt.Errorf("read the terminal: %w", err)
		}
	}
}

// partial counts the bytes at the end that begin a rune and do not end it.
func partial(b []byte) int {
	for n := 1; n <= min(len(b), utf8.UTFMax); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
