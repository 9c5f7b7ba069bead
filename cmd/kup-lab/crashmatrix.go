package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/cli"
	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/internal/lab/matrix"
)

func crashMatrixCommand() *cobra.Command {
	var o matrix.Options
	upgraded := hollow.Config{Name: "matrix"}
	var to string
	var courses, modes []string
	c := &cobra.Command{
		Use:   "crash-matrix",
		Short: "Kill kup around every step of upgrades and rollbacks of hollow clusters, resume, compare",
		Long: `Upgrades a hollow cluster undisturbed, and copies of it with kup killed (SIGKILL)
around every step and resumed until it is through; then the same with rollbacks of
every scope. What the hosts and the API say of the ends must be equal, no command of
weight may have been given twice, and no snapshot or backup made again. Ends with exit
code 0 only then.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			for _, m := range modes {
				if !slices.Contains(matrix.Modes(), matrix.Mode(m)) {
					return fmt.Errorf("mode %q: want some of %v", m, matrix.Modes())
				}
				o.Modes = append(o.Modes, matrix.Mode(m))
			}
			all := matrix.Courses(upgraded, to)
			for _, name := range courses {
				i := slices.IndexFunc(all, func(k matrix.Course) bool { return k.Name == name })
				if i < 0 {
					return fmt.Errorf("course %q: want some of upgrade, rollback-node, rollback-hop and rollback-data", name)
				}
				o.Courses = append(o.Courses, all[i])
			}
			if len(o.Courses) == 0 {
				o.Courses = all
			}
			if len(o.Modes) == 0 {
				o.Modes = matrix.Modes()
			}
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			o.Out = c.OutOrStdout()
			return matrix.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&upgraded.ControlPlanes, "control-planes", 3, "control-plane nodes of the cluster that is upgraded")
	f.IntVar(&upgraded.Workers, "workers", 3, "its worker nodes")
	f.StringVar(&upgraded.Kubernetes, "kubernetes", "1.33", "minor or release it starts with")
	f.Float64Var(&upgraded.Pace, "pace", 0.001, "how long a modelled second takes")
	f.StringVar(&to, "to", "v1.35", "target of the upgrade")
	f.StringSliceVar(&courses, "courses", nil, "what is killed: upgrade, rollback-node, rollback-hop, rollback-data (default: all)")
	f.StringSliceVar(&modes, "modes", nil, "moments to kill at (default: all)")
	f.IntVar(&o.AtOnce, "at-once", 4, "how many copies are at work side by side")
	return c
}

// crashKupCommand is one run of kup in the matrix.
func crashKupCommand() *cobra.Command {
	var dir, mode, past, only string
	var pace float64
	c := &cobra.Command{
		Use:    "crash-kup --dir DIR -- ARGUMENTS...",
		Short:  "Run kup until the next moment to kill it at",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			bomb, err := matrix.NewBomb(matrix.Mode(mode), past, only)
			if err != nil {
				return err
			}
			if err := enter(dir); err != nil {
				return err
			}
			if code := cli.Run(args, cli.Seams{Pace: pace, Journal: bomb.Journal}); code != 0 {
				return &remoteExit{code: code}
			}
			return nil
		},
	}
	dirFlag(c, &dir)
	f := c.Flags()
	f.Float64Var(&pace, "pace", 1, "how long a modelled second takes")
	f.StringVar(&mode, "mode", "", "the moment to be killed at")
	f.StringVar(&past, "past", "", "file of the moments that were")
	f.StringVar(&only, "only", "", "the one step to be killed at")
	return c
}
