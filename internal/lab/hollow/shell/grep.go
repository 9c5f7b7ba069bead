package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// search is what grep was asked to do.
type search struct {
	expressions []*regexp.Regexp
	o           *options
	most        int64 // lines of a file; negative: all
	prefix      bool  // file names before lines
	out         *bufio.Writer
	found       bool
}

var grepFlags = map[string]rune{
	"extended-regexp": 'E', "fixed-strings": 'F', "basic-regexp": 'G', "quiet": 'q', "silent": 'q', "line-regexp": 'x',
	"only-matching": 'o', "max-count": 'm', "invert-match": 'v', "count": 'c', "no-filename": 'h', "with-filename": 'H',
	"no-messages": 's', "ignore-case": 'i', "line-number": 'n', "files-with-matches": 'l', "regexp": 'e', "word-regexp": 'w',
}

// grep searches lines. Its exit code is 0 when something was found, 1 when not, 2
// when something went wrong.
func grep(_ context.Context, p *Process) int {
	o, err := p.options("EFGqxom:vchHsinle:w", grepFlags)
	if err != nil {
		return p.usage(2, err)
	}
	patterns := o.values['e']
	if len(patterns) == 0 {
		if len(o.operands) == 0 {
			p.missing()
			return 2
		}
		patterns, o.operands = o.operands[:1], o.operands[1:]
	}
	s := &search{o: o, most: -1, prefix: (len(o.operands) > 1 || o.has('H')) && !o.has('h'), out: bufio.NewWriter(p.Stdout)}
	if o.has('m') {
		if s.most, err = strconv.ParseInt(o.value('m'), 10, 64); err != nil {
			return p.usage(2, errors.New("invalid max count"))
		}
	}
	for _, pattern := range strings.Split(strings.Join(patterns, "\n"), "\n") {
		re, err := s.compile(pattern)
		if err != nil {
			return p.usage(2, err)
		}
		s.expressions = append(s.expressions, re)
	}
	code, err := s.files(p)
	switch err = errors.Join(err, s.out.Flush()); {
	case err != nil:
		return p.written(2, err)
	case s.found && (code == 0 || o.has('q')):
		return 0
	case code != 0:
		return code
	}
	return 1
}

func (s *search) compile(pattern string) (*regexp.Regexp, error) {
	ignoreCase := s.o.has('i')
	if s.o.has('F') {
		text := regexp.QuoteMeta(pattern)
		if ignoreCase {
			text = "(?i)" + text
		}
		return s.whole(regexp.Compile(text))
	}
	return s.whole(compile(pattern, s.o.has('E'), ignoreCase))
}

// whole makes an expression match whole lines or words only, where that is asked for.
func (s *search) whole(re *regexp.Regexp, err error) (*regexp.Regexp, error) {
	if err != nil {
		return nil, err
	}
	switch {
	case s.o.has('x'):
		re, err = regexp.Compile("^(?:" + re.String() + ")$")
	case s.o.has('w'):
		re, err = regexp.Compile(`\b(?:` + re.String() + `)\b`)
	}
	if err == nil {
		re.Longest()
	}
	return re, err
}

func (s *search) files(p *Process) (code int, err error) {
	for _, name := range s.o.files() {
		r, err := p.source(name)
		if err != nil {
			if code = 2; !s.o.has('s') {
				p.fail(2, err)
			}
			continue
		}
		if name == "-" {
			name = "(standard input)"
		}
		err = errors.Join(s.file(name, r), r.Close())
		if err != nil || s.found && s.o.has('q') {
			return code, err
		}
	}
	return code, nil
}

func (s *search) file(name string, r io.Reader) error {
	var matched, index int64
	var failed error
	if s.most == 0 {
		return nil
	}
	err := readLines(r, func(line string, _ bool) bool {
		index++
		if s.matches(line) == s.o.has('v') {
			return true
		}
		s.found = true
		matched++
		if s.o.has('q') || s.o.has('l') {
			return false
		}
		if !s.o.has('c') {
			failed = s.print(name, index, line)
		}
		return failed == nil && matched != s.most
	})
	switch {
	case s.o.has('q'):
	case s.o.has('l') && matched > 0:
		_, failed = fmt.Fprintln(s.out, name)
	case s.o.has('c'):
		if s.prefix {
			_, failed = fmt.Fprintf(s.out, "%s:", name)
		}
		_, _ = fmt.Fprintln(s.out, matched) // the error is kept for Flush
	}
	return errors.Join(err, failed)
}

func (s *search) matches(line string) bool {
	for _, re := range s.expressions {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}

func (s *search) print(name string, index int64, line string) error {
	texts := []string{line}
	if s.o.has('o') {
		texts = s.only(line)
	}
	for _, text := range texts {
		if s.prefix {
			text = name + ":" + s.numbered(index, text)
		} else {
			text = s.numbered(index, text)
		}
		if err := writeLine(s.out, text, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) numbered(index int64, text string) string {
	if !s.o.has('n') {
		return text
	}
	return strconv.FormatInt(index, 10) + ":" + text
}

// only gives the parts of a line that match; with -v there are none.
func (s *search) only(line string) []string {
	if s.o.has('v') {
		return nil
	}
	var all []string
	for at := 0; at <= len(line); {
		begin, end := -1, -1
		for _, re := range s.expressions {
			for _, m := range re.FindAllStringIndex(line, -1) { // the anchors need the whole line
				if m[0] < at || m[0] == m[1] {
					continue
				}
				if begin < 0 || m[0] < begin || m[0] == begin && m[1] > end {
					begin, end = m[0], m[1]
				}
				break
			}
		}
		if begin < 0 {
			break
		}
		all = append(all, line[begin:end])
		at = end
	}
	return all
}
