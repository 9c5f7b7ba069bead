package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/lab/bench"
)

func benchCommand() *cobra.Command {
	o := bench.Options{}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure kup plan on a large cluster: real etcd and kube-apiserver, hollow hosts",
		Long: `Starts three members of etcd and a kube-apiserver as processes on addresses of the
loopback network, fills them as a kubeadm cluster of that size is, starts a hollow
host with an SSH server for every node, and runs kup plan. Prints what it took and
ends with exit code 0 only when every limit was kept. Needs no root and no container.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Self, err = os.Executable(); err != nil {
				return err
			}
			if o.Kup, err = filepath.Abs(o.Kup); err != nil {
				return err
			}
			if _, err := os.Stat(o.Kup); err != nil {
				return fmt.Errorf("kup under test: %w; build it with make build, or name it with --kup", err)
			}
			o.MeasureArgs = func(output string, argv []string) []string {
				return append([]string{"bench", "measure", "--output", output, "--"}, argv...)
			}
			o.PartsArgs = func(dir, to, profile string) []string {
				return []string{"bench", "parts", "--dir", dir, "--to", to, "--profile", profile}
			}
			if o.Profile != "" {
				if o.Profile, err = filepath.Abs(o.Profile); err != nil {
					return err
				}
			}
			o.Out, o.Log = c.OutOrStdout(), c.ErrOrStderr()
			return bench.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "nodes", 1000, "nodes, three of them control planes")
	f.IntVar(&o.Pods, "pods", 50000, "pods, all of them running")
	f.StringVar(&o.From, "from", "1.33", "minor or release that the cluster runs")
	f.StringVar(&o.To, "to", "v1.34", "target of the plan")
	f.StringVar(&o.Kup, "kup", filepath.Join("bin", "kup"), "kup under test")
	f.BoolVar(&o.Live, "live", false, "every worker answers from its own model, which takes processor time from kup")
	f.DurationVar(&o.Latency, "latency", 0, "how long a host takes to answer a command at least")
	f.BoolVar(&o.NoLimits, "no-limits", false, "print only, whatever was measured")
	f.StringVar(&o.Profile, "profile", "", "directory for processor profiles of the hollow hosts and of a plan's parts")
	f.BoolVar(&o.Hold, "hold", false, "keep the cluster up afterwards, until interrupted")
	c.AddCommand(benchMeasureCommand(), benchPartsCommand())
	return c
}

// benchMeasureCommand is the small process that kup is started by.
func benchMeasureCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:    "measure --output FILE -- COMMAND...",
		Short:  "Run a command and print as JSON what it took",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, argv []string) error {
			return bench.Measure(c.Context(), argv, output, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&output, "output", os.DevNull, "where the command's output goes")
	return c
}

// benchPartsCommand is a plan of which every part is timed.
func benchPartsCommand() *cobra.Command {
	var dir, to, profile string
	c := &cobra.Command{
		Use:    "parts --dir DIR --to VERSION",
		Short:  "Do what kup plan does, and print as JSON what each part took",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.Parts(c.Context(), dir, to, profile, c.OutOrStdout())
		},
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&to, "to", "", "target of the plan")
	c.Flags().StringVar(&profile, "profile", "", "file for a processor profile")
	return c
}
