package shell

import (
	"regexp"
	"strings"
	"testing"
)

func FuzzCompile(f *testing.F) {
	for _, e := range []string{"", "a*", `\(a\)\{1,2\}`, "[]a-z]", "[^]", "[[:alpha:]-]", "a{2}", "(a|b)+?", `\`, "^*", "a**", `\{`, "[a", "é+", "\xff", "(((", ")", "a{1001}", "[[:x:]]", "[z-a]", "+", "|", "[a&&b]"} {
		f.Add(e, "some aaa text", true)
		f.Add(e, "é\xff", false)
	}
	f.Fuzz(func(t *testing.T, expression, text string, extended bool) {
		re, err := compile(expression, extended, false)
		if err != nil {
			return
		}
		re.FindStringIndex(text)
		if regexp.QuoteMeta(expression) == expression && strings.ToValidUTF8(expression, "") == expression && re.MatchString(text) != strings.Contains(text, expression) {
			t.Errorf("%q has no special characters, but matches %q otherwise than as it is", expression, text)
		}
	})
}

func FuzzSed(f *testing.F) {
	for _, s := range []string{"p", "s/a/b/g", "1,/x/d", "$!p", `s|\(a\)|\1\&&|2p`, "/[/]/p", "s/x", "2q5", "#c\np", `\,a,p`, "s/a/b/;;p", "0p", "s/a/\\9/", "s&a&\\&&"} {
		f.Add(s, "a line\nanother")
	}
	f.Fuzz(func(t *testing.T, script, text string) {
		commands, err := parseSed(script, false)
		if err != nil {
			return
		}
		e := newSedEditor(commands, false, new(strings.Builder))
		for i, line := range strings.Split(text, "\n") {
			if err := e.take(line, i > 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.finish(); err != nil {
			t.Fatal(err)
		}
	})
}
