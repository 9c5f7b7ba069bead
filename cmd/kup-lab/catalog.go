package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/verify"
	"github.com/kup-project/kup/pkg/cluster"
)

// minorFlags choose minors of the catalog.
type minorFlags struct{ from, to string }

func (f *minorFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.from, "from", "", "oldest minor (default: the catalog's)")
	c.Flags().StringVar(&f.to, "to", "", "newest minor (default: the catalog's)")
}

func (f *minorFlags) minors() (*catalog.Catalog, []catalog.Minor, error) {
	c, err := catalog.Load()
	if err != nil {
		return nil, nil, err
	}
	var ends [2]cluster.Minor
	for i, text := range []string{f.from, f.to} {
		if text == "" {
			continue
		}
		if ends[i], err = cluster.ParseMinor(text); err != nil {
			return nil, nil, err
		}
	}
	return c, verify.Minors(c, ends[0], ends[1]), nil
}

func catalogVerifyCommand() *cobra.Command {
	var f minorFlags
	c := &cobra.Command{
		Use:   "catalog-verify",
		Short: "Hold the catalog's command lines against kubeadm of every minor",
		Long: `Builds kubeadm of every minor from the Go module proxy, once, and has each parse
every command line that the catalog has for it. Runs nothing but their help. Ends
with exit code 0 only when every flag, subcommand and phase is known.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			known, minors, err := f.minors()
			if err != nil {
				return err
			}
			b, err := verify.NewBuilder(c.ErrOrStderr())
			if err != nil {
				return err
			}
			unknown, err := b.Commands(c.Context(), known, minors, c.OutOrStdout())
			if err == nil && unknown > 0 {
				err = fmt.Errorf("%d command lines of internal/catalog/data/commands.yaml are not kubeadm's", unknown)
			}
			return err
		},
	}
	f.add(c)
	return c
}

func catalogGenerateCommand() *cobra.Command {
	var f minorFlags
	out := filepath.Join("internal", "catalog", "data", "stored.yaml")
	c := &cobra.Command{
		Use:   "catalog-generate",
		Short: "Write the catalog's table of what API servers of every minor can read from etcd",
		Long: `Compiles, for every minor, a program against that minor's own API server packages
from the Go module proxy, runs it, and writes what all of them print as one table.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (f.from != "" || f.to != "") && !c.Flags().Changed("out") {
				return fmt.Errorf("some minors only are no table for %s: say with --out where to write them", out)
			}
			_, minors, err := f.minors()
			if err != nil {
				return err
			}
			b, err := verify.NewBuilder(c.ErrOrStderr())
			if err != nil {
				return err
			}
			text, err := b.Stored(c.Context(), minors)
			if err != nil {
				return err
			}
			return os.WriteFile(out, []byte(text), 0o644)
		},
	}
	f.add(c)
	c.Flags().StringVarP(&out, "out", "o", out, "file to write")
	return c
}
