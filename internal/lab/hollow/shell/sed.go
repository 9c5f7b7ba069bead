package shell

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

// sed edits lines: sed [-n] [-E] [-e SCRIPT | -f FILE]… [SCRIPT] [FILE]… with the
// commands s, p, d, q and =.
func sed(_ context.Context, p *Process) int {
	o, err := p.options("nEre:f:s", map[string]rune{"quiet": 'n', "silent": 'n', "regexp-extended": 'E', "expression": 'e', "file": 'f'})
	if err != nil {
		return p.usage(1, err)
	}
	texts := o.values['e']
	for _, name := range o.values['f'] {
		text, err := p.slurp(name)
		if err != nil {
			return p.fail(1, err)
		}
		texts = append(texts, string(text))
	}
	if len(texts) == 0 {
		if len(o.operands) == 0 {
			return p.missing()
		}
		texts, o.operands = o.operands[:1], o.operands[1:]
	}
	commands, err := parseSed(strings.Join(texts, "\n"), o.has('E') || o.has('r'))
	if err != nil {
		return p.usage(1, err)
	}
	e := newSedEditor(commands, o.has('n'), p.Stdout)
	code, err := p.each(o.files(), 2, func(_ string, r io.Reader) error {
		if e.ended {
			return nil
		}
		failed := error(nil)
		err := readLines(r, func(line string, last bool) bool {
			failed = e.take(line, last)
			return failed == nil && !e.ended
		})
		return errors.Join(err, failed)
	})
	if err == nil && !e.ended {
		err = e.finish()
	}
	if e.code != 0 {
		code = e.code
	}
	return p.written(code, errors.Join(err, e.out.Flush()))
}

// sedEditor runs a script. It works one line behind what it has read, to know which
// line is the last.
type sedEditor struct {
	commands []*sedCommand
	quiet    bool
	out      *bufio.Writer

	waiting *sedLine
	line    int64
	ended   bool
	code    int
}

type sedLine struct {
	text  string
	open  bool // without a newline
	index int64
}

func newSedEditor(commands []*sedCommand, quiet bool, to io.Writer) *sedEditor {
	return &sedEditor{commands: commands, quiet: quiet, out: bufio.NewWriter(to)}
}

func (e *sedEditor) take(text string, open bool) error {
	before := e.waiting
	e.line++
	e.waiting = &sedLine{text, open, e.line}
	if before == nil {
		return nil
	}
	before.open = false // another line follows
	return e.edit(before, false)
}

func (e *sedEditor) finish() error {
	if e.waiting == nil {
		return nil
	}
	return e.edit(e.waiting, true)
}

// edit runs all commands on a line and prints it.
func (e *sedEditor) edit(line *sedLine, last bool) error {
	for _, c := range e.commands {
		if c.selects(line, last) == c.negated {
			continue
		}
		switch c.name {
		case 'd':
			return nil
		case 'p':
			if err := e.print(line); err != nil {
				return err
			}
		case '=':
			if _, err := e.out.WriteString(strconv.FormatInt(line.index, 10) + "\n"); err != nil {
				return err
			}
		case 's':
			changed := c.substitute(line)
			if changed && c.print {
				if err := e.print(line); err != nil {
					return err
				}
			}
		case 'q':
			e.ended, e.code = true, c.code
		}
		if e.ended {
			break
		}
	}
	if e.quiet {
		return nil
	}
	return e.print(line)
}

func (e *sedEditor) print(line *sedLine) error { return writeLine(e.out, line.text, line.open) }

// selects tells whether the addresses of a command match the line.
func (c *sedCommand) selects(line *sedLine, last bool) bool {
	switch {
	case c.from == nil:
		return true
	case c.to == nil:
		return c.from.matches(line, last)
	case c.inside:
		if c.to.line > 0 && line.index > c.to.line { // jumped over
			c.inside = false
			return c.from.matches(line, last)
		}
		c.inside = !c.to.matches(line, last)
		return true
	case !c.from.matches(line, last):
		return false
	}
	// The end is looked for from the next line on, unless it is a line number.
	c.inside = !last && (c.to.line == 0 || c.to.line > line.index)
	return true
}

func (a *sedAddress) matches(line *sedLine, last bool) bool {
	switch {
	case a.line > 0:
		return line.index == a.line
	case a.last:
		return last
	}
	return a.expression.MatchString(line.text)
}

// substitute does s on a line and tells whether it changed anything.
func (c *sedCommand) substitute(line *sedLine) bool {
	most := -1
	if !c.global {
		most = max(1, c.nth)
	}
	var b strings.Builder
	done, changed := 0, false
	for i, match := range c.expression.FindAllStringSubmatchIndex(line.text, most) {
		if i+1 < c.nth {
			continue
		}
		b.WriteString(line.text[done:match[0]])
		for _, part := range c.replacement {
			if part.group < 0 {
				b.WriteString(part.text)
			} else if start := match[2*part.group]; start >= 0 {
				b.WriteString(line.text[start:match[2*part.group+1]])
			}
		}
		done, changed = match[1], true
	}
	if changed {
		line.text = b.String() + line.text[done:]
	}
	return changed
}
