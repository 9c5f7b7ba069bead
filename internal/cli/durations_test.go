package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/journal"
)

// took makes the two records of a step.
func took(step string, attempt int, from, to time.Duration, outcome journal.Outcome) []journal.Record {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	return []journal.Record{
		{Kind: journal.StepBefore, At: start.Add(from), Step: step, Attempt: attempt},
		{Kind: journal.StepAfter, At: start.Add(to), Step: step, Attempt: attempt, Outcome: outcome},
	}
}

func TestMeasureCountsWhatWentWellInOneGo(t *testing.T) {
	const s = time.Second
	var records []journal.Record
	for _, more := range [][]journal.Record{
		took("1.34/workers/w-1/drain", 1, 0, 60*s, journal.Done),
		took("1.34/workers/w-2/drain", 1, 60*s, 160*s, journal.Done),
		took("1.35/workers/w-1/drain", 1, 0, 80*s, journal.Done),
		took("1.34/control-plane/cp-1/drain", 1, 0, 10*s, journal.Done), // another stage
		took("1.34/workers/w-1/kubelet", 1, 0, 5*s, journal.Failed),
		took("1.34/workers/w-1/kubelet", 2, 5*s, 6*s, journal.Done), // found half done
		took("1.34/prepare/cp-1/fetch", 1, 0, 10*s, journal.Done)[:1],
		{{Kind: journal.RunResumed}},
		took("1.34/prepare/cp-1/fetch", 1, 0, 9000*s, journal.Done)[1:],
	} {
		records = append(records, more...)
	}
	want := map[string]float64{"workers/drain": 80, "control-plane/drain": 10}
	if diff := cmp.Diff(want, measure(records)); diff != "" {
		t.Error(diff)
	}
}

func TestDurationsAreKeptBounded(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	p := testPlan(t)
	if _, err := createRun(p, "20260102-030405-abcdef"); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		run := newRunID(time.Unix(int64(i), 0))
		if err := keepDurations(testUID, run, took("1.34/workers/w-1/drain", 1, 0, time.Duration(i+1)*time.Minute, journal.Done)); err != nil {
			t.Fatal(err)
		}
		if i == 6 { // it went on, and took longer
			if err := keepDurations(testUID, run, took("1.34/workers/w-1/drain", 1, 0, time.Hour, journal.Done)); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, err := readDurations(testUID)
	if err != nil {
		t.Fatal(err)
	}
	m := d.measured()
	if m.Runs != keptDurations || m.Took["workers/drain"] != 5*time.Minute { // of 3, 4, 5, 6, 60
		t.Errorf("%d runs, %v", m.Runs, m.Took)
	}
	base, _ := stateDir(testUID)
	info, err := os.Stat(filepath.Join(base, durationsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if runs, err := runsHere(testUID); err != nil || len(runs) != 0 {
		t.Errorf("the file passes for a run: %v %v", runs, err)
	}
}

// A file that cannot be read costs estimates and nothing else, and is made anew.
func TestDamagedDurationsAreNoObstacle(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	base, err := stateDir(testUID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"{", `{"format":99,"runs":[{"run":"x","seconds":{"a/b":1}}]}`} {
		if err := os.WriteFile(filepath.Join(base, durationsFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, _ := readDurations(testUID); len(d.measured().Took) != 0 {
			t.Errorf("%s gives %v", content, d)
		}
		if err := keepDurations(testUID, "r", took("1.34/workers/w-1/drain", 1, 0, time.Minute, journal.Done)); err != nil {
			t.Error(err)
		}
	}
	if d, err := readDurations(testUID); err != nil || d.measured().Took["workers/drain"] != time.Minute {
		t.Errorf("%v %v", d, err)
	}
}
