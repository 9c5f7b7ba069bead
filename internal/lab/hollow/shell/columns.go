package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// filter writes what change makes of every line; nothing where it says so.
func (p *Process) filter(names []string, change func(line string) (string, bool)) int {
	out := bufio.NewWriter(p.Stdout)
	code, err := p.each(names, 1, func(_ string, r io.Reader) error {
		var failed error
		err := readLines(r, func(line string, _ bool) bool {
			if text, wanted := change(line); wanted {
				failed = writeLine(out, text, false)
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return p.written(code, errors.Join(err, out.Flush()))
}

// span is a range of columns, from 1; last 0: to the end.
type span struct{ first, last int }

func spans(list string) ([]span, error) {
	var all []span
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		s := span{first: 1}
		var err error
		if from != "" {
			s.first, err = strconv.Atoi(from)
			s.last = s.first
		}
		if err == nil && ranged {
			s.last = 0
			if to != "" {
				s.last, err = strconv.Atoi(to)
			}
		}
		if err != nil || s.first < 1 || part == "-" || part == "" || s.last != 0 && s.last < s.first {
			return nil, fmt.Errorf("invalid list of columns: '%s'", list)
		}
		all = append(all, s)
	}
	return all, nil
}

func within(n int, all []span) bool {
	return slices.ContainsFunc(all, func(s span) bool { return n >= s.first && (s.last == 0 || n <= s.last) })
}

func cut(_ context.Context, p *Process) int {
	o, err := p.options("d:f:c:b:s", map[string]rune{"delimiter": 'd', "fields": 'f', "characters": 'c', "bytes": 'b', "only-delimited": 's'})
	if err != nil {
		return p.usage(1, err)
	}
	list := o.value('f') + o.value('c') + o.value('b')
	wanted, err := spans(list)
	if err != nil {
		return p.usage(1, err)
	}
	if !o.has('f') {
		return p.filter(o.files(), func(line string) (string, bool) {
			var out []byte
			for i := range len(line) {
				if within(i+1, wanted) {
					out = append(out, line[i])
				}
			}
			return string(out), true
		})
	}
	delimiter := "\t"
	if o.has('d') {
		delimiter = o.value('d')
	}
	if len(delimiter) != 1 {
		return p.Errorf("the delimiter must be a single character")
	}
	return p.filter(o.files(), func(line string) (string, bool) {
		if !strings.Contains(line, delimiter) {
			return line, !o.has('s')
		}
		var out []string
		for i, field := range strings.Split(line, delimiter) {
			if within(i+1, wanted) {
				out = append(out, field)
			}
		}
		return strings.Join(out, delimiter), true
	})
}

// sorted is sort, in the order of bytes.
func sorted(_ context.Context, p *Process) int {
	o, err := p.options("urn", map[string]rune{"unique": 'u', "reverse": 'r', "numeric-sort": 'n'})
	if err != nil {
		return p.usage(2, err)
	}
	var lines []string
	code, err := p.each(o.files(), 2, func(_ string, r io.Reader) error {
		return readLines(r, func(line string, _ bool) bool {
			lines = append(lines, line)
			return true
		})
	})
	if code != 0 || err != nil {
		return p.written(code, err)
	}
	compare := strings.Compare
	if o.has('n') {
		compare = func(a, b string) int {
			if n := number(a) - number(b); n != 0 {
				return int(max(-1, min(1, n)))
			}
			if o.has('u') {
				return 0
			}
			return strings.Compare(a, b)
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		if o.has('r') {
			return compare(b, a)
		}
		return compare(a, b)
	})
	if o.has('u') {
		lines = slices.CompactFunc(lines, func(a, b string) bool { return compare(a, b) == 0 })
	}
	out := bufio.NewWriter(p.Stdout)
	for _, line := range lines {
		if err := writeLine(out, line, false); err != nil {
			return p.written(0, err)
		}
	}
	return p.written(0, out.Flush())
}

// number is what a line begins with, for sort -n.
func number(line string) int64 {
	line = strings.TrimLeft(line, " \t")
	end := 0
	for end < len(line) && (line[end] >= '0' && line[end] <= '9' || end == 0 && line[end] == '-') {
		end++
	}
	n, err := strconv.ParseInt(line[:end], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func uniq(_ context.Context, p *Process) int {
	o, err := p.options("cdu", map[string]rune{"count": 'c', "repeated": 'd', "unique": 'u'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) > 1 {
		return p.Errorf("extra operand '%s'", o.operands[1])
	}
	out := bufio.NewWriter(p.Stdout)
	var current string
	seen := 0
	end := func() {
		if seen == 0 || o.has('d') && seen == 1 || o.has('u') && seen > 1 {
			return
		}
		if o.has('c') {
			_, _ = fmt.Fprintf(out, "%7d ", seen)
		}
		_ = writeLine(out, current, false) // the error is kept for Flush
	}
	code, err := p.each(o.files(), 1, func(_ string, r io.Reader) error {
		return readLines(r, func(line string, _ bool) bool {
			if seen > 0 && line == current {
				seen++
				return true
			}
			end()
			current, seen = line, 1
			return true
		})
	})
	end()
	return p.written(code, errors.Join(err, out.Flush()))
}

// tr replaces, deletes (-d) or squeezes (-s) bytes; -c takes all the others.
func tr(_ context.Context, p *Process) int {
	o, err := p.options("+dscC", map[string]rune{"delete": 'd', "squeeze-repeats": 's', "complement": 'c'})
	if err != nil {
		return p.usage(1, err)
	}
	sets := make([][]byte, len(o.operands))
	for i, operand := range o.operands {
		if sets[i], err = characters(operand); err != nil {
			return p.usage(1, err)
		}
	}
	needed := 2
	if o.has('d') != o.has('s') {
		needed = 1
	}
	if len(sets) < needed || len(sets) > 2 {
		return p.missing()
	}
	if o.has('c') || o.has('C') {
		sets[0] = others(sets[0])
	}
	text, err := io.ReadAll(p.Stdin)
	if err != nil {
		return p.fail(1, err)
	}
	_, err = p.Stdout.Write(translate(text, sets, o.has('d'), o.has('s')))
	return p.written(0, err)
}

func translate(text []byte, sets [][]byte, remove, squeeze bool) []byte {
	var out []byte
	last := sets[len(sets)-1]
	for _, c := range text {
		at := slices.Index(sets[0], c)
		if at >= 0 && remove {
			continue
		}
		if at >= 0 && len(sets) == 2 && len(sets[1]) > 0 {
			c = sets[1][min(at, len(sets[1])-1)]
		}
		if squeeze && len(out) > 0 && out[len(out)-1] == c && slices.Contains(last, c) {
			continue
		}
		out = append(out, c)
	}
	return out
}

func others(set []byte) []byte {
	var rest []byte
	for c := range 256 {
		if !slices.Contains(set, byte(c)) {
			rest = append(rest, byte(c))
		}
	}
	return rest
}

// classes are the character classes of tr.
var classes = map[string]func(c byte) bool{
	"digit": func(c byte) bool { return c >= '0' && c <= '9' },
	"lower": func(c byte) bool { return c >= 'a' && c <= 'z' },
	"upper": func(c byte) bool { return c >= 'A' && c <= 'Z' },
	"alpha": func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' },
	"alnum": func(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' },
	"space": func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' },
	"blank": func(c byte) bool { return c == ' ' || c == '\t' },
	"cntrl": func(c byte) bool { return c < ' ' || c == 0x7f },
	"print": func(c byte) bool { return c >= ' ' && c < 0x7f },
	"punct": func(c byte) bool { return strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c) >= 0 },
}

// characters expands a set of tr: ranges, classes and escapes.
func characters(set string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(set); {
		if strings.HasPrefix(set[i:], "[:") {
			name, _, closed := strings.Cut(set[i+2:], ":]")
			class := classes[name]
			if !closed || class == nil {
				return nil, fmt.Errorf("invalid character class '%s'", name)
			}
			for c := range 256 {
				if class(byte(c)) {
					out = append(out, byte(c))
				}
			}
			i += len(name) + len("[::]")
			continue
		}
		c, n := character(set[i:])
		i += n
		if i+1 < len(set) && set[i] == '-' {
			end, n := character(set[i+1:])
			if end < c {
				return nil, fmt.Errorf("range-endpoints of '%c-%c' are in reverse order", c, end)
			}
			for ; c < end; c++ {
				out = append(out, c)
			}
			i += 1 + n
		}
		out = append(out, c)
	}
	return out, nil
}

// character reads one character of a set, which may be escaped, and its length.
func character(s string) (byte, int) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], 1
	}
	if octal := len(s[1:]) - len(strings.TrimLeft(s[1:], "01234567")); octal > 0 {
		octal = min(octal, 3)
		n, err := strconv.ParseUint(s[1:1+octal], 8, 8)
		if err == nil {
			return byte(n), 1 + octal
		}
	}
	if i := strings.IndexByte("abfnrtv", s[1]); i >= 0 {
		return "\a\b\f\n\r\t\v"[i], 2
	}
	return s[1], 2
}
