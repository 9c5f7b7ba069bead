package inventory

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is what is wrong with an inventory. There is never more than one: the
// first that was found, with what to write instead.
type Error struct {
	File         string
	Line, Column int    // from 1; 0: the file as a whole
	Path         string // nodes[3].role; empty: no single field
	Problem      string
	Fix          string
	cause        error
}

// Error is one line: kup.yaml:12: nodes[3].role: "workr" is not a role; use control-plane, worker or etcd.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Problem)
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Unwrap gives the file system's error where that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// quoted shows a value in an error: on one line and not longer than needed to
// recognise it.
func quoted(s string) string {
	const limit = 60
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// either joins alternatives: a, b or c.
func either(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// nearest picks the known names somebody who wrote got may have meant: those
// it is a beginning of, else the one fewest edits away, if few enough.
func nearest(got string, known []string) []string {
	if len(got) > 64 {
		return nil
	}
	var begun []string
	best, bestAt := "", max(1, min(3, len(got)/2))+1
	for _, k := range known {
		if len(got) >= 3 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(got)) {
			begun = append(begun, k)
		}
		if d := edits(strings.ToLower(got), strings.ToLower(k)); d < bestAt {
			best, bestAt = k, d
		}
	}
	switch {
	case bestAt <= 1:
		return []string{best}
	case len(begun) > 0:
		return begun
	case best != "":
		return []string{best}
	}
	return nil
}

// edits is the Levenshtein distance between two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
