package preflight

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

const reference = "../../docs/rules.md"

// TestEveryRuleHasAPage: explain must never have less to say than a finding.
func TestEveryRuleHasAPage(t *testing.T) {
	known := map[string]bool{}
	for _, r := range Rules() {
		known["pages/"+r.ID+".md"] = true
		page, ok := r.Page()
		if !ok {
			t.Errorf("%s has no page: write internal/preflight/pages/%s.md", r.ID, r.ID)
			continue
		}
		if title, _, _ := strings.Cut(page, "\n"); title != "# "+r.ID+": "+r.Title {
			t.Errorf("%s: the page's title is %q, want %q", r.ID, title, "# "+r.ID+": "+r.Title)
		}
		rest := page
		for _, section := range []string{"## Why", "## What kup looks at", "## How to fix", "## Source"} {
			_, after, ok := strings.Cut(rest, "\n"+section+"\n\n")
			if body, _, _ := strings.Cut(after, "\n## "); !ok || strings.TrimSpace(body) == "" {
				t.Errorf("%s: the page has no section %q in its place, with an empty line and a text below it", r.ID, section)
				break
			}
			rest = after
		}
		if lines := strings.Count(page, "\n"); lines > 60 || !strings.HasSuffix(page, "\n") || strings.HasSuffix(page, "\n\n") {
			t.Errorf("%s: the page has %d lines, or does not end with one line break", r.ID, lines)
		}
	}
	files, err := fs.Glob(pages, "pages/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f] {
			t.Errorf("%s is the page of no rule", f)
		}
	}
}

func TestFindAndNearest(t *testing.T) {
	for _, tc := range []struct{ id, found, nearest string }{
		{"KUP-040", "KUP-040", "KUP-040"},
		{"kup-40", "KUP-040", "KUP-040"},
		{" 40 ", "KUP-040", "KUP-040"},
		{"KUP-004", "", "KUP-003"},
		{"KUP-019", "", "KUP-020"},
		{"etcd", "", ""},
		{"-1", "", ""},
	} {
		r, ok := Find(tc.id)
		if r.ID != tc.found || ok != (tc.found != "") || Nearest(tc.id) != tc.nearest {
			t.Errorf("%q: found %q, nearest %q", tc.id, r.ID, Nearest(tc.id))
		}
	}
}

// TestReference keeps docs/rules.md what the table and the pages say.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from the rules and internal/preflight/pages by TestReference; do not edit. -->\n\n# Preflight rules\n\n" +
		"What kup checks before the first step, for every hop of the path. A finding that blocks keeps a run from\n" +
		"starting (exit status 3); one that warns is shown; `kup explain KUP-nnn` prints the page of a rule. A block that\n" +
		"you take the blame for is let through by `--accept KUP-nnn=reason`. What could not be observed is not judged, and\n" +
		"the plan says so.\n\n| rule | usually | what must hold |\n| --- | --- | --- |\n")
	for _, r := range Rules() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.ID, strings.ToLower(r.ID), plural[r.Severity], r.Title)
	}
	for _, r := range Rules() {
		page, _ := r.Page()
		_, body, _ := strings.Cut(page, "\n")
		fmt.Fprintf(&b, "\n<a id=%q></a>\n\n## %s: %s\n%s", strings.ToLower(r.ID), r.ID, r.Title, strings.ReplaceAll(body, "\n## ", "\n### "))
	}
	if *update {
		if err := os.WriteFile(reference, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s is not what the rules and their pages say: go test ./internal/preflight -run TestReference -update", reference)
	}
}

var plural = map[Severity]string{Block: "blocks", Warn: "warns", Info: "informs"}
