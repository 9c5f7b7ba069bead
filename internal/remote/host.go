package remote

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Command is one program run on a host, without a shell of its own.
type Command struct {
	Argv  []string
	Env   []string // KEY=value; never a secret
	Stdin io.Reader
	// Sudo runs the command as root. The host knows whether a password is needed.
	Sudo bool
	// Timeout bounds the command on top of the context; zero: none.
	Timeout time.Duration
}

// Result is what a command that ended with exit code 0 printed.
type Result struct {
	Stdout []byte
	Stderr []byte
}

// Host is a machine. Implementations are safe for concurrent use; every method
// honours its context. String names the host the way the inventory does.
type Host interface {
	fmt.Stringer
	// Run returns *ExitError when the command ends with another code than 0, and
	// *ConnectionError when the host cannot be reached or the reply was lost.
	Run(ctx context.Context, c Command) (Result, error)
	// ReadFile reads a file as root. A missing file gives an error that
	// errors.Is(err, fs.ErrNotExist).
	ReadFile(ctx context.Context, path string) ([]byte, error)
	// WriteFile replaces a file as root, atomically (temporary file, fsync,
	// rename), making missing parent directories with mode 0700.
	WriteFile(ctx context.Context, path string, content []byte, perm fs.FileMode) error
}

// ExitError is a command that ran and failed.
type ExitError struct {
	Host   string
	Argv   []string
	Code   int
	Stdout []byte
	Stderr []byte // in full
}

// Error is one line: host, command, exit code and the most telling line of stderr.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: %s: exit code %d", e.Host, Display(e.Argv), e.Code)
	if last := telling(e.Stderr); last != "" {
		msg += ": " + last
	}
	return msg
}

// ConnectionError is a host that could not be reached, or whose reply was lost:
// the command may or may not have run.
type ConnectionError struct {
	Host string
	Err  error
	// Unsent says that it has not: the host was not reached.
	Unsent bool
}

func (e *ConnectionError) Error() string { return fmt.Sprintf("%s: %v", e.Host, e.Err) }

// Unwrap gives the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// telling is the line of stderr that says most: the last one that calls itself
// an error, as kubeadm's ("error: …") and apt's ("E: …") do before they go on
// talking; else the last one.
func telling(stderr []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		if lower := strings.ToLower(line); strings.HasPrefix(lower, "error: ") || strings.HasPrefix(lower, "e: ") {
			return line
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
