package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// Shell runs commands on one modelled host. Its fields are set before it is used
// and not changed any more; Exec may then be called from many goroutines.
type Shell struct {
	FS *vfs.FS
	// Programs are found before those that the package brings along.
	Programs map[string]Program
	// Pace scales all that takes time: sleep 10 takes 10 s * Pace. 0 means 1.
	Pace float64
	// Now is the host's clock; nil: time.Now.
	Now func() time.Time
	// Script is asked before a script file is interpreted, and may do so itself.
	// args are the script's, without its name.
	Script func(ctx context.Context, p *Process, file, text string, args []string) (handled bool, code int)

	builtin map[string]Program
	parsed  *cache
}

// New makes a shell over a file system. The programs add to those that are there
// already and override them.
func New(fs *vfs.FS, programs map[string]Program) *Shell {
	return &Shell{FS: fs, Programs: maps.Clone(programs), builtin: builtins(), parsed: newCache()}
}

// Exit codes that shells and wrapping programs give.
const (
	exitUsage         = 2
	exitTimeout       = 124
	exitWrapper       = 125 // a program that runs another one failed itself
	exitNotExecutable = 126
	exitNotFound      = 127
	exitPipe          = 141
	exitKilled        = 137
	exitTerminated    = 143
)

// Exec runs a command and gives its exit code. A program is found by the base name
// of its first argument, wherever it is said to be; executable files with a shell's
// #! line are scripts. What is left empty in p is filled in. When ctx ends the
// command is killed: 137, or 143 for a context of [Terminable] that was terminated.
//
// What reads p.Stdin is not waited for when it blocks and ctx ends.
func (s *Shell) Exec(ctx context.Context, p *Process) int {
	p = s.complete(ctx, p)
	if ctx.Err() != nil {
		return killed(ctx)
	}
	program := s.find(p)
	if program == nil {
		_, _ = fmt.Fprintf(p.Stderr, "sh: 1: %s: not found\n", p.Args[0])
		return exitNotFound
	}
	code := program(ctx, p)
	if ctx.Err() != nil {
		return s.afterKill(ctx, p, code)
	}
	return code
}

// afterKill is the code of a program whose context ended. A shell that was
// terminated has run its traps and knows best.
func (s *Shell) afterKill(ctx context.Context, p *Process, code int) int {
	if errors.Is(context.Cause(ctx), ErrTerminated) && path.Base(p.Args[0]) == "sh" {
		return code
	}
	return killed(ctx)
}

func (s *Shell) complete(ctx context.Context, given *Process) *Process {
	p := *given
	if len(p.Args) == 0 {
		p.Args = []string{""}
	}
	if p.FS == nil {
		p.FS = s.FS
	}
	if p.Shell == nil {
		p.Shell = s
	}
	if p.Env == nil {
		p.Env = Environment(map[string]string{"PATH": defaultPath}, nil)
	}
	if p.Dir == "" {
		p.Dir = "/"
	}
	if p.Stdin == nil {
		p.Stdin = strings.NewReader("")
	}
	p.Stdin = interruptible(ctx, p.Stdin)
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	p.Stdout, p.Stderr = synchronised(p.Stdout, p.Stderr)
	return &p
}

// defaultPath is where programs are looked for when nobody says.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// find gives the program of a command; nil: there is none.
func (s *Shell) find(p *Process) Program {
	name := path.Base(p.Args[0])
	if program, ok := s.Programs[name]; ok {
		return program
	}
	if program, ok := s.builtin[name]; ok {
		return program
	}
	if file := p.executable(p.Args[0]); file != "" {
		return func(ctx context.Context, p *Process) int { return s.executeFile(ctx, p, file) }
	}
	return nil
}

// executeFile runs an executable file, which must be a shell script.
func (s *Shell) executeFile(ctx context.Context, p *Process, file string) int {
	text, err := p.FS.ReadFile(file)
	if err != nil {
		return p.fail(exitNotExecutable, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	interpreter, flags, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(first, "#!")), " ")
	if base := path.Base(interpreter); !strings.HasPrefix(first, "#!") || base != "sh" && base != "bash" && base != "dash" {
		_, _ = fmt.Fprintf(p.Stderr, "sh: 1: %s: Exec format error\n", p.Args[0])
		return exitNotExecutable
	}
	args := []string{"sh"}
	if flags = strings.TrimSpace(flags); flags != "" {
		args = append(args, flags)
	}
	if strings.Contains(p.Args[0], "/") {
		file = p.Args[0] // $0 is as it was called
	}
	return sh(ctx, p.Child(append(append(args, file), p.Args[1:]...)...))
}

// which gives the path of a program as command -v and which print it; empty: there
// is none.
func (p *Process) which(name string) string {
	if file := p.executable(name); file != "" {
		return file
	}
	base := path.Base(name)
	_, added := p.Shell.Programs[base]
	_, known := p.Shell.builtin[base]
	switch {
	case !added && !known || base != name && !strings.HasPrefix(name, "/"):
		return ""
	case base != name:
		return name
	}
	return "/usr/bin/" + name
}

// executable gives the path of an executable file, looked for as a shell does.
func (p *Process) executable(name string) string {
	candidates := []string{p.Path(name)}
	if !strings.Contains(name, "/") {
		candidates = nil
		for dir := range strings.SplitSeq(p.Env("PATH"), ":") {
			candidates = append(candidates, p.Path(path.Join(dir, name)))
		}
	}
	for _, file := range candidates {
		if info, err := p.FS.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

func (s *Shell) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// scaled gives how long something that takes d on a real host takes here.
func (s *Shell) scaled(d time.Duration) time.Duration {
	if s.Pace == 0 {
		return d
	}
	return time.Duration(float64(d) * s.Pace)
}
