package step

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs (go test -update writes it anew)\n--- want\n%s\n--- got\n%s", path, want, got)
	}
}

// fakeHost answers commands by a function and keeps what it was asked.
type fakeHost struct {
	name   string
	answer func(argv []string) (string, error)

	mu    sync.Mutex
	asked [][]string
}

var _ remote.Host = (*fakeHost)(nil)

func (h *fakeHost) String() string { return h.name }

func (h *fakeHost) Run(_ context.Context, c remote.Command) (remote.Result, error) {
	h.mu.Lock()
	h.asked = append(h.asked, c.Argv)
	h.mu.Unlock()
	if !c.Sudo {
		return remote.Result{}, errors.New("not as root")
	}
	if h.answer == nil {
		return remote.Result{}, nil
	}
	out, err := h.answer(c.Argv)
	return remote.Result{Stdout: []byte(out)}, err
}

func (h *fakeHost) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

func (h *fakeHost) WriteFile(context.Context, string, []byte, fs.FileMode) error {
	return errors.New("steps write no files over a connection")
}

func exit(code int, stderr string) error {
	return &remote.ExitError{Host: "cp-1", Argv: []string{"sh", "-euc", "a long\nscript"}, Code: code, Stderr: []byte(stderr)}
}

// fakeExecutor starts executions on the host at once.
type fakeExecutor struct {
	mu     sync.Mutex
	ran    []plan.Execution
	limits []time.Duration // of ran
	states map[string]ExecutionState
}

func (e *fakeExecutor) Run(ctx context.Context, h remote.Host, x plan.Execution, c remote.Command, progress func(string)) (remote.Result, error) {
	e.mu.Lock()
	e.ran, e.limits = append(e.ran, x), append(e.limits, c.Timeout)
	e.mu.Unlock()
	progress("working")
	return h.Run(ctx, c)
}

func (e *fakeExecutor) State(_ context.Context, _ remote.Host, x plan.Execution) (ExecutionState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.states[x.String()], nil
}

type fakeHosts map[string]remote.Host

func (h fakeHosts) Host(node string) (remote.Host, error) {
	if host, ok := h[node]; ok {
		return host, nil
	}
	return nil, fmt.Errorf("node %s is not in the inventory", node)
}

type fakeArtefacts struct {
	dir string
	mu  sync.Mutex
	all []Artefact
	err error
}

func (a *fakeArtefacts) Dir() string { return a.dir }

func (a *fakeArtefacts) Put(_ context.Context, x Artefact) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.all = append(a.all, x)
	}
	return a.err
}

func (a *fakeArtefacts) Get(hop, name, node string) (Artefact, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.all {
		if x.Hop == hop && x.Name == name && x.Node == node {
			return x, true
		}
	}
	return Artefact{}, false
}

type fakeObserver struct {
	mu    sync.Mutex
	notes []string
	spent []string
}

func (o *fakeObserver) Note(step, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notes = append(o.notes, step+": "+text)
}

func (o *fakeObserver) Spent(kind string, _, _ time.Time) { o.spent = append(o.spent, kind) }

// world is everything a runner needs, faked, with one host cp-1.
type world struct {
	Deps
	host      *fakeHost
	executor  *fakeExecutor
	artefacts *fakeArtefacts
	observer  *fakeObserver
	attempts  map[string]plan.Execution
}

func newWorld(t *testing.T, answer func(argv []string) (string, error)) *world {
	w := &world{
		host:      &fakeHost{name: "cp-1", answer: answer},
		executor:  &fakeExecutor{states: map[string]ExecutionState{}},
		artefacts: &fakeArtefacts{dir: t.TempDir()},
		observer:  &fakeObserver{},
		attempts:  map[string]plan.Execution{},
	}
	w.Deps = Deps{
		Hosts: fakeHosts{"cp-1": w.host}, Executor: w.executor, Artefacts: w.artefacts, Observer: w.observer,
		Last: func(step string) (plan.Execution, bool) { x, ok := w.attempts[step]; return x, ok },
	}
	return w
}

func (w *world) runner(k plan.Kind) Runner { return New(w.Deps)[k] }

// attempt makes x the last attempt at the step, in the given state on the host.
func (w *world) attempt(x plan.Execution, st ExecutionState) {
	w.attempts[x.Step] = x
	w.executor.states[x.String()] = st
}

// shown gives argv lists for a golden file, a script by its own golden file's name.
func shown(argvs [][]string) string {
	var b strings.Builder
	for _, argv := range argvs {
		if len(argv) > 2 && argv[0] == "sh" {
			fmt.Fprintf(&b, "sh -euc %s", scriptName(argv[2]))
			for _, a := range argv[3:] {
				fmt.Fprintf(&b, " %q", a)
			}
			b.WriteByte('\n')
			continue
		}
		fmt.Fprintln(&b, remote.Display(argv))
	}
	return b.String()
}

// scriptName names the last of a script's parts.
func scriptName(text string) string {
	entries, _ := scripts.ReadDir("scripts")
	for _, e := range entries {
		b, _ := scripts.ReadFile("scripts/" + e.Name())
		if strings.HasSuffix(text, string(b)) {
			return e.Name()
		}
	}
	return remote.Quote([]string{text})
}

// shell runs scripts for real in a directory of its own, where every program
// with an effect is a recording stand-in.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

// newShell takes the stand-ins as shell text by name; each finds its state under
// $STATE and its calls are recorded before it runs.
func newShell(t *testing.T, programs map[string]string) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir()}
	bin := filepath.Join(s.dir, "bin")
	for _, d := range []string{bin, s.path("state"), s.path("tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range programs {
		s.program(name, text)
	}
	s.env = []string{"PATH=" + bin + ":/usr/bin:/bin", "STATE=" + s.path("state"), "TMPDIR=" + s.path("tmp"), fmt.Sprintf("UNITPID=%d", os.Getpid())}
	return s
}

// program makes a stand-in.
func (s *shell) program(name, text string) {
	s.t.Helper()
	record := fmt.Sprintf("#!/bin/sh\n[ \"${0##*/}\" = sync ] || printf '%%s\\n' \"%s $*\" >>\"$STATE/calls\"\n", name)
	if err := os.WriteFile(s.path("bin", name), []byte(record+text+"\n"), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *shell) write(path, content string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(path)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(path), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) read(path string) string {
	b, err := os.ReadFile(s.path(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(b)
}

// run gives stdout, stderr and the exit code. Calls recorded before are forgotten.
func (s *shell) run(argv []string, env ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	_ = os.Remove(s.path("state", "calls"))
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = s.dir
	c.Env = append(append([]string{}, s.env...), env...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// calls are the recorded calls, without the stand-ins that only answer.
func (s *shell) calls(without ...string) string {
	var out []string
next:
	for line := range strings.Lines(s.read("state/calls")) {
		for _, w := range without {
			if strings.HasPrefix(line, w) {
				continue next
			}
		}
		out = append(out, strings.ReplaceAll(line, s.dir, "DIR"))
	}
	return strings.Join(out, "")
}
