package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/preflight"
)

func newExplain(sys *system) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [KUP-nnn]",
		Short: "Say what a rule of preflight checks, why, and how to mend what it found",
		Long: `explain prints the page of a rule: why it is there, what kup looks at, how to mend
what it found, and the source it enforces. Without a rule it lists all of them. It
asks nobody: neither cluster nor inventory are needed.`,
		Example: `  kup explain
  kup explain KUP-040`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listRules(sys.out)
			}
			return explainRule(sys.out, args[0])
		},
	}
}

func listRules(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range preflight.Rules() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.ID, r.Severity, r.Title)
	}
	return t.Flush()
}

func explainRule(w io.Writer, id string) error {
	r, ok := preflight.Find(id)
	if !ok {
		return unknownRule(id)
	}
	page, ok := r.Page()
	if !ok { // a test demands one of every rule
		page = fmt.Sprintf("# %s: %s\n\n## Source\n\n%s\n", r.ID, r.Title, r.Source)
	}
	_, err := io.WriteString(w, page)
	return err
}

// unknownRule names the rule that may have been meant.
func unknownRule(id string) error {
	hint := "kup explain lists the rules"
	if near := preflight.Nearest(id); near != "" {
		hint = fmt.Sprintf("did you mean %s? kup explain lists the rules", near)
	}
	return &usageError{err: fmt.Errorf("%q is not a rule", id), hint: hint}
}
