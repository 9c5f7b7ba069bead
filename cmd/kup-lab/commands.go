package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/lab/node"
)

// run executes one command line and returns the exit code: 0 done, 1 failed,
// and for ssh that of the remote command.
func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if remote := (*remoteExit)(nil); errors.As(err, &remote) {
		return remote.code
	}
	fmt.Fprintln(os.Stderr, "kup-lab: "+err.Error())
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kup-lab",
		Short:         "Clusters to try kup on: real ones in containers, modelled ones in this process",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(), downCommand(), statusCommand(), sshCommand(), buildCommand(), dockerStopCommand(), e2eCommand(),
		hollowCommand(), demoCommand(), recordCommand(), crashMatrixCommand(), crashKupCommand(),
		catalogVerifyCommand(), catalogGenerateCommand(), benchCommand())
	return root
}

func specFlags(c *cobra.Command, spec *node.Spec) {
	c.Flags().StringVar(&spec.Kubernetes, "kubernetes", "1.33", "minor or release to start with")
	c.Flags().StringVar(&spec.Etcd, "etcd", "", "etcd to start with, such as 3.5.24 (default: one from which the next hop is safe)")
	c.Flags().StringSliceVar(&spec.Minors, "minors", []string{"1.33", "1.34", "1.35"}, "minors, or releases, to serve as packages and images")
}

func nameFlag(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "name", "dev", "name of the lab")
}

func upCommand() *cobra.Command {
	var spec node.Spec
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring a lab up and wait until every node is Ready",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := node.Up(c.Context(), spec, c.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "export KUBECONFIG=%s\nkup inventory: %s\nssh config:    %s\n", lab.Kubeconfig(), lab.Inventory(), lab.SSHConfig())
			return nil
		},
	}
	nameFlag(c, &spec.Name)
	specFlags(c, &spec)
	c.Flags().IntVar(&spec.ControlPlanes, "control-planes", 3, "control-plane nodes")
	c.Flags().IntVar(&spec.Workers, "workers", 2, "worker nodes")
	c.Flags().IntVar(&spec.ExternalEtcd, "external-etcd", 0, "hosts of an external etcd: 1, 3 or 5 (default: etcd runs on the control planes)")
	c.Flags().BoolVar(&spec.Cleanup, "cleanup", false, "take the lab down again when it fails to come up")
	return c
}

func downCommand() *cobra.Command {
	var name string
	var all, stopDocker bool
	c := &cobra.Command{
		Use:   "down",
		Short: "Remove a lab: containers, network, volumes, directory",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			names := []string{name}
			if all {
				var err error
				if names, err = node.List(); err != nil {
					return err
				}
			}
			for _, name := range names {
				if err := node.Remove(c.Context(), name); err != nil {
					return err
				}
			}
			if !stopDocker {
				return nil
			}
			_, err := node.StopDocker(c.Context())
			return err
		},
	}
	nameFlag(c, &name)
	c.Flags().BoolVar(&all, "all", false, "remove every lab")
	c.Flags().BoolVar(&stopDocker, "stop-docker", false, "also stop the Docker engine, if kup-lab started it")
	return c
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status [NAME]",
		Aliases: []string{"list"},
		Short:   "Show labs and their nodes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			if len(names) == 0 {
				var err error
				if names, err = node.List(); err != nil {
					return err
				}
			}
			for _, name := range names {
				lab, err := node.Open(c.Context(), name)
				if err != nil {
					return err
				}
				if err := printStatus(c.Context(), c.OutOrStdout(), lab); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printStatus(ctx context.Context, out io.Writer, lab *node.Lab) error {
	state := "up"
	if !lab.Ready() {
		state = "incomplete"
	}
	fmt.Fprintf(out, "%s: %s, began with Kubernetes %s, serves %v, API at %s, files in %s\n", lab.Name(), state, lab.Version(), lab.Served(), lab.LoadBalancer(), lab.Dir())
	states, err := lab.ContainerStates(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range slices.Concat(lab.Nodes(), lab.EtcdHosts()) {
		var notes []string
		if n.BehindBastion {
			notes = append(notes, "SSH through the bastion only")
		}
		if n.SudoPassword {
			notes = append(notes, "sudo asks for a password")
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", n.Name, n.Role, n.IP, states[n.Name], strings.Join(notes, ", "))
	}
	return w.Flush()
}

// remoteExit is the exit code of ssh, passed on without a word.
type remoteExit struct{ code int }

func (e *remoteExit) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func sshCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "ssh NODE [-- COMMAND...]",
		Short: "Open a shell on a node, or run a command there, as the user ops",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := node.Open(c.Context(), name)
			if err != nil {
				return err
			}
			ssh := exec.CommandContext(c.Context(), "ssh", append([]string{"-F", lab.SSHConfig()}, args...)...)
			ssh.Stdin, ssh.Stdout, ssh.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
			err = ssh.Run()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
				return &remoteExit{code: exit.ExitCode()}
			}
			return err
		},
	}
	nameFlag(c, &name)
	return c
}

func buildCommand() *cobra.Command {
	var spec node.Spec
	c := &cobra.Command{
		Use:   "build",
		Short: "Build what labs need and start none",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return node.Build(c.Context(), spec, c.ErrOrStderr())
		},
	}
	specFlags(c, &spec)
	return c
}

func dockerStopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docker-stop",
		Short: "Stop the Docker engine if kup-lab started it and no lab is left",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			stopped, err := node.StopDocker(c.Context())
			if err == nil && !stopped {
				fmt.Fprintln(c.ErrOrStderr(), "kup-lab started no Docker engine")
			}
			return err
		},
	}
}
