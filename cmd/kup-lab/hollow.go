package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/cli"
	"github.com/kup-project/kup/internal/lab/hollow"
)

func hollowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "hollow",
		Short: "Modelled clusters in one process: real SSH, TLS and etcd, modelled hosts",
	}
	c.AddCommand(hollowServeCommand(), hollowFactsCommand(), hollowMutationsCommand(), hollowFaultCommand(), hollowKupCommand())
	return c
}

func dirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "", "directory of the cluster")
	if err := c.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag was defined a line above
	}
}

func hollowServeCommand() *cobra.Command {
	var config hollow.Config
	var from, save string
	c := &cobra.Command{
		Use:   "serve --dir DIR",
		Short: "Bring a hollow cluster up and serve it until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serveHollow(c.Context(), config, from, save, c.OutOrStdout())
		},
	}
	f := c.Flags()
	dirFlag(c, &config.Dir)
	f.StringVar(&config.Name, "name", "", "name of the cluster (default hollow)")
	f.IntVar(&config.ControlPlanes, "control-planes", 3, "control-plane nodes")
	f.IntVar(&config.Workers, "workers", 5, "worker nodes")
	f.StringVar(&config.Kubernetes, "kubernetes", "1.33", "minor or release to start with")
	f.StringVar(&config.Etcd, "etcd", "", "etcd to start with, such as 3.5.33 (default: one from which the next hop is safe)")
	f.StringSliceVar(&config.Minors, "minors", nil, "minors to serve as packages and images (default: all that are known)")
	f.Float64Var(&config.Pace, "pace", 0.02, "how long a modelled second takes")
	f.StringVar(&from, "load", "", "start from what --save wrote there, in place of a new cluster")
	f.StringVar(&save, "save", "", "save the cluster there at the end")
	return c
}

func serveHollow(ctx context.Context, config hollow.Config, from, save string, out io.Writer) (err error) {
	var c *hollow.Cluster
	if from != "" {
		c, err = hollow.Load(ctx, from, config)
	} else {
		c, err = hollow.Start(ctx, config)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Kubernetes %s at %s, time runs %.0f times faster\ncd %s && kup plan --to ...\n", c.Version(), c.Endpoint(), 1/c.Pace(), c.Dir())
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if save != "" {
		err = c.Save(ctx, save)
	}
	return errors.Join(err, c.Close(ctx))
}

func hollowFactsCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "facts --dir DIR",
		Short: "Print what a hollow cluster has become, the same for clusters that are equal",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			facts, err := hollow.Dial(dir).Facts(c.Context())
			if err != nil {
				return err
			}
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(facts)
		},
	}
	dirFlag(c, &dir)
	return c
}

func hollowMutationsCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "mutations --dir DIR",
		Short: "Print every command that changed a host, in order",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := hollow.Dial(dir).Mutations(c.Context())
			if err != nil {
				return err
			}
			enc := json.NewEncoder(c.OutOrStdout())
			for _, m := range log {
				if err := enc.Encode(m); err != nil {
					return err
				}
			}
			return nil
		},
	}
	dirFlag(c, &dir)
	return c
}

func hollowFaultCommand() *cobra.Command {
	var dir string
	var list bool
	c := &cobra.Command{
		Use:   "fault --dir DIR NAME [HOST] [KEY=VALUE...]",
		Short: "Break something in a hollow cluster, or mend it; --list names what",
		RunE: func(c *cobra.Command, args []string) error {
			if list {
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, f := range hollow.Faults() {
					fmt.Fprintf(w, "%s\t%s\n", f.Usage, f.What)
				}
				return w.Flush()
			}
			if dir == "" || len(args) == 0 {
				return errors.New("name a cluster, --dir DIR, and a fault; --list shows them")
			}
			return hollow.Dial(dir).Inject(c.Context(), parseFault(args))
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "directory of the cluster")
	c.Flags().BoolVar(&list, "list", false, "list the faults")
	return c
}

// parseFault reads NAME, HOST and KEY=VALUE in any order after the name.
func parseFault(args []string) hollow.Fault {
	f := hollow.Fault{Name: args[0], Args: map[string]string{}}
	for _, a := range args[1:] {
		if key, value, ok := strings.Cut(a, "="); ok {
			f.Args[key] = value
		} else {
			f.Host = a
		}
	}
	return f
}

func hollowKupCommand() *cobra.Command {
	var dir string
	var pace float64
	c := &cobra.Command{
		Use:   "kup --dir DIR --pace PACE -- ARGUMENTS...",
		Short: "Run kup, in this process, with its own times scaled as the cluster's",
		Long: `Runs kup in the cluster's directory. The times that kup chooses itself, such as
how long a gate must hold, are scaled by the pace, which the kup that is shipped
cannot do. State goes to DIR/state unless XDG_STATE_HOME says otherwise.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := enter(dir); err != nil {
				return err
			}
			if code := cli.Run(args, cli.Seams{Pace: pace}); code != 0 {
				return &remoteExit{code: code}
			}
			return nil
		},
	}
	dirFlag(c, &dir)
	c.Flags().Float64Var(&pace, "pace", 1, "how long a modelled second takes")
	return c
}

// enter makes the cluster's directory the current one, with kup's state in it.
func enter(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if os.Getenv("XDG_STATE_HOME") == "" {
		if err := os.Setenv("XDG_STATE_HOME", filepath.Join(abs, "state")); err != nil {
			return err
		}
	}
	return os.Chdir(abs)
}
