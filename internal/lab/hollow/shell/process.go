package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// Program is a command. It returns the exit code and ends soon after ctx does.
type Program func(ctx context.Context, p *Process) int

// Process is a running command.
type Process struct {
	Args []string // Args[0] is the name as called
	// Env gives the value of a variable, and for the empty name the names that are
	// known, with a space between them. Make one with [Environment].
	Env    func(name string) string
	Dir    string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	FS     *vfs.FS
	Root   bool   // runs as root
	Shell  *Shell // to run further commands
}

// Environment gives an Env that has the variables, and below them those of another
// Env, which may be nil.
func Environment(variables map[string]string, below func(string) string) func(string) string {
	variables = maps.Clone(variables)
	return func(name string) string {
		if name == "" {
			names := slices.Collect(maps.Keys(variables))
			if below != nil {
				names = append(names, strings.Fields(below(""))...)
			}
			slices.Sort(names)
			return strings.Join(slices.Compact(names), " ")
		}
		if value, ok := variables[name]; ok || below == nil {
			return value
		}
		return below(name)
	}
}

// Child is the same process with other arguments, to be run with Shell.Exec.
func (p *Process) Child(args ...string) *Process {
	child := *p
	child.Args = args
	return &child
}

// Path makes a path absolute.
func (p *Process) Path(name string) string {
	if name == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return strings.TrimRight(p.Dir, "/") + "/" + name
}

// Errorf prints a message that begins with the program's name and gives exit code 1.
func (p *Process) Errorf(format string, args ...any) int {
	_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n", path.Base(p.Args[0]), fmt.Sprintf(format, args...))
	return 1
}

// fail prints an error the way the real programs do and gives the code.
func (p *Process) fail(code int, err error) int {
	p.Errorf("%s", reason(err))
	return code
}

// reason is an error as the C library words it, with the path it is about.
func reason(err error) string {
	var failed *fs.PathError
	if !errors.As(err, &failed) {
		return err.Error()
	}
	return failed.Path + ": " + errnoText(failed.Err)
}

func errnoText(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// written gives the code of a program that has written its output. Output that
// nobody reads any more ends it without a word, as the signal would.
func (p *Process) written(code int, err error) int {
	switch {
	case err == nil:
		return code
	case errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe):
		return exitPipe
	}
	p.Errorf("write error: %s", errnoText(err))
	return 1
}

// source opens an operand: a file, or the standard input for "-".
func (p *Process) source(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	f, err := p.FS.OpenFile(p.Path(name), 0, 0)
	if err != nil {
		return nil, named(name, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(&fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}, f.Close())
	}
	return f, nil
}

// slurp reads an operand whole.
func (p *Process) slurp(name string) ([]byte, error) {
	r, err := p.source(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// named gives the error the path that the user knows.
func named(name string, err error) error {
	var failed *fs.PathError
	if !errors.As(err, &failed) {
		return err
	}
	return &fs.PathError{Op: failed.Op, Path: name, Err: failed.Err}
}

// umaskVariable holds the umask, so that subshells and children have their own.
const umaskVariable = "_umask"

// umask is the mode bits that new files do not get.
func umask(env func(string) string) fs.FileMode {
	mask, err := strconv.ParseUint(env(umaskVariable), 8, 32)
	if err != nil {
		return 0o022
	}
	return fs.FileMode(mask)
}

// newMode is the mode of a new file or directory.
func (p *Process) newMode(mode fs.FileMode) fs.FileMode { return mode &^ umask(p.Env) }
