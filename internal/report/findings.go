package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kup-project/kup/internal/preflight"
)

// shownObjects is how many objects of one rule and hop the text names.
const shownObjects = 5

// Findings writes what preflight found for people: what stands in the way now,
// then hop by hop, blocking findings first. Findings of one rule that differ in
// nothing but the object are one, and of many objects the first are named. Lines
// are wrapped at width; 0: they are not. Nothing is written when nothing was found.
func Findings(w io.Writer, findings []preflight.Finding, width int) error {
	if len(findings) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nPreflight: %s\n", tally(findings))
	for _, s := range byHop(findings) {
		fmt.Fprintf(&b, "\n  %s\n", s.title())
		for _, f := range fold(s.findings) {
			f.write(&b, width)
		}
	}
	fmt.Fprintf(&b, "\n  more about a rule: kup explain %s\n", findings[0].Rule)
	_, err := io.WriteString(w, b.String())
	return err
}

// tally counts by severity: "2 findings block, 1 warns".
func tally(findings []preflight.Finding) string {
	n := map[preflight.Severity]int{}
	for _, f := range findings {
		n[f.Severity]++
	}
	var parts []string
	for _, s := range []struct {
		severity  preflight.Severity
		one, many string
	}{{preflight.Block, "blocks", "block"}, {preflight.Warn, "warns", "warn"}, {preflight.Info, "informs", "inform"}} {
		verb := s.many
		if n[s.severity] == 1 {
			verb = s.one
		}
		switch {
		case n[s.severity] == 0:
		case len(parts) == 0:
			parts = append(parts, count(n[s.severity], "finding")+" "+verb)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n[s.severity], verb))
		}
	}
	return strings.Join(parts, ", ")
}

// section is what was found of one hop; without a hop it stands in the way now.
type section struct {
	hop      string
	findings []preflight.Finding
}

func (s section) title() string {
	if s.hop == "" {
		return "now"
	}
	return "hop to " + s.hop
}

// byHop sorts findings into sections: now first, then the hops in their order.
// Within a section the order stays.
func byHop(findings []preflight.Finding) []section {
	var out []section
	for _, f := range findings {
		i := slices.IndexFunc(out, func(s section) bool { return s.hop == f.Hop })
		if i < 0 {
			i, out = len(out), append(out, section{hop: f.Hop})
		}
		out[i].findings = append(out[i].findings, f)
	}
	slices.SortStableFunc(out, func(a, b section) int { return compareHops(a.hop, b.hop) })
	return out
}

// compareHops orders minors such as 1.9 and 1.34 by number; empty comes first.
func compareHops(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// folded is a finding, the objects that have the same, and how many more of its
// rule are not shown.
type folded struct {
	preflight.Finding
	also []string
	more int
}

func fold(findings []preflight.Finding) []folded {
	var out []folded
	shapes := map[string]int{} // of out
	shown := map[string]int{}  // objects, by rule and severity
	last := map[string]int{}   // of out
	for _, f := range findings {
		rule := f.Rule + string(f.Severity)
		if shown[rule] == shownObjects {
			out[last[rule]].more++
			continue
		}
		shown[rule]++
		s := rule + findingShape(f)
		if i, ok := shapes[s]; ok {
			out[i].also = append(out[i].also, f.Object)
			continue
		}
		shapes[s], last[rule] = len(out), len(out)
		out = append(out, folded{Finding: f})
	}
	return out
}

// findingShape is what a finding says of its object, whichever that is.
func findingShape(f preflight.Finding) string {
	name := f.Object[strings.LastIndexByte(f.Object, ' ')+1:]
	text := f.Why + "\n" + f.Fix + "\n" + f.Accepted
	if name == "" {
		return text
	}
	return strings.ReplaceAll(text, name, "\x00")
}

func (f folded) write(b *strings.Builder, width int) {
	const indent = "          "
	object := ""
	if f.Object != "" {
		object = f.Object + ": "
	}
	wrap(b, fmt.Sprintf("    %-5s %s ", strings.ToUpper(string(f.Severity)), f.Rule), indent, object+f.Why, width)
	if f.Accepted != "" {
		wrap(b, indent, indent, "accepted: "+f.Accepted, width)
	}
	if f.Fix != "" {
		wrap(b, indent, indent+"     ", "fix: "+f.Fix, width)
	}
	if len(f.also) > 0 {
		wrap(b, indent, indent, "the same: "+strings.Join(f.also, ", "), width)
	}
	if f.more > 0 {
		fmt.Fprintf(b, "%sand %d more of %s: kup plan -o json\n", indent, f.more, f.Rule)
	}
}

// wrap writes text with its first line after first and the others after next. A
// word that is longer than a line stays whole; a width of 0 is no bound.
func wrap(b *strings.Builder, first, next, text string, width int) {
	line := first
	empty := true
	for _, word := range strings.Fields(Printable(text)) {
		if !empty && width > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line, empty = next, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(line + "\n")
}
