package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"mvdan.cc/sh/v3/interp"
)

// script is a script that is being interpreted.
type script struct {
	shell  *Shell
	p      *Process
	name   string // $0
	runner *interp.Runner

	// Whether exec was called, and how what it ran ended.
	replaced atomic.Bool
	ended    atomic.Int32
}

// invocation is what the arguments of sh ask for.
type invocation struct {
	options []string // for set
	text    string
	command bool // -c: text is the script
	name    string
	file    string
	args    []string
}

// sh is the shell as a program: sh [-euxf…] [-o NAME] [-c TEXT [NAME]] [FILE] ARGUMENT…
func sh(ctx context.Context, p *Process) int {
	call, err := invoked(p.Args)
	if err != nil {
		p.Errorf("0: %v", err)
		return exitUsage
	}
	switch {
	case call.command:
	case call.file != "":
		text, err := p.FS.ReadFile(p.Path(call.file))
		if err != nil {
			p.Errorf("0: cannot open %s: %s", call.file, errnoText(err))
			return exitNotFound
		}
		call.text = string(text)
		if hook := p.Shell.Script; hook != nil {
			if handled, code := hook(ctx, p, call.file, call.text, call.args); handled {
				return code
			}
		}
	default:
		text, err := io.ReadAll(p.Stdin)
		if err != nil {
			return p.fail(1, err)
		}
		call.text = string(text)
	}
	return p.Shell.interpret(ctx, p, call)
}

func invoked(args []string) (invocation, error) {
	call := invocation{name: args[0]}
	rest := args[1:]
	for len(rest) > 0 && len(rest[0]) > 1 && (rest[0][0] == '-' || rest[0][0] == '+') {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			break
		}
		for _, flag := range word[1:] {
			switch {
			case flag == 'c':
				call.command = true
			case flag == 's' || flag == 'i':
			case flag == 'o' && len(rest) > 0:
				call.options = append(call.options, word[:1]+"o", rest[0])
				rest = rest[1:]
			case strings.ContainsRune("aefnux", flag):
				call.options = append(call.options, word[:1]+string(flag))
			default:
				return call, fmt.Errorf("Illegal option -%c", flag) //nolint:staticcheck // as dash says it
			}
		}
	}
	switch {
	case call.command && len(rest) == 0:
		return call, errors.New("-c requires an argument")
	case call.command:
		call.text, rest = rest[0], rest[1:]
		if len(rest) > 0 {
			call.name, rest = rest[0], rest[1:]
		}
	case len(rest) > 0:
		call.file, call.name, rest = rest[0], rest[0], rest[1:]
	}
	call.args = rest
	return call, nil
}

// interpret runs a script to its end, its traps and what it left in the background
// included.
func (s *Shell) interpret(ctx context.Context, p *Process, call invocation) int {
	text, err := s.parsed.parse(call.text)
	if err != nil {
		p.Errorf("%v", err)
		return exitUsage
	}
	stdin, release, err := pipe(ctx, p.Stdin)
	if err != nil {
		return p.fail(exitUsage, err)
	}
	defer release()
	run := &script{shell: s, p: p, name: call.name}
	if run.runner, err = run.newRunner(stdin, call); err != nil {
		p.Errorf("0: %v", err)
		return exitUsage
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	code := exitCode(run.runner.Run(inner, text.named(call.name)))
	code = run.end(ctx, code)
	if text.background {
		cancel() // nobody is left to see what goes on in the background
		run.run(context.WithoutCancel(ctx), "wait")
	}
	return code
}

func (r *script) newRunner(stdin *os.File, call invocation) (*interp.Runner, error) {
	env := &environ{p: r.p}
	var in io.Reader
	if stdin != nil {
		in = stdin
	}
	runner, err := interp.New(
		func(runner *interp.Runner) error { // interp.Dir would look at the real directory
			runner.Dir = r.p.Dir
			return nil
		},
		interp.Env(env),
		interp.StdIO(in, r.p.Stdout, r.p.Stderr),
		interp.Params(append(append(call.options, "--"), call.args...)...),
		interp.CallHandler(r.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return r.exec }),
		interp.OpenHandler(r.open),
		interp.ReadDirHandler2(r.readDir),
		interp.StatHandler(r.stat),
		interp.AccessHandler(r.access),
	)
	if err != nil {
		return nil, err
	}
	runner.Reset()
	env.begun = true
	return runner, nil
}

// exec runs a command of the script.
func (r *script) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	code := r.shell.Exec(ctx, &Process{
		Args: args, Env: exported(hc.Env), Dir: hc.Dir,
		Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr,
		FS: r.p.FS, Root: r.p.Root, Shell: r.shell,
	})
	r.ended.Store(int32(code))
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(code)) // the low eight bits, as everywhere
}

// Where a script's traps are kept: in variables, so that a subshell's are its own.
const (
	exitTrap = "_trap_EXIT"
	termTrap = "_trap_TERM"
)

// end runs the traps that are due and gives the final exit code.
func (r *script) end(ctx context.Context, code int) int {
	if ctx.Err() != nil {
		alive, ok := life(ctx)
		trap := r.runner.Vars[termTrap].String()
		switch {
		case ok && r.replaced.Load(): // what took the shell's place has run its own traps
			return int(r.ended.Load())
		case !ok || trap == "":
			return killed(ctx)
		}
		code = exitTerminated
		if ended, exited := r.run(alive, trap); exited {
			code = ended
		}
		ctx = alive
	}
	trap := r.runner.Vars[exitTrap].String()
	if trap == "" {
		return code
	}
	if ended, exited := r.run(ctx, trap); exited {
		code = ended
	}
	if ctx.Err() != nil {
		return killed(ctx)
	}
	return code
}

// run runs more text in the script's own shell; exited when it ended the shell.
func (r *script) run(ctx context.Context, text string) (code int, exited bool) {
	more, err := r.shell.parsed.parse(text)
	if err != nil {
		r.p.Errorf("%v", err)
		return exitUsage, true
	}
	code = exitCode(r.runner.Run(ctx, more.named(r.name)))
	return code, r.runner.Exited()
}

// exitCode gives the exit code that a runner ended with.
func exitCode(err error) int {
	var status interp.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	return 1
}

// pipe gives an input as a file, which the interpreter needs. What copies into it
// ends when it is released, or as soon as the input does.
func pipe(ctx context.Context, in io.Reader) (*os.File, func(), error) {
	switch in := in.(type) {
	case *pipeReader:
		return in.file, func() {}, nil
	case *strings.Reader:
		if in.Len() == 0 {
			return nil, func() {}, nil
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(w, interruptible(ctx, in)) // the reader may be gone
		_ = w.Close()
	}()
	return r, func() {
		cancel()
		_ = r.Close()
		<-copied
	}, nil
}
