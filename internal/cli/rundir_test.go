package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const testUID = "2c5f0f8e-6c0c-4b50-9d3d-0a5a1f6f9a10"

// testPlan is a sealed plan of two steps.
func testPlan(t *testing.T) *plan.Plan {
	t.Helper()
	step := func(name string, kind plan.Kind) plan.Lane {
		return plan.Lane{{ID: "1.34/prepare/" + name, Kind: kind, Title: name, WayBack: plan.WayBackNothing}}
	}
	p := &plan.Plan{
		Format: plan.Format,
		Facts:  cluster.Facts{Identity: cluster.Identity{UID: testUID}},
		Hops: []plan.Hop{{
			From: cluster.MustParseVersion("v1.33.13"), To: cluster.MustParseVersion("v1.34.4"), Etcd: cluster.MustParseVersion("3.6.5"),
			Stages: []plan.Stage{{Name: plan.Prepare, Waves: []plan.Wave{
				{Parallel: 1, Lanes: []plan.Lane{step("snapshot", plan.KindSnapshot)}},
				{Parallel: 1, Lanes: []plan.Lane{step("baseline", plan.KindBaseline)}},
			}}},
		}},
	}
	if err := errors.Join(plan.Seal(p), plan.Validate(p)); err != nil {
		t.Fatal(err)
	}
	return p
}

// testRun makes a run with a journal of the given records after the first.
func testRun(t *testing.T, p *plan.Plan, id string, records ...journal.Record) string {
	t.Helper()
	dir, err := createRun(p, id)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Create(dir, journal.Record{Plan: p.ID, Cluster: p.Facts.Identity.UID, Run: id, Epoch: 1})
	for _, r := range records {
		err = errors.Join(err, j.Append(r))
	}
	if err = errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStateDir(t *testing.T) {
	state, home := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	for _, tc := range []struct{ xdg, want string }{
		{state, filepath.Join(state, "kup", testUID)},
		{"", filepath.Join(home, ".local/state/kup", testUID)},
		{"relative", filepath.Join(home, ".local/state/kup", testUID)},
	} {
		t.Setenv("XDG_STATE_HOME", tc.xdg)
		if got, err := stateDir(testUID); got != tc.want || err != nil {
			t.Errorf("XDG_STATE_HOME=%q: %q %v, want %q", tc.xdg, got, err, tc.want)
		}
	}
	for _, uid := range []string{"", ".", "..", "/", "../x", "a/b", "a\x00b", "-rf", "a b", "ü", strings.Repeat("a", 65)} {
		if dir, err := stateDir(uid); err == nil {
			t.Errorf("uid %q names %s", uid, dir)
		}
	}
}

func TestNewRunIDSortsByTime(t *testing.T) {
	at := time.Date(2026, 1, 2, 23, 59, 59, 0, time.FixedZone("x", 3600))
	a, b := newRunID(at), newRunID(at.Add(time.Second))
	if a >= b || !regexp.MustCompile(`^20260102-225959-[0-9a-f]{6}$`).MatchString(a) {
		t.Errorf("%s, then %s", a, b)
	}
}

func TestCreateRunKeepsToItself(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := testRun(t, testPlan(t), "20260102-030405-abcdef")
	for path, want := range map[string]fs.FileMode{
		dir: 0o700, filepath.Dir(dir): 0o700, filepath.Join(dir, planFile): 0o600, filepath.Join(dir, journal.File): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", path, got, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".kup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

func TestLastRun(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if _, err := lastRun(testUID); !errors.Is(err, errNoRun) {
		t.Errorf("without any run: %v", err)
	}
	p := testPlan(t)
	testRun(t, p, "20260102-030405-ffffff")
	newest := testRun(t, p, "20260102-030406-000000",
		journal.Record{Kind: journal.StepBefore, Step: "1.34/prepare/snapshot", Attempt: 1},
		journal.Record{Kind: journal.StepAfter, Step: "1.34/prepare/snapshot", Attempt: 1, Outcome: journal.Done},
		journal.Record{Kind: journal.StepBefore, Step: "1.34/prepare/baseline", Attempt: 2},
	)
	// A crash before the journal was written leaves a run that began nothing, and
	// people leave files.
	if _, err := createRun(p, "20260102-030407-000000"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(newest), "zz-notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(newest+".left", os.DirFS(newest)); err != nil {
		t.Fatal(err)
	}
	r, err := lastRun(testUID)
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := runsHere(testUID); err != nil || len(runs) != 2 {
		t.Errorf("%v %v", runs, err)
	}
	if r.dir != newest || r.id != "20260102-030406-000000" || r.plan.ID != p.ID {
		t.Errorf("%+v", r)
	}
	st := r.stand()
	if st.Done != 1 || st.Total != 2 || st.Outcome != "interrupted" || len(st.Running) != 1 || r.over() {
		t.Errorf("%+v", st)
	}
}

func TestLoadRunRefusesWhatWasChanged(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	edit := func(file string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(file, from, to string) func(*testing.T, string) {
		return edit(file, func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) })
	}
	for name, tc := range map[string]struct {
		harm func(*testing.T, string)
		want string
	}{
		"plan gone":   {func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, planFile)) }, "no such file"},
		"plan cut":    {edit(planFile, func(b []byte) []byte { return b[:len(b)/2] }), "plan file"},
		"plan edited": {replace(planFile, "v1.34.4", "v1.34.5"), "was changed after it was made"},
		"journal edited": {edit(journal.File, func(b []byte) []byte {
			return append(bytes.Replace(b, []byte("run-started"), []byte("run-resumed"), 1), b...)
		}), "the journal was altered"},
		"other plan": {func(t *testing.T, dir string) {
			p := testPlan(t)
			p.KupVersion = "other"
			content, err := plan.Encode(p)
			if err = errors.Join(err, plan.Seal(p)); err == nil {
				content, err = plan.Encode(p)
			}
			if err = errors.Join(err, os.WriteFile(filepath.Join(dir, planFile), content, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "the journal is not that of the plan"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := testRun(t, testPlan(t), "run-"+strings.ReplaceAll(name, " ", "-"))
			tc.harm(t, dir)
			_, err := loadRun(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want …%s…", err, tc.want)
			}
			if code, _ := classify(err); name != "plan gone" && code != exitUsage {
				t.Errorf("%v: exit code %d", err, code)
			}
		})
	}
}

// A run directory moved to another run's name is not that run.
func TestLoadRunRefusesAnotherRunsJournal(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := testRun(t, testPlan(t), "20260102-030405-abcdef")
	moved := filepath.Join(filepath.Dir(dir), "20260102-030405-ffffff")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRun(moved); err == nil || !strings.Contains(err.Error(), "the journal is not that") {
		t.Errorf("%v", err)
	}
}

func TestWriteDurably(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"one", "two"} {
		if err := writeDurably(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil {
			t.Errorf("%q %v", got, err)
		}
	}
	if err := writeDurably(filepath.Join(path, "below-a-file"), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

func TestReadPlan(t *testing.T) {
	dir := t.TempDir()
	content, err := plan.Encode(testPlan(t))
	if err != nil {
		t.Fatal(err)
	}
	unsound := testPlan(t)
	unsound.Hops[0].Stages[0].Waves[0].Lanes[0][0].Kind = "dance"
	if err := plan.Seal(unsound); err != nil {
		t.Fatal(err)
	}
	dancing, err := plan.Encode(unsound)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content []byte
		want    string // empty: it is read
	}{
		"whole":        {content, ""},
		"tampered":     {bytes.Replace(content, []byte("v1.34.4"), []byte("v1.34.5"), 1), "was changed"},
		"trailing":     {append(bytes.Clone(content), "{}"...), "plan file"},
		"format":       {[]byte(`{"format": 2}`), "format 2"},
		"other":        {[]byte(`{}`), "not a plan of kup"},
		"empty":        {nil, "plan file"},
		"unknown":      {bytes.Replace(content, []byte(`"kupVersion"`), []byte(`"kupVersjon"`), 1), "unknown field"},
		"unknown kind": {dancing, `unknown kind "dance"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := readPlan(path)
			if tc.want == "" {
				if err != nil || p.ID == "" {
					t.Errorf("%v %v", p, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("%v, want …%s…", err, tc.want)
			}
			if code, hint := classify(err); code != exitUsage || !strings.Contains(hint, "kup plan --to VERSION --out "+path) {
				t.Errorf("%d %q", code, hint)
			}
		})
	}
	// Its losses are asked for by rollback alone.
	back, err := plan.Encode(backPlan(t, runA, plan.ScopeHop))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "back"), back, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = readPlan(filepath.Join(dir, "back"))
	if code, hint := classify(err); code != exitUsage || !strings.Contains(err.Error(), "takes run "+runA+" back") || !strings.HasPrefix(hint, "kup rollback") {
		t.Errorf("a rollback's: %v: %d %q", err, code, hint)
	}
	_, err = readPlan(filepath.Join(dir, "absent"))
	if code, hint := classify(err); code != exitUsage || !strings.HasPrefix(hint, "make one") {
		t.Errorf("absent: %v: %d %q", err, code, hint)
	}
}

// A run of a plan without hops was never begun by kup: it is refused where it is read.
func TestRunWithoutHopsIsRefused(t *testing.T) {
	p := testPlan(t)
	p.Hops = nil
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	text, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := readRun("20260101-010101-aaaaaa", "cp-1:/var/lib/kup", text, nil); err == nil || !strings.Contains(err.Error(), "no hop") {
		t.Errorf("%+v, %v", r, err)
	}
}
