package preflight

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed pages/*.md
var pages embed.FS

// Find gives the rule of an id as people write it: KUP-040, kup-040, 40.
func Find(id string) (Rule, bool) {
	id = ruleID(id)
	for _, r := range Rules() {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

// ruleID writes an id as the table has it; what is no id stays as it is.
func ruleID(id string) string {
	n, ok := ruleNumber(id)
	if !ok {
		return id
	}
	return fmt.Sprintf("KUP-%03d", n)
}

func ruleNumber(id string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(id)), "KUP-"))
	return n, err == nil && n >= 0
}

// Nearest gives the id of the rule whose number is closest; empty when id has no
// number.
func Nearest(id string) string {
	want, ok := ruleNumber(id)
	if !ok {
		return ""
	}
	best, distance := "", 0
	for _, r := range Rules() {
		n, _ := ruleNumber(r.ID)
		if d := max(n-want, want-n); best == "" || d < distance {
			best, distance = r.ID, d
		}
	}
	return best
}

// Page is what `kup explain` prints of a rule: Markdown with the sections Why,
// What kup looks at, How to fix and Source. False: the rule has none.
func (r Rule) Page() (string, bool) {
	content, err := pages.ReadFile("pages/" + r.ID + ".md")
	return string(content), err == nil
}
