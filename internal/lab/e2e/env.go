package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/lab/node"
)

const (
	defaultFrom = "1.33"
	tearDown    = 3 * time.Minute
	// clientQPS is enough for a snapshot of everything not to take minutes.
	clientQPS  = 100
	askTimeout = 15 * time.Second
)

// env is what a scenario works with.
type env struct {
	scenario Scenario
	options  Options
	dir      string
	lab      *node.Lab
	kup      *binary
	config   *rest.Config
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	// from and to are minors such as "1.33"; path is all that lie between, both
	// included.
	from, to string
	path     []string

	out    io.Writer // safe for concurrent use
	since  time.Time
	mu     sync.Mutex // guards failed
	failed []string
}

func newEnv(ctx context.Context, s Scenario, o Options, out io.Writer) (*env, error) {
	e := &env{scenario: s, options: o, out: &lockedWriter{w: out}, since: time.Now()}
	var err error
	if e.dir, err = workDir(o.WorkDir, s.Name); err != nil {
		return nil, err
	}
	e.printf("scenario %s: %s", s.Name, s.Summary)
	e.printf("what the run leaves behind is in %s", e.dir)
	if !s.withoutKup {
		if e.kup, err = newBinary(ctx, e.dir, o.Kup); err != nil {
			return nil, err
		}
	}
	if err := e.openLab(ctx); err != nil {
		return nil, err
	}
	if err := e.connect(); err != nil {
		return nil, e.finish(ctx, err)
	}
	return e, nil
}

func workDir(dir, scenario string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "kup-e2e-"+scenario+"-")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// kup's state of an earlier run would be read as this one's.
	if entries, err := os.ReadDir(abs); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("work directory %s is not empty: give another one with --work-dir", abs)
	}
	return abs, os.MkdirAll(abs, 0o700)
}

func (e *env) openLab(ctx context.Context) error {
	from := cmp.Or(e.options.From, e.scenario.from, defaultFrom)
	var err error
	if e.path, err = minors(from, max(e.scenario.hops, 1)); err != nil {
		return err
	}
	e.from, e.to = from, e.path[len(e.path)-1]
	name := e.options.Lab
	if name == "" {
		name = labOf(e.scenario.Name)
	}
	e.lab, err = node.Open(ctx, name)
	if err == nil {
		e.printf("lab %s exists: used as it is", name)
		return nil
	}
	if !errors.Is(err, node.ErrNotFound) {
		return err
	}
	spec := node.Spec{
		Name: name, ControlPlanes: e.scenario.controlPlanes, Workers: e.scenario.workers,
		ExternalEtcd: e.scenario.externalEtcd, Kubernetes: e.from, Etcd: e.scenario.etcd, Minors: e.path, Cleanup: !e.options.KeepLab,
	}
	if e.options.ControlPlanes > 0 {
		spec.ControlPlanes = e.options.ControlPlanes
	}
	if e.options.Workers > 0 {
		spec.Workers = e.options.Workers
	}
	began := time.Now()
	e.lab, err = node.Up(ctx, spec, prefixed(e.out, "lab | "))
	if err != nil {
		return err
	}
	e.printf("lab %s came up in %s", name, seconds(time.Since(began)))
	return nil
}

// labOf names the lab of a scenario that was told no other.
func labOf(scenario string) string { return "e2e-" + scenario }

// minors lists a minor and so many after it.
func minors(from string, hops int) ([]string, error) {
	var major, m int
	if _, err := fmt.Sscanf(from, "%d.%d", &major, &m); err != nil {
		return nil, fmt.Errorf("minor %q: want a form such as %s", from, defaultFrom)
	}
	out := make([]string, 0, hops+1)
	for i := range hops + 1 {
		out = append(out, fmt.Sprintf("%d.%d", major, m+i))
	}
	return out, nil
}

func (e *env) connect() error {
	var err error
	if e.config, err = clientcmd.BuildConfigFromFlags("", e.lab.Kubeconfig()); err != nil {
		return fmt.Errorf("lab's kubeconfig: %w", err)
	}
	e.config.QPS, e.config.Burst = clientQPS, 2*clientQPS
	e.config.Timeout = askTimeout
	e.config.WarningHandler = rest.NoWarnings{} // of deprecated kinds: all are listed
	if e.client, err = kubernetes.NewForConfig(e.config); err != nil {
		return err
	}
	e.dynamic, err = dynamic.NewForConfig(e.config)
	return err
}

// finish takes the lab down and turns what failed into one error.
func (e *env) finish(ctx context.Context, err error) error {
	if !e.options.KeepLab {
		down, cancel := context.WithTimeout(context.WithoutCancel(ctx), tearDown)
		defer cancel()
		if downErr := e.lab.Down(down); downErr != nil {
			err = errors.Join(err, fmt.Errorf("take the lab down: %w", downErr))
		}
	} else {
		e.printf("lab %s is left up", e.lab.Name())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d assertions failed:\n  - %s", len(e.failed), strings.Join(e.failed, "\n  - ")))
	}
	if err != nil {
		return fmt.Errorf("scenario %s: %w", e.scenario.Name, err)
	}
	fmt.Fprintf(e.out, "scenario %s: all assertions held (%s)\n", e.scenario.Name, seconds(time.Since(e.since)))
	return nil
}

// lockedWriter lets several goroutines write lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// printf writes one stamped line.
func (e *env) printf(format string, args ...any) {
	fmt.Fprintf(e.out, "%7.1fs  %s\n", time.Since(e.since).Seconds(), fmt.Sprintf(format, args...))
}

// check records an assertion: when ok is false the scenario goes on and fails at
// its end with the text. It returns ok.
func (e *env) check(ok bool, format string, args ...any) bool {
	if ok {
		return true
	}
	text := fmt.Sprintf(format, args...)
	e.printf("FAILED: %s", text)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = append(e.failed, text)
	return false
}

// save puts a file into the work directory.
func (e *env) save(name string, data []byte) {
	if err := os.WriteFile(filepath.Join(e.dir, name), data, 0o600); err != nil {
		e.printf("cannot keep %s: %v", name, err)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
