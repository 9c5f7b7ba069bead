package shell

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// compile translates a POSIX regular expression, basic or extended, with GNU's
// additions. The match is the leftmost longest, as POSIX wants. Back-references
// in the expression itself are refused.
func compile(expression string, extended, ignoreCase bool) (*regexp.Regexp, error) {
	t := translation{in: expression, extended: extended}
	text, err := t.translate()
	if err != nil {
		return nil, err
	}
	if ignoreCase {
		text = "(?i)" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression %q: %w", expression, err)
	}
	re.Longest()
	return re, nil
}

// translation is a regular expression on its way into Go's syntax.
type translation struct {
	in       string
	at       int
	extended bool

	parts  []string // of the current group: finished alternatives and atoms
	groups [][]string
	repeat bool // the last part has a repetition already
}

// errBackReference is for what Go's expressions cannot do.
var errBackReference = errors.New("back-references in regular expressions are not modelled")

func (t *translation) translate() (string, error) {
	for t.at < len(t.in) {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	if len(t.groups) > 0 {
		return "", errors.New("Unmatched ( or \\(") //nolint:staticcheck // as the C library says it
	}
	return strings.Join(t.parts, ""), nil
}

// next translates one element. Special characters are written with a backslash in
// basic expressions where they are written without in extended ones.
func (t *translation) next() error {
	c := t.in[t.at]
	t.at++
	special := t.extended
	if c == '\\' {
		if t.at == len(t.in) {
			return errors.New("Trailing backslash") //nolint:staticcheck // as the C library says it
		}
		c = t.in[t.at]
		t.at++
		if !strings.ContainsRune("(){}|+?", rune(c)) {
			return t.escaped(c)
		}
		special = !t.extended
	}
	switch c {
	case '(', ')', '|', '{', '}', '+', '?':
		if special {
			return t.special(c)
		}
		t.add(regexp.QuoteMeta(string(c)))
	case '*':
		if t.atStart() {
			t.add(`\*`)
			return nil
		}
		t.repetition("*")
	case '.':
		t.add(`(?s:.)`)
	case '[':
		return t.bracket()
	case '^':
		if t.extended || t.atStart() {
			t.add(`^`)
			return nil
		}
		t.add(`\^`)
	case '$':
		if t.extended || t.atEnd() {
			t.add(`$`)
			return nil
		}
		t.add(`\$`)
	default:
		t.at--
		t.literal()
	}
	return nil
}

// literal takes one character, which may have several bytes.
func (t *translation) literal() {
	for i := range t.in[t.at:] {
		if i > 0 {
			t.add(regexp.QuoteMeta(t.in[t.at : t.at+i]))
			t.at += i
			return
		}
	}
	t.add(regexp.QuoteMeta(t.in[t.at:]))
	t.at = len(t.in)
}

func (t *translation) escaped(c byte) error {
	switch {
	case c >= '1' && c <= '9':
		return errBackReference
	case c == 'n':
		t.add(`\n`)
	case c == 't':
		t.add(`\t`)
	case strings.IndexByte("wWsS", c) >= 0:
		t.add(`\` + string(c))
	case c == '<' || c == '>' || c == 'b':
		t.add(`\b`)
	case c == 'B':
		t.add(`\B`)
	default:
		t.add(regexp.QuoteMeta(string(c)))
	}
	return nil
}

func (t *translation) special(c byte) error {
	switch c {
	case '(':
		t.groups = append(t.groups, t.parts)
		t.parts, t.repeat = nil, false
	case ')':
		if len(t.groups) == 0 {
			if t.extended {
				t.add(`\)`)
				return nil
			}
			return errors.New("Unmatched ) or \\)") //nolint:staticcheck // as the C library says it
		}
		group := "(" + strings.Join(t.parts, "") + ")"
		t.parts = t.groups[len(t.groups)-1]
		t.groups = t.groups[:len(t.groups)-1]
		t.add(group)
	case '|':
		t.add("|")
	case '{':
		return t.interval()
	case '}':
		t.add(`\}`)
	default:
		if t.atStart() {
			t.add(regexp.QuoteMeta(string(c)))
			return nil
		}
		t.repetition(string(c))
	}
	return nil
}

// interval takes {N}, {N,} or {N,M}.
func (t *translation) interval() error {
	end := "}"
	if !t.extended {
		end = `\}`
	}
	body, _, closed := strings.Cut(t.in[t.at:], end)
	first, last, _ := strings.Cut(body, ",")
	if !closed || t.atStart() || first == "" && last == "" || strings.Trim(first+last, "0123456789") != "" {
		if t.extended {
			t.add(`\{`)
			return nil
		}
		return errors.New("Invalid content of \\{\\}") //nolint:staticcheck // as the C library says it
	}
	t.at += len(body) + len(end)
	if first == "" {
		body = "0" + body
	}
	t.repetition("{" + body + "}")
	return nil
}

// bracket takes a bracket expression, in which a backslash is a character.
func (t *translation) bracket() error {
	var b strings.Builder
	b.WriteString("[")
	if strings.HasPrefix(t.in[t.at:], "^") {
		b.WriteString("^")
		t.at++
	}
	for first := true; ; first = false {
		rest := t.in[t.at:]
		switch {
		case rest == "":
			return errors.New("Unmatched [, [^, [:, [., or [=") //nolint:staticcheck // as the C library says it
		case rest[0] == ']' && !first:
			t.at++
			b.WriteString("]")
			t.add(b.String())
			return nil
		case strings.HasPrefix(rest, "[:"):
			name, _, closed := strings.Cut(rest[2:], ":]")
			if !closed {
				return errors.New("Unmatched [, [^, [:, [., or [=") //nolint:staticcheck // as the C library says it
			}
			b.WriteString("[:" + name + ":]")
			t.at += len(name) + len("[::]")
		case strings.IndexByte(`\[]^&~`, rest[0]) >= 0 || rest[0] == '-' && (first || strings.HasPrefix(rest, "-]")):
			b.WriteString(`\` + rest[:1])
			t.at++
		default:
			b.WriteByte(rest[0])
			t.at++
		}
	}
}

// atStart tells whether nothing has come yet that could be repeated.
func (t *translation) atStart() bool {
	if len(t.parts) == 0 {
		return true
	}
	last := t.parts[len(t.parts)-1]
	return last == "|" || last == "^"
}

// atEnd tells whether a $ is where it is an anchor in a basic expression.
func (t *translation) atEnd() bool {
	rest := t.in[t.at:]
	return rest == "" || strings.HasPrefix(rest, `\)`) || strings.HasPrefix(rest, `\|`)
}

func (t *translation) add(part string) { t.parts, t.repeat = append(t.parts, part), false }

// repetition repeats the last part. One that is repeated already becomes a group:
// a second sign would mean something else to Go.
func (t *translation) repetition(sign string) {
	last := len(t.parts) - 1
	if t.repeat {
		t.parts[last] = "(?:" + t.parts[last] + ")"
	}
	t.parts[last] += sign
	t.repeat = true
}
