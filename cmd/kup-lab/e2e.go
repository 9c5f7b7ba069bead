package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/lab/e2e"
)

func e2eCommand() *cobra.Command {
	var o e2e.Options
	var list, all bool
	c := &cobra.Command{
		Use:   "e2e [SCENARIO]",
		Short: "Upgrade a real cluster with the real kup and judge the result by asking nodes and API",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case list:
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, s := range e2e.Scenarios() {
					fmt.Fprintf(w, "%s\t%s\n", s.Name, s.Summary)
				}
				return w.Flush()
			case all:
				var errs []error
				for _, s := range e2e.Scenarios() {
					fmt.Fprintf(c.OutOrStdout(), "\n=== %s: %s\n", s.Name, s.Summary)
					errs = append(errs, e2e.Run(c.Context(), s.Name, o, c.OutOrStdout()))
				}
				return errors.Join(errs...)
			case len(args) == 1:
				return e2e.Run(c.Context(), args[0], o, c.OutOrStdout())
			}
			return errors.New("name a scenario; e2e --list shows them")
		},
	}
	f := c.Flags()
	f.BoolVar(&list, "list", false, "list the scenarios")
	f.BoolVar(&all, "all", false, "run every scenario, one after the other")
	f.StringVar(&o.Lab, "lab", "", "name of the lab; one that exists is used as it is (default e2e-SCENARIO)")
	f.BoolVar(&o.KeepLab, "keep", false, "leave the lab up at the end")
	f.StringVar(&o.Kup, "kup", "", "kup binary under test (default: built from the source)")
	f.StringVar(&o.WorkDir, "work-dir", "", "where state, output and plans of the run go (default: a new temporary directory)")
	f.StringVar(&o.From, "from", "", "minor the cluster starts with (default: the scenario's own, most 1.33)")
	return c
}
