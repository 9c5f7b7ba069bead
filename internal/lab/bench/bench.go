package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/pkg/cluster"
)

// The limits of a plan of 1,000 nodes and 50,000 pods.
const (
	limitWall      = 15 * time.Second
	limitMemory    = 500 << 20
	limitRequests  = 300
	limitPreflight = 2 * time.Second
)

// Options say what is measured.
type Options struct {
	// Nodes, three of them control planes, and Pods of the cluster.
	Nodes, Pods int
	// From is the minor or release that the cluster runs, one that the lab builds.
	From string
	// To is the target of the plan.
	To string
	// Kup is the program under test, Self this program: it starts itself with the
	// arguments of MeasureArgs and PartsArgs.
	Kup, Self string
	// MeasureArgs and PartsArgs make this program call [Measure] and [Parts].
	MeasureArgs func(output string, argv []string) []string
	PartsArgs   func(dir, to, profile string) []string
	// Live: every worker answers from its own model. Otherwise one does, and the others
	// say the same of themselves, so that the models' processor time is not kup's.
	Live bool
	// Latency is how long a host takes to answer a command at least.
	Latency time.Duration
	// NoLimits: print only, do not fail.
	NoLimits bool
	// Profile is a directory for processor profiles of the hollow hosts while kup
	// ran, hosts.pprof, and of a plan's parts, parts.pprof; empty: none.
	Profile string
	// Hold keeps the cluster up afterwards, until interrupted.
	Hold bool
	// Out gets the table, Log what happens.
	Out, Log io.Writer
}

// Result is what was measured.
type Result struct {
	Kup      Usage
	Requests Requests
	Parts    []Part
	// What the run of kup cost the others: the hollow hosts, the API server, etcd.
	Hosts, API, Etcd time.Duration
	// Commands is how many kup ran on all hosts.
	Commands int64
}

// ErrLimit says that a limit was not kept.
var ErrLimit = errors.New("over the limit")

// Run builds the cluster, measures a plan of it, prints the table, and stops all it
// started, whatever happens.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "kup-bench-")
	if err != nil {
		return err
	}
	b := &bench{Options: o, dir: dir}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.up(ctx); err != nil {
		return err
	}
	r, err := b.measure(ctx)
	if err != nil {
		return err
	}
	over := b.print(r)
	if o.Hold {
		fmt.Fprintf(o.Out, "\nThe cluster stays up until interrupted: cd %s && kup plan --to %s\n", dir, o.To)
		<-ctx.Done()
	}
	if over && !o.NoLimits {
		return ErrLimit
	}
	return nil
}

// bench is one run.
type bench struct {
	Options
	dir     string
	layout  *layout
	fleet   *fleet
	servers *servers
}

// up builds the cluster.
func (b *bench) up(ctx context.Context) error {
	if err := b.plan(ctx); err != nil {
		return err
	}
	programs, err := findPrograms(ctx, b.layout, b.Log)
	if err != nil {
		return err
	}
	target, err := cluster.ParseMinor(b.To)
	if err != nil {
		return err
	}
	minor, known := b.layout.known.Minor(target)
	if !known {
		return fmt.Errorf("target %s: the catalog knows nothing of it", b.To)
	}
	var filled *filling
	var client kubernetes.Interface
	kubeconfig := filepath.Join(b.dir, kubeconfigFile)
	steps := []struct {
		what string
		do   func() error
	}{
		{"hosts made", func() (err error) {
			if b.fleet, err = newFleet(b.layout, minor.Seen()); err != nil {
				return err
			}
			b.fleet.latency = b.Latency
			if !b.Live {
				b.fleet.replies = newReplies()
			}
			return nil
		}},
		{"hosts started", func() error { return errors.Join(b.fleet.write(b.dir), b.fleet.run(ctx)) }},
		{"etcd started", func() (err error) { b.servers, err = startEtcd(ctx, b.dir, programs.etcd, b.fleet); return err }},
		{"etcd filled", func() (err error) { filled, err = fill(ctx, b.fleet, b.servers.commit); return err }},
		{"API server ready", func() (err error) {
			client, err = b.servers.startAPI(ctx, programs.kubernetes, b.fleet.hosts[0].machine.FS(), kubeconfig)
			return err
		}},
		{"objects counted through the API", func() error { return b.verify(ctx, client) }},
	}
	for _, s := range steps {
		began := time.Now()
		if err := s.do(); err != nil {
			return err
		}
		fmt.Fprintf(b.Log, "%-32s %6.1f s\n", s.what, time.Since(began).Seconds())
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.Log, "%d objects, %d MiB, in 3 members of etcd %s; kube-apiserver %s\n", filled.writer.objects, filled.writer.bytes.Load()>>20, b.layout.etcd, b.layout.start)
	return nil
}

// plan lays the cluster out.
func (b *bench) plan(ctx context.Context) error {
	known, err := catalog.Load()
	if err != nil {
		return err
	}
	line, err := artifact.Minor(b.From)
	if err != nil {
		return err
	}
	m, err := cluster.ParseMinor(line)
	if err != nil {
		return err
	}
	minor, ok := known.Minor(m)
	if !ok {
		return fmt.Errorf("kubernetes %s: the catalog knows nothing of it", b.From)
	}
	b.layout = &layout{known: known, start: minor.Seen()}
	if v, err := cluster.ParseVersion(b.From); err == nil {
		b.layout.start = v
	}
	if safe := artifact.SafeEtcd(line); safe != "" {
		b.layout.etcd, err = cluster.ParseVersion(safe)
	} else if _, b.layout.etcd, ok = minor.Etcd(b.layout.start); !ok {
		err = fmt.Errorf("which etcd %s comes with is not known", b.layout.start)
	}
	if err != nil {
		return err
	}
	if b.layout.claim, err = member.ClaimCluster(ctx, 0); err != nil {
		return err
	}
	return b.layout.arrange(b.Nodes, b.Pods)
}

// verify asks the API server how much it has: what kup sees must be what is claimed.
func (b *bench) verify(ctx context.Context, client kubernetes.Interface) error {
	one := metav1.ListOptions{Limit: 1}
	nodes, err := client.CoreV1().Nodes().List(ctx, one)
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, one)
	if err != nil {
		return err
	}
	if n := total(len(nodes.Items), nodes.RemainingItemCount); n != b.Nodes {
		return fmt.Errorf("the API server has %d nodes, not %d", n, b.Nodes)
	}
	if n := total(len(pods.Items), pods.RemainingItemCount); n != b.Pods {
		return fmt.Errorf("the API server has %d pods, not %d", n, b.Pods)
	}
	return nil
}

func total(first int, remaining *int64) int {
	if remaining == nil {
		return first
	}
	return first + int(*remaining)
}

// measure runs kup, counts, and times the parts.
func (b *bench) measure(ctx context.Context) (Result, error) {
	var r Result
	before, err := countRequests(b.servers.audit, userAgent)
	if err != nil {
		return r, err
	}
	hosts, commands := ownCPU(), b.fleet.commands.Load()
	api, etcd := b.servers.cpu()
	output := filepath.Join(b.dir, "plan.json")
	argv := []string{b.Kup, "plan", "--to", b.To, "-o", "json", "--file", filepath.Join(b.dir, inventoryFile)}
	fmt.Fprintln(b.Log, "running kup plan")
	uncollected := leaveGarbage()
	err = profiled(b.profile("hosts.pprof"), func() error { return b.self(ctx, b.MeasureArgs(output, argv), &r.Kup) })
	uncollected()
	if err != nil {
		return r, err
	}
	apiAfter, etcdAfter := b.servers.cpu()
	r.Hosts, r.API, r.Etcd = ownCPU()-hosts, apiAfter-api, etcdAfter-etcd
	r.Commands = b.fleet.commands.Load() - commands
	if err := b.accept(r.Kup, output); err != nil {
		return r, errors.Join(err, b.servers.failed())
	}
	if r.Requests, err = countRequests(b.servers.audit, userAgent); err != nil {
		return r, err
	}
	if before.Total > 0 {
		return r, fmt.Errorf("%d requests came from kup before it ran", before.Total)
	}
	fmt.Fprintln(b.Log, "timing the parts of a plan")
	return r, b.self(ctx, b.PartsArgs(b.dir, b.To, b.profile("parts.pprof")), &r.Parts)
}

// modelsMemory is how large this process may grow while a measurement goes on, in bytes.
const modelsMemory = 6 << 30

// leaveGarbage collects what there is of it, and no more until the function it returns
// is called: going through a thousand models of hosts costs seconds of processor time
// that kup would be short of, and a thousand hosts would not take from it.
func leaveGarbage() (undo func()) {
	runtime.GC()
	limit, percent := debug.SetMemoryLimit(modelsMemory), debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// profile is the file of a profile; empty: none is wanted.
func (b *bench) profile(name string) string {
	if b.Profile == "" {
		return ""
	}
	return filepath.Join(b.Profile, name)
}

// userAgent is what package kube calls itself.
const userAgent = "kup"

// self runs this program and reads what it prints.
func (b *bench) self(ctx context.Context, args []string, into any) error {
	cmd := exec.CommandContext(ctx, b.Self, args...)
	// Nothing of the caller's environment may help or harm.
	cmd.Env = []string{"HOME=" + b.dir, "XDG_STATE_HOME=" + filepath.Join(b.dir, "state"), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "NO_COLOR=1"}
	var said, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &told
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * stopGrace
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("kup-lab %s: %w\n%s", args[0], err, told.Bytes())
	}
	if told.Len() > 0 {
		fmt.Fprintf(b.Log, "%s", told.Bytes())
	}
	return json.Unmarshal(said.Bytes(), into)
}

// accept refuses a plan that is none: a kup that stops early is quick.
func (b *bench) accept(u Usage, output string) error {
	content, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	var doc struct {
		Plan *struct {
			Hops  []json.RawMessage `json:"hops"`
			Facts struct {
				Nodes []json.RawMessage `json:"nodes"`
			} `json:"facts"`
		} `json:"plan"`
		Findings  []struct{ Rule, Severity, Object, Why string } `json:"findings"`
		Unchecked []string                                       `json:"unchecked"`
	}
	if err := json.Unmarshal(content, &doc); err != nil {
		return fmt.Errorf("kup plan ended with %d and printed no plan: %w", u.Code, err)
	}
	const most = 10
	for _, f := range doc.Findings[:min(most, len(doc.Findings))] {
		fmt.Fprintf(b.Log, "  found: %s %s %s: %s\n", f.Severity, f.Rule, f.Object, f.Why)
	}
	for _, u := range doc.Unchecked[:min(most, len(doc.Unchecked))] {
		fmt.Fprintf(b.Log, "  not checked: %s\n", u)
	}
	fmt.Fprintf(b.Log, "%d findings, %d things not checked, %d KiB\n", len(doc.Findings), len(doc.Unchecked), len(content)>>10)
	switch {
	case u.Code != 0:
		return fmt.Errorf("kup plan ended with exit code %d", u.Code)
	case doc.Plan == nil || len(doc.Plan.Hops) == 0:
		return errors.New("kup printed no plan")
	case len(doc.Plan.Facts.Nodes) != b.Nodes:
		return fmt.Errorf("the plan is for %d nodes, not %d", len(doc.Plan.Facts.Nodes), b.Nodes)
	}
	return nil
}

// close stops all that runs and removes the directory.
func (b *bench) close() error {
	if b.servers != nil {
		b.servers.close()
	}
	var errs []error
	if b.fleet != nil {
		errs = append(errs, b.fleet.close())
	}
	if b.layout != nil && b.layout.claim != nil {
		errs = append(errs, b.layout.claim.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
