package e2e

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table renders rows in aligned columns, the first row as a heading.
func table(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		var l strings.Builder
		for i, w := range widths {
			cell := ""
			if i < len(cells) {
				cell = cells[i]
			}
			l.WriteString(cell + strings.Repeat(" ", w-utf8.RuneCountInString(cell)) + "  ")
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	for i, r := range rows {
		line(r)
		if i == 0 {
			rule := make([]string, len(widths))
			for j, w := range widths {
				rule[j] = strings.Repeat("-", w)
			}
			line(rule)
		}
	}
	return b.String()
}

// printTable writes a heading and a table.
func (e *env) printTable(title string, rows [][]string) {
	fmt.Fprintf(e.out, "\n%s\n%s", title, table(rows))
}
