package shell

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// sedCommand is one command of a sed script.
type sedCommand struct {
	from, to *sedAddress // nil: none
	negated  bool
	name     byte
	code     int // of q

	expression  *regexp.Regexp // of s
	replacement []sedPart
	global      bool
	print       bool
	nth         int // of the matches of a line, from 1

	inside bool // between from and to
}

// sedAddress selects lines.
type sedAddress struct {
	line       int64 // 0: see the others
	last       bool
	expression *regexp.Regexp
}

// sedPart is text of a replacement, or a group; group -1: text.
type sedPart struct {
	text  string
	group int
}

// sedParser reads a sed script.
type sedParser struct {
	in       string
	extended bool
}

func parseSed(text string, extended bool) ([]*sedCommand, error) {
	p := sedParser{in: text, extended: extended}
	var commands []*sedCommand
	for {
		p.in = strings.TrimLeft(p.in, " \t\n;")
		if strings.HasPrefix(p.in, "#") {
			_, p.in, _ = strings.Cut(p.in, "\n")
			continue
		}
		if p.in == "" {
			return commands, nil
		}
		c, err := p.command()
		if err != nil {
			return nil, fmt.Errorf("-e expression #1: %w", err)
		}
		commands = append(commands, c)
	}
}

func (p *sedParser) command() (*sedCommand, error) {
	c := &sedCommand{}
	var err error
	if c.from, err = p.address(); err != nil {
		return nil, err
	}
	if c.from != nil && strings.HasPrefix(p.in, ",") {
		p.in = p.in[1:]
		if c.to, err = p.address(); err != nil {
			return nil, err
		}
		if c.to == nil {
			return nil, errors.New("unexpected `,'")
		}
	}
	p.in = strings.TrimLeft(p.in, " \t")
	for strings.HasPrefix(p.in, "!") {
		c.negated = true
		p.in = strings.TrimLeft(p.in[1:], " \t")
	}
	if p.in == "" {
		return nil, errors.New("missing command")
	}
	c.name, p.in = p.in[0], p.in[1:]
	switch c.name {
	case 'p', 'd', '=':
	case 'q':
		digits := len(p.in) - len(strings.TrimLeft(p.in, "0123456789"))
		c.code, _ = strconv.Atoi(p.in[:digits]) // none: 0
		p.in = p.in[digits:]
	case 's':
		err = p.substitution(c)
	default:
		return nil, fmt.Errorf("the command %q is not modelled", c.name)
	}
	if err != nil {
		return nil, err
	}
	p.in = strings.TrimLeft(p.in, " \t")
	if p.in != "" && p.in[0] != ';' && p.in[0] != '\n' && p.in[0] != '#' {
		return nil, errors.New("extra characters after command")
	}
	return c, nil
}

func (p *sedParser) address() (*sedAddress, error) {
	p.in = strings.TrimLeft(p.in, " \t")
	if p.in == "" {
		return nil, nil
	}
	switch c := p.in[0]; {
	case c == '$':
		p.in = p.in[1:]
		return &sedAddress{last: true}, nil
	case c >= '0' && c <= '9':
		digits := len(p.in) - len(strings.TrimLeft(p.in, "0123456789"))
		n, err := strconv.ParseInt(p.in[:digits], 10, 64)
		p.in = p.in[digits:]
		if err != nil || n == 0 {
			return nil, errors.New("invalid usage of line address 0")
		}
		return &sedAddress{line: n}, nil
	case c == '\\' && len(p.in) > 1:
		p.in = p.in[1:]
	case c != '/':
		return nil, nil
	}
	text, err := p.delimited(p.in[0], true)
	if err != nil {
		return nil, err
	}
	re, err := p.regular(text, false)
	if err != nil {
		return nil, err
	}
	return &sedAddress{expression: re}, nil
}

func (p *sedParser) regular(text string, ignoreCase bool) (*regexp.Regexp, error) {
	if text == "" {
		return nil, errors.New("the empty regular expression is not modelled")
	}
	return compile(text, p.extended, ignoreCase)
}

// delimited takes what is between the delimiter, with which p.in begins, and its
// next occurrence, which stays when more is to follow. An escaped delimiter stands
// for itself.
func (p *sedParser) delimited(delimiter byte, closes bool) (string, error) {
	var b strings.Builder
	bracket := false
	for i := 1; i < len(p.in); i++ {
		c := p.in[i]
		switch {
		case c == delimiter && !bracket:
			if p.in = p.in[i:]; closes {
				p.in = p.in[1:]
			}
			return b.String(), nil
		case c == '\\' && !bracket && i+1 < len(p.in):
			i++
			if p.in[i] != delimiter {
				b.WriteByte('\\')
			}
			b.WriteByte(p.in[i])
			continue
		case c == '[' && !bracket && closes:
			bracket = true
			b.WriteByte(c)
			for _, literal := range []string{"^", "]"} { // a ] in first place is a character
				if strings.HasPrefix(p.in[i+1:], literal) {
					b.WriteString(literal)
					i++
				}
			}
			continue
		case c == ']':
			bracket = false
		}
		b.WriteByte(c)
	}
	return "", errors.New("unterminated address regex or `s' command")
}

func (p *sedParser) substitution(c *sedCommand) error {
	if p.in == "" || p.in[0] == '\n' || p.in[0] == '\\' {
		return errors.New("unterminated `s' command")
	}
	delimiter := p.in[0]
	text, err := p.delimited(delimiter, true)
	if err != nil {
		return err
	}
	p.in = string(delimiter) + p.in
	replacement, err := p.replacementText(delimiter)
	if err != nil {
		return err
	}
	ignoreCase := false
	for p.in != "" && strings.IndexByte(" \t;\n#}", p.in[0]) < 0 {
		switch flag := p.in[0]; {
		case flag == 'g':
			c.global = true
		case flag == 'p':
			c.print = true
		case flag == 'I' || flag == 'i':
			ignoreCase = true
		case flag >= '1' && flag <= '9' && c.nth == 0:
			c.nth = int(flag - '0')
		default:
			return fmt.Errorf("unknown option to `s': %q", flag)
		}
		p.in = p.in[1:]
	}
	if c.expression, err = p.regular(text, ignoreCase); err != nil {
		return err
	}
	c.replacement = parts(replacement)
	for _, part := range c.replacement {
		if part.group > c.expression.NumSubexp() {
			return fmt.Errorf("invalid reference \\%d on `s' command's RHS", part.group)
		}
	}
	return nil
}

// replacementText takes the replacement, with escapes other than that of the
// delimiter left in.
func (p *sedParser) replacementText(delimiter byte) (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.in); i++ {
		switch c := p.in[i]; {
		case c == delimiter:
			p.in = p.in[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(p.in):
			i++
			if p.in[i] != delimiter || delimiter == '&' {
				b.WriteByte('\\')
			}
			b.WriteByte(p.in[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("unterminated `s' command")
}

func parts(replacement string) []sedPart {
	var all []sedPart
	var text strings.Builder
	group := func(n int) {
		all = append(all, sedPart{text: text.String(), group: -1}, sedPart{group: n})
		text.Reset()
	}
	for i := 0; i < len(replacement); i++ {
		switch c := replacement[i]; {
		case c == '&':
			group(0)
		case c == '\\' && i+1 < len(replacement):
			i++
			switch c := replacement[i]; {
			case c >= '0' && c <= '9':
				group(int(c - '0'))
			case c == 'n':
				text.WriteByte('\n')
			case c == 't':
				text.WriteByte('\t')
			default:
				text.WriteByte(c)
			}
		default:
			text.WriteByte(c)
		}
	}
	return append(all, sedPart{text: text.String(), group: -1})
}
