package shell

import (
	"fmt"
	"path"
	"strings"
)

// options are the parsed arguments of a program.
type options struct {
	values   map[rune][]string // by the letter of the flag
	operands []string
}

// options parses arguments as getopt_long does. short lists the letters, a colon
// after those that take a value; with a leading + the first operand ends the
// flags. long gives the letters that long flags stand for.
func (p *Process) options(short string, long map[string]rune) (*options, error) {
	o := &options{values: map[rune][]string{}}
	first := strings.HasPrefix(short, "+")
	short = strings.TrimPrefix(short, "+")
	rest := p.Args[1:]
	for len(rest) > 0 {
		word := rest[0]
		rest = rest[1:]
		var err error
		switch {
		case word == "--":
			o.operands = append(o.operands, rest...)
			return o, nil
		case strings.HasPrefix(word, "--"):
			rest, err = o.long(word, rest, short, long)
		case len(word) > 1 && word[0] == '-':
			rest, err = o.short(word[1:], rest, short)
		case first:
			o.operands = append([]string{word}, rest...)
			return o, nil
		default:
			o.operands = append(o.operands, word)
		}
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *options) long(word string, rest []string, short string, long map[string]rune) ([]string, error) {
	name, value, given := strings.Cut(word[2:], "=")
	letter, known := long[name]
	switch {
	case !known:
		return nil, fmt.Errorf("unrecognized option '--%s'", name)
	case !takesValue(letter, short) && given:
		return nil, fmt.Errorf("option '--%s' doesn't allow an argument", name)
	case takesValue(letter, short) && !given && len(rest) == 0:
		return nil, fmt.Errorf("option '--%s' requires an argument", name)
	case takesValue(letter, short) && !given:
		value, rest = rest[0], rest[1:]
	}
	o.values[letter] = append(o.values[letter], value)
	return rest, nil
}

func (o *options) short(letters string, rest []string, short string) ([]string, error) {
	for i, letter := range letters {
		switch {
		case letter == ':' || !strings.ContainsRune(short, letter):
			return nil, fmt.Errorf("invalid option -- '%c'", letter)
		case !takesValue(letter, short):
			o.values[letter] = append(o.values[letter], "")
			continue
		}
		value := letters[i+1:]
		if value == "" {
			if len(rest) == 0 {
				return nil, fmt.Errorf("option requires an argument -- '%c'", letter)
			}
			value, rest = rest[0], rest[1:]
		}
		o.values[letter] = append(o.values[letter], value)
		return rest, nil
	}
	return rest, nil
}

func takesValue(letter rune, short string) bool {
	_, after, found := strings.Cut(short, string(letter))
	return found && strings.HasPrefix(after, ":")
}

func (o *options) has(letter rune) bool { return len(o.values[letter]) > 0 }

// value is the last value of a flag.
func (o *options) value(letter rune) string {
	values := o.values[letter]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// files are the operands, or the standard input when there are none.
func (o *options) files() []string {
	if len(o.operands) == 0 {
		return []string{"-"}
	}
	return o.operands
}

// usage prints what is wrong with the arguments and gives the code.
func (p *Process) usage(code int, err error) int {
	p.Errorf("%v", err)
	return code
}

// missing is an error for operands that are not there.
func (p *Process) missing() int {
	_, _ = fmt.Fprintf(p.Stderr, "%s: missing operand\n", path.Base(p.Args[0]))
	return 1
}
