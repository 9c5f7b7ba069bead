package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

func testMemory(t *testing.T) *memory {
	t.Helper()
	dir := t.TempDir()
	first := journal.Record{Kind: journal.RunStarted, Plan: "p", Cluster: "c", Run: "r1"}
	j, err := journal.Create(dir, first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &memory{dir: dir, journal: j, state: journal.Replay([]journal.Record{first})}
}

func TestMemoryFollowsSteps(t *testing.T) {
	m := testMemory(t)
	look := func(want planner.Progress, attempt int) {
		t.Helper()
		if got := m.progress("s"); got != want {
			t.Errorf("progress %v, want %v", got, want)
		}
		x, ok := m.last("s")
		if ok != (attempt > 0) || (ok && x != plan.Execution{Run: "r1", Step: "s", Attempt: attempt}) {
			t.Errorf("last %v %v, want attempt %d", x, ok, attempt)
		}
	}
	look(planner.Untouched, 0)
	before := m.snapshot()
	for _, r := range []struct {
		record journal.Record
		want   planner.Progress
	}{
		{journal.Record{Kind: journal.StepBefore, Step: "s", Attempt: 1}, planner.Begun},
		{journal.Record{Kind: journal.StepAfter, Step: "s", Attempt: 1, Outcome: journal.Failed}, planner.Begun},
		{journal.Record{Kind: journal.StepBefore, Step: "s", Attempt: 2}, planner.Begun},
		{journal.Record{Kind: journal.StepAfter, Step: "s", Attempt: 2, Outcome: journal.Done}, planner.Ended},
	} {
		if err := m.Append(r.record); err != nil {
			t.Fatal(err)
		}
		look(r.want, r.record.Attempt)
	}
	if before.Steps["s"].Attempt != 0 {
		t.Error("a state given away has changed")
	}
	records, err := journal.Read(m.Dir())
	if err != nil || len(records) != 5 {
		t.Errorf("%d records on disk, %v", len(records), err)
	}
}

// What could not be written did not happen.
func TestMemoryForgetsWhatIsNotDurable(t *testing.T) {
	m := testMemory(t)
	if err := m.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(t.Context(), step.Artefact{Name: step.ArtefactSnapshot, Hop: "1.34"}); err == nil {
		t.Fatal("written to a closed journal")
	}
	if a, ok := m.Get("1.34", step.ArtefactSnapshot, ""); ok {
		t.Errorf("%+v", a)
	}
}

func TestMemoryKeepsArtefacts(t *testing.T) {
	m := testMemory(t)
	want := []step.Artefact{
		{Name: step.ArtefactSnapshot, Hop: "1.34", Path: "/x", Digest: "sha256:1"},
		{Name: step.ArtefactBackup, Hop: "1.34", Node: "cp-1", Path: "/y", Digest: "sha256:2"},
	}
	for _, a := range want {
		if err := m.Put(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, m.artefacts()); diff != "" {
		t.Error(diff)
	}
	if a, ok := m.Get("1.34", step.ArtefactBackup, "cp-1"); !ok || a != want[1] {
		t.Errorf("%+v %v", a, ok)
	}
	for _, miss := range []step.Artefact{{Name: step.ArtefactBackup, Hop: "1.34", Node: "cp-2"}, {Name: step.ArtefactBackup, Hop: "1.35", Node: "cp-1"}} {
		if a, ok := m.Get(miss.Hop, miss.Name, miss.Node); ok {
			t.Errorf("%+v", a)
		}
	}
}

type noHosts struct{}

func (noHosts) Host(node string) (remote.Host, error) { return nil, errors.New(node + " is away") }

func TestVerifyNamesEveryArtefactThatIsNotWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := step.Artefact{Name: step.ArtefactSnapshot, Hop: "1.34", Path: path, Digest: "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	changed, missing, away := whole, whole, whole
	changed.Digest, missing.Path, away.Node = "sha256:00", path+".gone", "cp-1"
	recordOnly := step.Artefact{Name: step.ArtefactCordoned, Hop: "1.34", Node: "w-1"}
	check := func(artefacts ...step.Artefact) error { return verify(context.Background(), noHosts{}, artefacts) }
	if err := check(whole, recordOnly); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		artefact step.Artefact
		code     int
	}{"changed": {changed, exitStopped}, "missing": {missing, exitStopped}, "away": {away, exitUnexpected}} {
		if code, _ := classify(check(whole, tc.artefact)); code != tc.code {
			t.Errorf("%s: exit code %d, want %d", name, code, tc.code)
		}
	}
}
