package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/step"
)

// directory is a host whose root is a directory of this machine: scripts run
// for real, with their absolute paths moved below it.
type directory struct {
	root string
	down bool
	runs int
}

func (d *directory) String() string { return "host " + filepath.Base(d.root) }

func (d *directory) err() error {
	if d.down {
		return &remote.ConnectionError{Host: d.String(), Err: errors.New("no route to host")}
	}
	return nil
}

func (d *directory) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	if err := d.err(); err != nil {
		return remote.Result{}, err
	}
	d.runs++
	argv := make([]string, len(c.Argv))
	for i, a := range c.Argv {
		argv[i] = a
		if strings.HasPrefix(a, "/var/lib/kup") {
			argv[i] = d.root + a
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = c.Stdin
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return remote.Result{}, &remote.ExitError{Host: d.String(), Argv: c.Argv, Code: exit.ExitCode(), Stdout: out, Stderr: exit.Stderr}
	}
	return remote.Result{Stdout: out}, err
}

func (d *directory) ReadFile(_ context.Context, path string) ([]byte, error) {
	return os.ReadFile(d.root + path)
}

func (d *directory) WriteFile(_ context.Context, path string, content []byte, perm fs.FileMode) error {
	if err := d.err(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.root+path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(d.root+path, content, perm)
}

// own makes a run the owner of the host.
func (d *directory) own(t *testing.T, runAndEpoch string) {
	t.Helper()
	if err := os.MkdirAll(d.root+"/var/lib/kup", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, d.root+"/var/lib/kup/owner", runAndEpoch+"\n")
}

type mirrorWorld struct {
	*mirror
	hosts []*directory
	notes []string
}

func newMirrorWorld(t *testing.T, n int) *mirrorWorld {
	t.Helper()
	local := t.TempDir()
	w := &mirrorWorld{}
	var hosts []remote.Host
	for range n {
		d := &directory{root: t.TempDir()}
		d.own(t, "run-1 4")
		w.hosts = append(w.hosts, d)
		hosts = append(hosts, d)
	}
	w.mirror = newMirror("run-1", 4, local, hosts, func(s string) { w.notes = append(w.notes, s) })
	write(t, filepath.Join(local, planFile), "the plan")
	write(t, filepath.Join(local, journal.File), "one\n")
	return w
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// on gives what a host has of a file; empty when it has none.
func (w *mirrorWorld) on(t *testing.T, host int, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.hosts[host].root, "var/lib/kup/run-1", name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func (w *mirrorWorld) grow(t *testing.T, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(w.local, journal.File), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMirrorFollowsTheJournal(t *testing.T) {
	w := newMirrorWorld(t, 3)
	for _, more := range []string{"", "two\n", "three\nfour\n"} {
		w.grow(t, more)
		if err := w.sync(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w.hosts {
		if got := w.on(t, i, journal.File); got != "one\ntwo\nthree\nfour\n" {
			t.Errorf("host %d has %q", i, got)
		}
		if w.on(t, i, planFile) != "the plan" {
			t.Errorf("host %d lacks the plan", i)
		}
		if w.hosts[i].runs != 4 { // the plan, the journal, and twice what was new
			t.Errorf("host %d was asked %d times, want 4", i, w.hosts[i].runs)
		}
	}
}

func TestMirrorHealsWhatAHostLost(t *testing.T) {
	w := newMirrorWorld(t, 2)
	if err := w.sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.hosts[0].root, "var/lib/kup/run-1", journal.File), "on")
	w.hosts[1].down = true
	w.grow(t, "two\n")
	if err := w.sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := w.on(t, 0, journal.File); got != "one\ntwo\n" {
		t.Errorf("the torn copy is %q", got)
	}
	if len(w.notes) != 1 || !strings.Contains(w.notes[0], "no route to host") {
		t.Errorf("notes %q", w.notes)
	}
	w.hosts[1].down = false
	if err := w.sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := w.on(t, 1, journal.File); got != "one\ntwo\n" {
		t.Errorf("the host that was away has %q", got)
	}
}

func TestMirrorWithNobodyReachedStops(t *testing.T) {
	w := newMirrorWorld(t, 2)
	for _, h := range w.hosts {
		h.down = true
	}
	if err := w.sync(t.Context(), nil); err == nil {
		t.Error("the run would go on although nobody could take it over")
	}
}

func TestMirrorKeepsSnapshotsOnTwo(t *testing.T) {
	w := newMirrorWorld(t, 3)
	w.hosts[0].down = true
	file := filepath.Join(w.local, "etcd-1.34.db")
	write(t, file, "store")
	a := journal.Artefact{Name: step.ArtefactSnapshot, Hop: "1.34", Path: file, Digest: digest([]byte("store"))}
	for range 2 {
		if err := w.sync(t.Context(), []journal.Artefact{a}); err != nil {
			t.Fatal(err)
		}
	}
	if w.on(t, 0, "etcd-1.34.db") != "" || w.on(t, 1, "etcd-1.34.db") != "store" || w.on(t, 2, "etcd-1.34.db") != "store" {
		t.Error("the snapshot is not on the two hosts that are up")
	}
	// Another process that goes on looks first, and sends nothing that is there; a
	// machine that never had the file makes do with what is there.
	again := newMirror("run-1", 4, w.local, []remote.Host{w.hosts[1], w.hosts[2]}, func(s string) { t.Error(s) })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := again.sync(t.Context(), []journal.Artefact{a}); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(w.hosts[1].root, "var/lib/kup/run-1/etcd-1.34.db"), "spoilt")
	write(t, filepath.Join(w.hosts[2].root, "var/lib/kup/run-1/etcd-1.34.db"), "spoilt")
	again.kept = map[string]bool{}
	if again.sync(t.Context(), []journal.Artefact{a}) == nil || again.anyHas(t.Context(), a) {
		t.Error("no whole copy is left anywhere, and the run goes on")
	}
}

// Without its baselines a run cannot be gone on with elsewhere.
func TestMirrorKeepsBaselinesEverywhere(t *testing.T) {
	w := newMirrorWorld(t, 3)
	file := filepath.Join(w.local, "baseline-1.34.json")
	write(t, file, "pods")
	a := journal.Artefact{Name: step.ArtefactBaseline, Hop: "1.34", Path: file, Digest: digest([]byte("pods"))}
	for range 2 {
		if err := w.sync(t.Context(), []journal.Artefact{a}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w.hosts {
		if got := w.on(t, i, "baseline-1.34.json"); got != "pods" || w.hosts[i].runs != 3 {
			t.Errorf("host %d has %q after %d commands", i, got, w.hosts[i].runs)
		}
	}
}

// A run that was replaced leaves the copies of its successor alone.
func TestMirrorOfAReplacedRunWritesNothing(t *testing.T) {
	w := newMirrorWorld(t, 2)
	if err := w.sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.hosts[1].own(t, "run-1 5")
	w.grow(t, "two\n")
	err := w.sync(t.Context(), nil)
	fenced := new(detached.FencedError)
	if !errors.As(err, &fenced) || fenced.OwnerEpoch != 5 || fenced.Owner != "run-1" {
		t.Fatalf("%v", err)
	}
	if code, _ := classify(err); code != exitLocked {
		t.Errorf("exit code %d", code)
	}
	late := newMirror("run-1", 4, w.local, []remote.Host{w.hosts[1]}, func(string) {})
	if late.sync(t.Context(), nil) == nil || w.on(t, 1, journal.File) != "one\n" {
		t.Errorf("the successor's journal is %q", w.on(t, 1, journal.File))
	}
}
