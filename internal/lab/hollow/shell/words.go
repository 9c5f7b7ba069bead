package shell

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// commandV is the program that command -v becomes.
const commandV = "command -v"

func always(code int) Program {
	return func(context.Context, *Process) int { return code }
}

// echo is dash's: -n is its only flag, and backslashes are read as printf does.
func echo(_ context.Context, p *Process) int {
	words, end := p.Args[1:], "\n"
	if len(words) > 0 && words[0] == "-n" {
		words, end = words[1:], ""
	}
	text := strings.Join(words, " ")
	if before, _, found := strings.Cut(text, `\c`); found {
		text, end = before, ""
	}
	if strings.Contains(text, `\`) {
		expanded, _, err := expand.Format(new(expand.Config), text, nil)
		if err != nil {
			return p.fail(1, err)
		}
		text = expanded
	}
	_, err := io.WriteString(p.Stdout, text+end)
	return p.written(0, err)
}

func printf(_ context.Context, p *Process) int {
	words := p.Args[1:]
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return p.missing()
	}
	var out strings.Builder
	format, args := words[0], words[1:]
	for {
		text, used, err := expand.Format(new(expand.Config), format, args)
		if err != nil {
			return p.fail(1, err)
		}
		out.WriteString(text)
		if args = args[used:]; used == 0 || len(args) == 0 {
			break
		}
	}
	_, err := io.WriteString(p.Stdout, out.String())
	return p.written(0, err)
}

func pwd(_ context.Context, p *Process) int {
	_, err := fmt.Fprintln(p.Stdout, p.Dir)
	return p.written(0, err)
}

// which prints where programs are; it fails when one is not there.
func which(_ context.Context, p *Process) int {
	code := 0
	for _, name := range p.Args[1:] {
		file := p.which(name)
		switch {
		case path.Base(p.Args[0]) == commandV && interp.IsBuiltin(name):
			file = name
		case file == "":
			code = 1
			continue
		}
		if _, err := fmt.Fprintln(p.Stdout, file); err != nil {
			return p.written(code, err)
		}
	}
	return code
}

func typeOf(_ context.Context, p *Process) int {
	code := 0
	for _, name := range p.Args[1:] {
		file := p.which(name)
		switch {
		case interp.IsBuiltin(name):
			_, _ = fmt.Fprintf(p.Stdout, "%s is a shell builtin\n", name)
		case file != "":
			_, _ = fmt.Fprintf(p.Stdout, "%s is %s\n", name, file)
		default:
			_, _ = fmt.Fprintf(p.Stdout, "%s: not found\n", name)
			code = exitNotFound
		}
	}
	return code
}

func dirname(_ context.Context, p *Process) int {
	o, err := p.options("", nil)
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	for _, name := range o.operands {
		dir := "."
		if trimmed := strings.TrimRight(name, "/"); trimmed == "" && name != "" {
			dir = "/"
		} else if i := strings.LastIndex(trimmed, "/"); i >= 0 {
			if dir = strings.TrimRight(trimmed[:i], "/"); dir == "" {
				dir = "/"
			}
		}
		if _, err := fmt.Fprintln(p.Stdout, dir); err != nil {
			return p.written(0, err)
		}
	}
	return 0
}

func basename(_ context.Context, p *Process) int {
	o, err := p.options("", nil)
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 || len(o.operands) > 2 {
		return p.missing()
	}
	name := path.Base(o.operands[0])
	if o.operands[0] == "" {
		name = ""
	}
	if len(o.operands) == 2 && name != o.operands[1] {
		name = strings.TrimSuffix(name, o.operands[1])
	}
	_, err = fmt.Fprintln(p.Stdout, name)
	return p.written(0, err)
}
