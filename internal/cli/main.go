package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the Makefile.
var version = "devel"

// system is what the commands know of the process around them.
type system struct {
	in       io.Reader
	out, err io.Writer
	// stop is closed by the first interrupt: end at the next step boundary.
	stop <-chan struct{}
}

// Main runs kup with the given arguments and returns the exit code. The first
// SIGINT or SIGTERM asks the command to end at its next boundary; the second
// cancels what is waiting.
func Main(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stop := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		close(stop)
		io.WriteString(os.Stderr, "\nkup: stopping at the next step boundary; press Ctrl-C again to stop waiting\n") //nolint:errcheck // nothing to do about it
		<-signals
		cancel(errAborted)
	}()
	sys := &system{in: os.Stdin, out: os.Stdout, err: os.Stderr, stop: stop}
	return run(ctx, sys, args)
}

func run(ctx context.Context, sys *system, args []string) int {
	root := newRoot(sys)
	root.SetArgs(args)
	root.SetIn(sys.in)
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	return exit(sys.err, root.ExecuteContext(ctx))
}

// global are the flags every command has.
type global struct {
	file       string
	kubeconfig string
	context    string
	logFormat  string
}

func newRoot(sys *system) *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "kup",
		Short: "Upgrade kubeadm clusters, one minor at a time, without downtime and with a way back",
		Long: `kup upgrades kubeadm clusters one minor version at a time. It reads the cluster
through the API and its hosts over SSH, writes an ordered plan, and executes the
plan step by step with a gate after every step.

Exit status
  0    done
  1    unexpected error
  2    usage or invalid inventory; nothing was touched
  3    preflight found something that blocks; nothing was touched
  4    stopped at a step or gate; kup apply --resume goes on
  5    rolled back
  6    another run holds the cluster
  7    the cluster is no longer the one that was planned for
  130  interrupted; kup apply --resume goes on`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	f := root.PersistentFlags()
	f.StringVarP(&g.file, "file", "f", "", "inventory (default ./kup.yaml where it exists)")
	f.StringVar(&g.kubeconfig, "kubeconfig", "", "kubeconfig (default: the inventory's, $KUBECONFIG, ~/.kube/config)")
	f.StringVar(&g.context, "context", "", "context of the kubeconfig")
	f.StringVar(&g.logFormat, "log-format", "text", "progress as text or json")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{err: err, hint: c.CommandPath() + " --help"}
	})
	root.AddCommand(
		newInit(sys, g),
		newPlan(sys, g),
		newApply(sys, g),
		newStatus(sys, g),
		newVersion(sys),
	)
	return root
}

func newVersion(sys *system) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print kup's version and the catalog it carries",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return printVersion(sys.out) },
	}
}
