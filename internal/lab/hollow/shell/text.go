package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// each opens the operands one after the other; what cannot be opened is told of,
// and makes the exit code that is returned.
func (p *Process) each(names []string, code int, read func(name string, r io.Reader) error) (exit int, err error) {
	for _, name := range names {
		r, err := p.source(name)
		if err != nil {
			exit = p.fail(code, err)
			continue
		}
		err = errors.Join(read(name, r), r.Close())
		if err != nil {
			return exit, err
		}
	}
	return exit, nil
}

func cat(_ context.Context, p *Process) int {
	o, err := p.options("u", nil)
	if err != nil {
		return p.usage(1, err)
	}
	code, err := p.each(o.files(), 1, func(_ string, r io.Reader) error {
		_, err := io.Copy(p.Stdout, r)
		return err
	})
	return p.written(code, err)
}

func tee(_ context.Context, p *Process) int {
	o, err := p.options("a", map[string]rune{"append": 'a'})
	if err != nil {
		return p.usage(1, err)
	}
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.has('a') {
		flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	to, code := []io.Writer{p.Stdout}, 0
	for _, name := range o.operands {
		f, err := p.FS.OpenFile(p.Path(name), flag, p.newMode(0o666))
		if err != nil {
			code = p.fail(1, named(name, err))
			continue
		}
		defer f.Close() //nolint:errcheck // in memory
		to = append(to, f)
	}
	_, err = io.Copy(io.MultiWriter(to...), p.Stdin)
	return p.written(code, err)
}

// count is the number of head and tail: of lines or bytes, counted from one end.
type count struct {
	n         int64
	bytes     bool
	fromStart bool // tail +N: from the Nth on
}

// counted parses the arguments of head and tail, -N included.
func (p *Process) counted() (*options, count, error) {
	c := count{n: 10}
	if len(p.Args) > 1 && len(p.Args[1]) > 1 && p.Args[1][0] == '-' && strings.Trim(p.Args[1][1:], "0123456789") == "" {
		p = p.Child(append([]string{p.Args[0], "-n", p.Args[1][1:]}, p.Args[2:]...)...)
	}
	o, err := p.options("n:c:q", map[string]rune{"lines": 'n', "bytes": 'c', "quiet": 'q'})
	if err != nil {
		return nil, c, err
	}
	text := o.value('n')
	if c.bytes = o.has('c'); c.bytes {
		text = o.value('c')
	}
	if text == "" {
		return o, c, nil
	}
	number, fromStart := strings.CutPrefix(text, "+")
	c.fromStart = fromStart
	if c.n, err = strconv.ParseInt(number, 10, 64); err != nil || c.n < 0 {
		return nil, c, fmt.Errorf("invalid number of lines or bytes: '%s'", text)
	}
	return o, c, nil
}

func head(_ context.Context, p *Process) int {
	o, c, err := p.counted()
	if err != nil {
		return p.usage(1, err)
	}
	code, err := p.each(o.files(), 1, func(_ string, r io.Reader) error {
		if c.bytes {
			_, err := io.CopyN(p.Stdout, r, c.n)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		return copyLines(p.Stdout, r, func(i int64) bool { return i < c.n }, c.n)
	})
	return p.written(code, err)
}

func tail(_ context.Context, p *Process) int {
	o, c, err := p.counted()
	if err != nil {
		return p.usage(1, err)
	}
	code, err := p.each(o.files(), 1, func(_ string, r io.Reader) error {
		if !c.fromStart {
			return lastOf(p.Stdout, r, c)
		}
		skip := max(0, c.n-1)
		if !c.bytes {
			return copyLines(p.Stdout, r, func(i int64) bool { return i >= skip }, -1)
		}
		if _, err := io.CopyN(io.Discard, r, skip); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		_, err := io.Copy(p.Stdout, r)
		return err
	})
	return p.written(code, err)
}

// copyLines copies the lines whose number, from 0, is wanted; it stops after most
// lines, if that is not negative.
func copyLines(w io.Writer, r io.Reader, wanted func(i int64) bool, most int64) error {
	if most == 0 {
		return nil
	}
	out := bufio.NewWriter(w)
	i := int64(0)
	var failed error
	err := readLines(r, func(line string, last bool) bool {
		if wanted(i) {
			failed = writeLine(out, line, last)
		}
		i++
		return failed == nil && i != most
	})
	return errors.Join(err, failed, out.Flush())
}

func writeLine(out *bufio.Writer, line string, last bool) error {
	_, err := out.WriteString(line)
	if err == nil && !last {
		err = out.WriteByte('\n')
	}
	return err
}

func lastOf(w io.Writer, r io.Reader, c count) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	from := max(0, int64(len(text))-c.n)
	if !c.bytes {
		lines := strings.SplitAfter(string(text), "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		from = int64(len(text))
		for i := len(lines) - 1; i >= 0 && int64(len(lines)-i) <= c.n; i-- {
			from -= int64(len(lines[i]))
		}
	}
	_, err = w.Write(text[from:])
	return err
}

// counts are what wc counts.
type counts struct {
	lines, words, bytes int64
	name                string
}

func (c *counts) add(other counts) {
	c.lines, c.words, c.bytes = c.lines+other.lines, c.words+other.words, c.bytes+other.bytes
}

func wc(_ context.Context, p *Process) int {
	o, err := p.options("clwm", map[string]rune{"bytes": 'c', "lines": 'l', "words": 'w', "chars": 'm'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.values) == 0 {
		o.values = map[rune][]string{'l': {""}, 'w': {""}, 'c': {""}}
	}
	var rows []counts
	total := counts{name: "total"}
	code, err := p.each(o.files(), 1, func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		c := counts{int64(strings.Count(string(text), "\n")), int64(len(strings.Fields(string(text)))), int64(len(text)), name}
		total.add(c)
		rows = append(rows, c)
		return err
	})
	if len(o.operands) > 1 {
		rows = append(rows, total)
	}
	width := 1
	if len(o.values) > 1 || len(rows) > 1 {
		width = len(strconv.FormatInt(total.bytes, 10))
	}
	var out strings.Builder
	for _, c := range rows {
		out.WriteString(c.row(o, width))
	}
	if err == nil {
		_, err = io.WriteString(p.Stdout, out.String())
	}
	return p.written(code, err)
}

func (c *counts) row(o *options, width int) string {
	var columns []string
	for _, column := range []struct {
		flag rune
		n    int64
	}{{'l', c.lines}, {'w', c.words}, {'c', c.bytes}, {'m', c.bytes}} {
		if o.has(column.flag) {
			columns = append(columns, fmt.Sprintf("%*d", width, column.n))
		}
	}
	if c.name != "-" {
		columns = append(columns, c.name)
	}
	return strings.Join(columns, " ") + "\n"
}

// dd copies with if=, of=, bs=, count=, and says on stderr what it did.
func dd(_ context.Context, p *Process) int {
	in, out := p.Stdin, p.Stdout
	size, most := int64(512), int64(-1)
	for _, word := range p.Args[1:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "if":
			var f io.ReadCloser
			if f, err = p.source(value); err == nil {
				defer f.Close()
				in = f
			}
		case "of":
			var f io.WriteCloser
			if f, err = p.FS.OpenFile(p.Path(value), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, p.newMode(0o666)); err == nil {
				defer f.Close() //nolint:errcheck // in memory
				out = f
			}
		case "bs":
			size, err = ddSize(value)
		case "count":
			most, err = strconv.ParseInt(value, 10, 64)
		case "status", "conv":
		default:
			return p.Errorf("unrecognized operand '%s'", word)
		}
		if err != nil {
			return p.fail(1, err)
		}
	}
	if most >= 0 {
		in = io.LimitReader(in, most*size)
	}
	n, err := io.Copy(out, in)
	_, _ = fmt.Fprintf(p.Stderr, "%d bytes copied\n", n)
	return p.written(0, err)
}

func ddSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, factor := range map[string]int64{"k": 1 << 10, "K": 1 << 10, "M": 1 << 20} {
		if before, found := strings.CutSuffix(text, suffix); found {
			number, unit = before, factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	return n * unit, err
}
