package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/benhoyt/goawk/interp"
	"github.com/benhoyt/goawk/parser"
)

var awkAssignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// awk runs a program over the operands as one input. The program itself opens no
// files and runs no commands; FILENAME and FNR are those of that one input.
func awk(ctx context.Context, p *Process) int {
	o, err := p.options("+v:F:f:", nil)
	if err != nil {
		return p.usage(2, err)
	}
	text, operands, err := p.awkProgram(o)
	if err != nil {
		return p.fail(2, err)
	}
	program, err := parser.ParseProgram([]byte(text), nil)
	if err != nil {
		return p.usage(2, err)
	}
	args, input, end, err := p.awkInput(operands)
	if err != nil {
		return p.fail(2, err)
	}
	defer end()
	var variables []string
	if o.has('F') {
		variables = append(variables, "FS", o.value('F'))
	}
	for _, assignment := range o.values['v'] {
		name, value, assigned := strings.Cut(assignment, "=")
		if !assigned {
			return p.usage(2, fmt.Errorf("not an assignment: %s", assignment))
		}
		variables = append(variables, name, value)
	}
	out := bufio.NewWriter(p.Stdout)
	runner, err := interp.New(program)
	if err != nil {
		return p.usage(2, err)
	}
	code, err := runner.ExecuteContext(ctx, &interp.Config{
		Stdin: input, Output: out, Error: p.Stderr, Argv0: "awk", Args: args, Vars: variables, Environ: p.awkEnvironment(),
		NoExec: true, NoFileReads: true, NoFileWrites: true,
	})
	if err != nil && ctx.Err() == nil {
		code = p.usage(2, err)
	}
	return p.written(code, out.Flush())
}

// awkProgram gives the text of the program and the remaining operands.
func (p *Process) awkProgram(o *options) (string, []string, error) {
	if !o.has('f') {
		if len(o.operands) == 0 {
			return "", nil, errors.New("no program given")
		}
		return o.operands[0], o.operands[1:], nil
	}
	var text strings.Builder
	for _, name := range o.values['f'] {
		part, err := p.slurp(name)
		if err != nil {
			return "", nil, err
		}
		text.Write(append(part, '\n'))
	}
	return text.String(), o.operands, nil
}

// awkInput puts the files into one reader, and keeps the assignments.
func (p *Process) awkInput(operands []string) (args []string, input io.Reader, end func(), err error) {
	var readers []io.Reader
	var closers []io.Closer
	end = func() {
		for _, c := range closers {
			_ = c.Close() // only read
		}
	}
	for _, operand := range operands {
		if awkAssignment.MatchString(operand) {
			args = append(args, operand)
			continue
		}
		r, err := p.source(operand)
		if err != nil {
			end()
			return nil, nil, nil, err
		}
		if len(readers) == 0 {
			args = append(args, "-")
		}
		readers, closers = append(readers, r), append(closers, r)
	}
	if len(readers) == 0 {
		return args, p.Stdin, end, nil
	}
	return args, io.MultiReader(readers...), end, nil
}

func (p *Process) awkEnvironment() []string {
	pairs := []string{}
	for name := range strings.FieldsSeq(p.Env("")) {
		pairs = append(pairs, name, p.Env(name))
	}
	return pairs
}
