package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// condition is test and [. The interpreter's own takes operands for operators.
func condition(_ context.Context, p *Process) int {
	words := p.Args[1:]
	if path.Base(p.Args[0]) == "[" {
		if len(words) == 0 || words[len(words)-1] != "]" {
			p.Errorf("missing ]")
			return exitUsage
		}
		words = words[:len(words)-1]
	}
	c := conditions{p: p, words: words}
	holds, err := c.all()
	switch {
	case err != nil:
		p.Errorf("%v", err)
		return exitUsage
	case holds:
		return 0
	}
	return 1
}

// conditions are the words of a test that is being evaluated.
type conditions struct {
	p     *Process
	words []string
}

// all evaluates up to four words by their number, as POSIX says, so that no operand
// is taken for an operator, and more as an expression.
func (c *conditions) all() (bool, error) {
	w := c.words
	switch {
	case len(w) == 0:
		return false, nil
	case len(w) == 1:
		return w[0] != "", nil
	case len(w) == 3 && binary(w[1]):
		return c.compare(w[0], w[1], w[2])
	case len(w) <= 4 && w[0] == "!":
		c.words = w[1:]
		holds, err := c.all()
		return !holds, err
	}
	holds, err := c.or()
	if err == nil && len(c.words) > 0 {
		err = fmt.Errorf("%s: unexpected operator", c.words[0])
	}
	return holds, err
}

func (c *conditions) or() (bool, error) { return c.list("-o", c.and) }

func (c *conditions) and() (bool, error) { return c.list("-a", c.one) }

// list evaluates what is joined by an operator.
func (c *conditions) list(operator string, next func() (bool, error)) (bool, error) {
	holds, err := next()
	for err == nil && len(c.words) > 0 && c.words[0] == operator {
		c.words = c.words[1:]
		var more bool
		if more, err = next(); operator == "-o" {
			holds = holds || more
		} else {
			holds = holds && more
		}
	}
	return holds, err
}

func (c *conditions) one() (bool, error) {
	w := c.words
	switch {
	case len(w) == 0:
		return false, errors.New("argument expected")
	case len(w) >= 3 && binary(w[1]):
		c.words = w[3:]
		return c.compare(w[0], w[1], w[2])
	case w[0] == "!":
		c.words = w[1:]
		holds, err := c.one()
		return !holds, err
	case w[0] == "(":
		c.words = w[1:]
		holds, err := c.or()
		if err == nil && (len(c.words) == 0 || c.words[0] != ")") {
			err = errors.New("closing paren expected")
		}
		if err == nil {
			c.words = c.words[1:]
		}
		return holds, err
	case len(w) >= 2 && len(w[0]) == 2 && w[0][0] == '-':
		c.words = w[2:]
		return c.ask(w[0], w[1])
	}
	c.words = w[1:]
	return w[0] != "", nil
}

func binary(operator string) bool {
	switch operator {
	case "=", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func (c *conditions) compare(a, operator, b string) (bool, error) {
	switch operator {
	case "=":
		return a == b, nil
	case "!=":
		return a != b, nil
	case "-ef":
		first, err := c.p.FS.Resolve(c.p.Path(a))
		if err != nil {
			return false, nil //nolint:nilerr // what is not there is no file
		}
		second, err := c.p.FS.Resolve(c.p.Path(b))
		return err == nil && first == second, nil
	case "-nt", "-ot":
		return false, fmt.Errorf("%s is not modelled", operator)
	}
	x, err := integer(a)
	if err != nil {
		return false, err
	}
	y, err := integer(b)
	if err != nil {
		return false, err
	}
	return map[string]bool{"-eq": x == y, "-ne": x != y, "-lt": x < y, "-le": x <= y, "-gt": x > y, "-ge": x >= y}[operator], nil
}

func integer(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Illegal number: %s", text) //nolint:staticcheck // as dash says it
	}
	return n, nil
}

// ask answers a question about one operand.
func (c *conditions) ask(operator, operand string) (bool, error) {
	switch operator {
	case "-n":
		return operand != "", nil
	case "-z":
		return operand == "", nil
	case "-t":
		return false, nil
	case "-L", "-h":
		info, err := c.p.FS.Lstat(c.p.Path(operand))
		return err == nil && info.Mode()&fs.ModeSymlink != 0, nil
	}
	if strings.IndexByte("edfsrwxc", operator[1]) < 0 {
		return false, fmt.Errorf("%s: unexpected operator", operator)
	}
	info, err := c.p.FS.Stat(c.p.Path(operand))
	if err != nil {
		return false, nil //nolint:nilerr // that is the answer
	}
	switch operator[1] {
	case 'd':
		return info.IsDir(), nil
	case 'f':
		return info.Mode().IsRegular(), nil
	case 's':
		return info.Size() > 0, nil
	case 'x':
		return info.Mode()&0o111 != 0, nil
	case 'c':
		return info.Mode()&fs.ModeCharDevice != 0, nil
	}
	return true, nil // e; and root may read and write
}
