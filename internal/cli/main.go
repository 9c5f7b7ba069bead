package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
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
	// seams are empty but in tests.
	seams Seams
}

// Main runs kup with the given arguments and returns the exit code. The first
// SIGINT or SIGTERM asks the command to end at its next boundary; the second
// cancels what is waiting.
func Main(args []string) int {
	tuneMemory()
	return Run(args, Seams{})
}

// Run is Main for tests that take hold of kup at its seams.
func Run(args []string, seams Seams) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	stop, over := make(chan struct{}), make(chan struct{})
	var heeding sync.WaitGroup
	sys := newSystem(seams, stop)
	heeding.Go(func() { heed(sys.err, signals, stop, over, cancel) })
	defer heeding.Wait()
	defer close(over)
	return run(ctx, sys, args)
}

func newSystem(seams Seams, stop <-chan struct{}) *system {
	sys := &system{in: os.Stdin, out: os.Stdout, err: os.Stderr, stop: stop, seams: seams}
	if seams.Stdin != nil {
		sys.in = seams.Stdin
	}
	if seams.Stdout != nil {
		sys.out = seams.Stdout
	}
	if seams.Stderr != nil {
		sys.err = seams.Stderr
	}
	return sys
}

// heed turns the first signal into stop and the second into an abort, until over.
// From then on a signal ends the process, whatever it hangs in.
func heed(w io.Writer, signals chan os.Signal, stop chan<- struct{}, over <-chan struct{}, abort context.CancelCauseFunc) {
	select {
	case <-signals:
	case <-over:
		return
	}
	close(stop)
	io.WriteString(w, "\nkup: interrupted: what runs ends at its next step boundary; press Ctrl-C again to stop waiting\n") //nolint:errcheck // nothing to do about it
	select {
	case <-signals:
	case <-over:
		return
	}
	signal.Stop(signals)
	abort(errAborted)
}

func run(ctx context.Context, sys *system, args []string) int {
	root := newRoot(sys)
	root.SetArgs(args)
	root.SetIn(sys.in)
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	began := false
	watch(root, &began)
	c, err := root.ExecuteContextC(ctx)
	if err != nil && !began && !is[*usageError](err) {
		err = &usageError{err: err, hint: c.CommandPath() + " --help"} // cobra's own errors have no type
	}
	return exit(sys.err, err)
}

// watch notes when a command's own code begins: what went wrong before is cobra's.
func watch(of *cobra.Command, began *bool) {
	for _, c := range of.Commands() {
		watch(c, began)
		body := c.RunE
		if body == nil { // it only groups others
			continue
		}
		c.RunE = func(c *cobra.Command, args []string) error {
			*began = true
			return body(c, args)
		}
	}
}

// untilStop gives a context that ends with the first interrupt, for work that
// has no step boundaries. The function given back must be called.
func (sys *system) untilStop(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-sys.stop:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		waiting.Wait()
	}
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
  1    unexpected error; a snapshot that must not be relied on
  2    usage or invalid inventory; nothing was touched
  3    preflight found something that blocks; nothing was touched
  4    stopped at a step or gate; kup apply --resume goes on, kup rollback takes back
  5    rolled back
  6    another run holds the cluster
  7    the cluster is no longer the one that was planned for
  130  interrupted; kup apply --resume goes on (kup rollback with a rollback)`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if g.logFormat != "text" && g.logFormat != "json" {
				return &usageError{err: fmt.Errorf("log format %q: want text or json", g.logFormat), hint: "--log-format json, for programs"}
			}
			return nil
		},
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
		newExplain(sys),
		newApply(sys, g),
		newRollback(sys, g),
		newStatus(sys, g),
		newHistory(sys, g),
		newSnapshot(sys, g),
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
