package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/kup-project/kup/internal/preflight"
)

// Findings writes what preflight found, blocking findings first, grouped by hop.
// Nothing is written when nothing was found.
func Findings(w io.Writer, findings []preflight.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nPreflight\n")
	for _, f := range findings {
		where := ""
		if f.Hop != "" {
			where = " (hop to " + f.Hop + ")"
		}
		object := ""
		if f.Object != "" {
			object = f.Object + ": "
		}
		fmt.Fprintf(&b, "  %-5s %s%s %s%s\n", strings.ToUpper(string(f.Severity)), f.Rule, where, object, f.Why)
		if f.Fix != "" {
			fmt.Fprintf(&b, "        fix: %s\n", f.Fix)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
