package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/pkg/cluster"
)

type demoOptions struct {
	cluster hollow.Config
	to      string
	smooth  bool
	pause   time.Duration
}

func demoCommand() *cobra.Command {
	o := demoOptions{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Upgrade a modelled cluster over several minors, with faults on the way",
		Long: `demo starts a hollow cluster in this process: SSH, TLS, etcd and kup are real,
what runs on the hosts is modelled and its time runs faster. kup plans, applies,
is disturbed, stops, resumes. Needs no root and no container, and ends with exit
code 0 only when every node is at the target and no request failed meanwhile.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return demonstrate(c.Context(), o, c.OutOrStdout()) },
	}
	f := c.Flags()
	f.IntVar(&o.cluster.ControlPlanes, "control-planes", 3, "control-plane nodes")
	f.IntVar(&o.cluster.Workers, "workers", 5, "worker nodes")
	f.StringVar(&o.cluster.Kubernetes, "kubernetes", "1.31", "minor or release to start with")
	f.Float64Var(&o.cluster.Pace, "pace", 0.005, "how long a modelled second takes")
	f.StringVar(&o.to, "to", "v1.34", "target of the upgrade")
	f.BoolVar(&o.smooth, "smooth", false, "without faults")
	f.DurationVar(&o.pause, "pause", 0, "wait so long before each command, for those who watch")
	return c
}

// demo is one demonstration.
type demo struct {
	o       demoOptions
	out     io.Writer
	cluster *hollow.Cluster
	phases  []phase
	exec    string // this program
}

type phase struct {
	name string
	took time.Duration
}

func demonstrate(ctx context.Context, o demoOptions, out io.Writer) (err error) {
	if !o.smooth && (o.cluster.ControlPlanes < 2 || o.cluster.Workers < 3) {
		return errors.New("the faults strike " + cutHost + " and " + goneHost + ": have that many nodes, or --smooth")
	}
	dir, err := os.MkdirTemp("", "kup-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{o: o, out: out}
	if d.exec, err = os.Executable(); err != nil {
		return err
	}
	o.cluster.Dir, o.cluster.Name = dir, "demo"
	began := time.Now()
	if d.cluster, err = hollow.Start(ctx, o.cluster); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cluster.Close(context.WithoutCancel(ctx))) }()
	d.phases = append(d.phases, phase{"start the cluster", time.Since(began)})
	d.introduce()
	probe, err := d.cluster.StartProbe(ctx)
	if err != nil {
		return err
	}
	runErr := d.run(ctx)
	seen := probe.Stop()
	if runErr != nil {
		return runErr
	}
	return d.conclude(seen, time.Since(began))
}

func (d *demo) introduce() {
	d.say("%d control planes and %d workers at %s, up in %s.", d.o.cluster.ControlPlanes, d.o.cluster.Workers, d.cluster.Version(), round(d.phases[0].took))
	d.say("The hosts are modelled: no container, no root. SSH, TLS, etcd and kup are real.")
	d.say("Time runs %.0f times faster, for hosts, gates and estimates alike.", 1/d.o.cluster.Pace)
}

// run is the story: plan, apply until it stops, resume, look.
func (d *demo) run(ctx context.Context) error {
	if err := d.expect(ctx, 0, "plan", "plan", "--to", d.o.to); err != nil {
		return err
	}
	if d.o.smooth {
		if err := d.expect(ctx, 0, "apply", "apply", "--to", d.o.to, "--yes", "--accept-notices"); err != nil {
			return err
		}
		return d.expect(ctx, 0, "status", "status")
	}
	s := &saboteur{cluster: d.cluster, hop: d.second()}
	d.cluster.OnMutation(s.strike)
	if err := d.expect(ctx, exitStopped, "apply", "apply", "--to", d.o.to, "--yes", "--accept-notices"); err != nil {
		return err
	}
	deeds, err := s.told()
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out)
	d.say("kup stopped and says how to go on. What happened:")
	for _, deed := range deeds {
		d.say("  %s", deed)
	}
	if err := s.repair(); err != nil {
		return err
	}
	d.say("The package repository is back.")
	if err := d.expect(ctx, 0, "resume", "apply", "--resume", "--yes"); err != nil {
		return err
	}
	return d.expect(ctx, 0, "status", "status")
}

// second is the second hop, or the first where there is one only.
func (d *demo) second() cluster.Minor {
	hop := d.cluster.Version().Line().Next()
	if target, err := cluster.ParseMinor(d.o.to); err == nil && hop.Less(target) {
		return hop.Next()
	}
	return hop
}

// exitStopped is kup's "stopped at a step or gate; resumable".
const exitStopped = 4

// expect runs kup as a process of its own, on this terminal, and wants this exit
// code.
func (d *demo) expect(ctx context.Context, code int, name string, args ...string) error {
	fmt.Fprintf(d.out, "\n$ kup %s\n", strings.Join(args, " "))
	select {
	case <-time.After(d.o.pause):
	case <-ctx.Done():
	}
	began := time.Now()
	argv := append([]string{"hollow", "kup", "--dir", d.cluster.Dir(), "--pace", fmt.Sprint(d.o.cluster.Pace), "--"}, args...)
	cmd := exec.CommandContext(ctx, d.exec, argv...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	d.phases = append(d.phases, phase{"kup " + name, time.Since(began)})
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return fmt.Errorf("kup %s: %w", name, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("kup %s: exit code %d, want %d", name, got, code)
	}
	return nil
}

// conclude judges by the hosts and by what the probe saw, not by what kup said.
func (d *demo) conclude(seen hollow.ProbeResult, took time.Duration) error {
	facts, err := d.cluster.Facts()
	if err != nil {
		return err
	}
	target, err := cluster.ParseMinor(d.o.to)
	if err != nil {
		return err
	}
	var wrong []string
	for _, h := range facts.Hosts {
		wrong = append(wrong, h.Lacks(target)...)
	}
	if seen.Failed > 0 {
		wrong = append(wrong, fmt.Sprintf("%d API requests failed, the last with: %s", seen.Failed, seen.LastError))
	}
	if seen.LeastReady < 1 {
		wrong = append(wrong, "the web Service had no ready pod for a while")
	}
	fmt.Fprintln(d.out)
	for _, h := range facts.Hosts {
		d.say("%s", strings.TrimSpace(fmt.Sprintf("%-5s kubelet %s %s", h.Name, h.Kubelet, h.Components())))
	}
	d.say("API, asked all the time: %d requests, %d failed, %d answered at the second try", seen.Requests, seen.Failed, seen.Second)
	d.say("web: never fewer than %d of 3 pods ready", seen.LeastReady)
	d.times(took)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

func (d *demo) times(total time.Duration) {
	var parts []string
	for _, p := range d.phases {
		parts = append(parts, fmt.Sprintf("%s %s", p.name, round(p.took)))
	}
	d.say("%s", strings.Join(parts, " · "))
	d.say("in all %s", round(total))
}

// say is the demo's own voice.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "demo: "+format+"\n", args...)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
