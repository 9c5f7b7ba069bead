package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
)

const (
	runA = "20260102-030405-aaaaaa"
	runB = "20260102-020000-bbbbbb" // began later on a machine whose clock is behind
)

var (
	begun   = journal.Record{Kind: journal.StepBefore, Step: "1.34/prepare/snapshot", Attempt: 1}
	over    = journal.Record{Kind: journal.StepAfter, Step: "1.34/prepare/snapshot", Attempt: 1, Outcome: journal.Done}
	resumed = journal.Record{Kind: journal.RunResumed, Holder: "bob@b pid 2", Epoch: 2}
	next    = journal.Record{Kind: journal.StepBefore, Step: "1.34/prepare/baseline", Attempt: 1}
)

// put copies a run's directory to a host, as a mirror does.
func put(t *testing.T, h *directory, dir string) {
	t.Helper()
	there := filepath.Join(h.root, "var/lib/kup", filepath.Base(dir))
	if err := os.MkdirAll(there, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{planFile, journal.File} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(there, name), string(content))
	}
}

// goOn appends records to a run's journal.
func goOn(t *testing.T, dir string, records ...journal.Record) {
	t.Helper()
	j, _, err := journal.Open(dir)
	for _, r := range records {
		err = errors.Join(err, j.Append(r))
	}
	if err = errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
}

func newHosts(t *testing.T, n int) ([]*directory, []remote.Host) {
	t.Helper()
	var dirs []*directory
	var hosts []remote.Host
	for range n {
		d := &directory{root: t.TempDir()}
		d.own(t, runA+" 1")
		dirs, hosts = append(dirs, d), append(hosts, d)
	}
	return dirs, hosts
}

func TestFindRunGoesByEpochNotByClock(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	p := testPlan(t)
	dirs, hosts := newHosts(t, 2)
	a := testRun(t, p, runA, begun, over)
	b := testRun(t, p, runB, begun)
	goOn(t, b, resumed)
	put(t, dirs[0], a)
	put(t, dirs[1], b)
	for name, uid := range map[string]string{"with the API": testUID, "over SSH alone": ""} {
		g, err := findRun(t.Context(), uid, shelves(t.Context(), hosts))
		if err != nil || g.id != runB || g.state.Epoch != 2 {
			t.Errorf("%s: %+v %v", name, g, err)
		}
	}
	last, err := lastRun(testUID)
	if err != nil || last.id != runB {
		t.Errorf("on this machine: %+v %v", last, err)
	}
}

// What a host keeps of a cluster that it was in before is not a run of this one.
func TestFindRunPassesOverForeignRuns(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dirs, hosts := newHosts(t, 1)
	put(t, dirs[0], testRun(t, testPlan(t), runA, begun))
	if _, err := findRun(t.Context(), "another-cluster", shelves(t.Context(), hosts)); !errors.Is(err, errNoRun) {
		t.Errorf("%v", err)
	}
}

// trunk is a run of five records, and branch a copy of its first ones, gone on with
// in another way where records are given.
func trunk(t *testing.T) string {
	t.Helper()
	return testRun(t, testPlan(t), runA, begun, over, resumed, next)
}

type branch struct {
	lines int
	then  []journal.Record
}

func (b branch) of(t *testing.T, trunk string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), filepath.Base(trunk))
	if err := os.CopyFS(dir, os.DirFS(trunk)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, journal.File))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, journal.File), strings.Join(strings.SplitAfter(string(content), "\n")[:b.lines], ""))
	goOn(t, dir, b.then...)
	return dir
}

// The copy that begins with all the others wins, wherever it is.
func TestGather(t *testing.T) {
	other := []journal.Record{resumed}
	for name, tt := range map[string]struct {
		local, first, second *branch
		want                 int // records; 0: it is refused
		from                 int // -1: this machine, else the host
	}{
		"only here":               {local: &branch{2, nil}, want: 2, from: -1},
		"only on a host":          {second: &branch{2, nil}, want: 2, from: 1},
		"all the same":            {&branch{3, nil}, &branch{3, nil}, &branch{3, nil}, 3, -1},
		"this machine knows more": {&branch{3, nil}, &branch{2, nil}, nil, 3, -1},
		"a host knows more":       {&branch{2, nil}, &branch{1, nil}, &branch{5, nil}, 5, 1},
		"nothing was begun here":  {&branch{0, nil}, &branch{1, nil}, nil, 1, 0},
		"two ways":                {&branch{3, nil}, &branch{2, other}, nil, 0, 0},
		"two ways among hosts":    {nil, &branch{5, nil}, &branch{2, other}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			whole := trunk(t)
			dirs, hosts := newHosts(t, 2)
			for i, b := range []*branch{tt.first, tt.second} {
				if b != nil {
					put(t, dirs[i], b.of(t, whole))
				}
			}
			var local string
			if tt.local != nil {
				local = tt.local.of(t, whole)
			}
			if err := os.RemoveAll(whole); err != nil {
				t.Fatal(err)
			}
			if local != "" {
				if err := os.CopyFS(whole, os.DirFS(local)); err != nil {
					t.Fatal(err)
				}
			}
			g, err := gather(t.Context(), testUID, runA, shelves(t.Context(), hosts))
			if tt.want == 0 {
				code, hint := classify(err)
				if !is[*forkedError](err) || code != exitUsage || hint == "" {
					t.Errorf("%v: exit code %d, hint %q; want it refused", err, code, hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			from := here
			if tt.from >= 0 {
				from = hosts[tt.from].String()
			}
			if len(g.records) != tt.want || g.where != from {
				t.Errorf("%d records from %s, want %d from %s", len(g.records), g.where, tt.want, from)
			}
		})
	}
}

// A damaged copy is passed over, and told of, as long as another is whole.
func TestGatherPassesOverDamagedCopies(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	whole := trunk(t)
	dirs, hosts := newHosts(t, 2)
	put(t, dirs[0], whole)
	put(t, dirs[1], whole)
	spoil := func(root string) {
		file := filepath.Join(root, journal.File)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, strings.Replace(string(content), "step-before", "step-after", 1))
	}
	spoil(whole)
	spoil(filepath.Join(dirs[0].root, "var/lib/kup", runA))
	all := shelves(t.Context(), hosts)
	g, err := gather(t.Context(), testUID, runA, all)
	if err != nil || g.where != hosts[1].String() || len(g.records) != 5 {
		t.Fatalf("%+v %v", g, err)
	}
	if !is[*journal.CorruptError](g.damaged) || !strings.Contains(g.damaged.Error(), whole) {
		t.Errorf("passed over in silence: %v", g.damaged)
	}
	spoil(filepath.Join(dirs[1].root, "var/lib/kup", runA))
	if _, err := gather(t.Context(), testUID, runA, all); !is[*journal.CorruptError](err) {
		t.Errorf("no whole copy is left: %v", err)
	}
}

// A machine that knows nothing of a run goes on with it from a control plane: with
// its plan, its journal and its baseline.
func TestTakeOverFromTheControlPlanes(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := testRun(t, testPlan(t), runA, begun, over,
		journal.Record{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: step.ArtefactBaseline, Hop: "1.34", Path: "/home/ann/" + runA + "/baseline-1.34.json", Digest: digest([]byte("pods"))}})
	dirs, hosts := newHosts(t, 2)
	put(t, dirs[1], dir)
	write(t, filepath.Join(dirs[1].root, "var/lib/kup", runA, "baseline-1.34.json"), "pods")
	t.Setenv("XDG_STATE_HOME", t.TempDir()) // another machine

	g, err := findRun(t.Context(), testUID, shelves(t.Context(), hosts))
	if err != nil {
		t.Fatal(err)
	}
	sys, said, _ := testSystem(strings.NewReader(""))
	s := &session{sys: sys}
	r := g.runRecord
	if err := s.settle(t.Context(), r, hosts); err != nil {
		t.Fatal(err)
	}
	m, err := s.remember(r, 2, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer m.journal.Close()
	if !strings.Contains(said.String(), hosts[1].String()) {
		t.Errorf("said %q", said)
	}
	if a, ok := m.Get("1.34", step.ArtefactBaseline, ""); !ok || step.Verify(t.Context(), nil, a) != nil {
		t.Errorf("the baseline is not here: %+v", a)
	}
	back, err := lastRun(testUID)
	if err != nil || back.id != runA || len(back.records) != 5 || back.state.Epoch != 2 || !back.state.Done("1.34/prepare/snapshot") {
		t.Errorf("%+v %v", back, err)
	}
	if !journal.Extends(back.records, g.records) {
		t.Error("the journal here does not go on where the other one ended")
	}
}

// A damaged journal here is kept beside the whole one that replaces it.
func TestTakeOverKeepsTheDamagedJournal(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := trunk(t)
	dirs, hosts := newHosts(t, 1)
	put(t, dirs[0], dir)
	write(t, filepath.Join(dir, journal.File), "nonsense\nnonsense\n")
	g, err := gather(t.Context(), testUID, runA, shelves(t.Context(), hosts))
	if err != nil {
		t.Fatal(err)
	}
	g.dir = dir
	j, records, err := adopt(g.runRecord)
	if err != nil || len(records) != 5 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	defer j.Close()
	if _, err := os.Stat(filepath.Join(dir, journal.File+".damaged")); err != nil {
		t.Error(err)
	}
}

// A holder of the lock is known to be gone when its journal is here, is its last
// word, and nobody has it open; in all other cases it is watched.
func TestGone(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	who := "ops@" + host + " pid 1"
	dir := testRun(t, testPlan(t), runA, journal.Record{Kind: journal.RunResumed, Holder: who, Epoch: 7})
	held := kube.HeldError{Holder: who, Host: host, Run: runA, Epoch: 7}
	if !gone(testUID, &held) {
		t.Error("a process that ended is taken for alive")
	}
	for name, change := range map[string]func(*kube.HeldError){
		"another machine": func(h *kube.HeldError) { h.Host = "b" },
		"another process": func(h *kube.HeldError) { h.Holder = "ops@" + host + " pid 2" },
		"a later epoch":   func(h *kube.HeldError) { h.Epoch = 8 },
		"an unknown run":  func(h *kube.HeldError) { h.Run = runB },
		"no name of ours": func(h *kube.HeldError) { h.Run = "../" + runA },
	} {
		other := held
		change(&other)
		if gone(testUID, &other) {
			t.Errorf("%s is taken for gone", name)
		}
	}
	j, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if gone(testUID, &held) {
		t.Error("a process that has its journal open is taken for gone")
	}
}

func TestPruneHostsRemovesOnlyWhatEndedWellLongAgo(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dirs, hosts := newHosts(t, 2)
	all := []journal.Record{over, {Kind: journal.StepAfter, Step: "1.34/prepare/baseline", Attempt: 1, Outcome: journal.Done}}
	name := func(i int) string { return fmt.Sprintf("20260102-03040%d-aaaaaa", i) }
	var now *runRecord
	for i := range 6 {
		records := all
		if i == 1 {
			records = all[:1] // left undone
		}
		dir := testRun(t, testPlan(t), name(i), records...)
		put(t, dirs[0], dir)
		if i == 5 {
			r, err := loadRun(dir)
			if err != nil {
				t.Fatal(err)
			}
			now = r
		}
	}
	for i := range 6 {
		write(t, filepath.Join(mkdir(t, dirs[1].root, "var/lib/kup", name(i)), "status"), "0")
	}
	mkdir(t, dirs[1].root, "var/lib/kup/lost+found")
	ended, err := endedWell(t.Context(), now, shelves(t.Context(), hosts[:1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := pruneHosts(t.Context(), ended, 3, hosts); err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		entries, err := filepath.Glob(d.root + "/var/lib/kup/2*")
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			entries[i] = filepath.Base(entries[i])
		}
		if want := []string{name(1), name(3), name(4), name(5)}; !slices.Equal(entries, want) {
			t.Errorf("%s keeps %v, want %v", d, entries, want)
		}
	}
	if _, err := os.Stat(dirs[1].root + "/var/lib/kup/lost+found"); err != nil {
		t.Error(err)
	}
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
