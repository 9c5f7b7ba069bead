package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
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
	m := &memory{journal: j, sink: j, may: func(context.Context) error { return nil }}
	m.load(dir, []journal.Record{first})
	return m
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
	var got []step.Artefact
	for _, a := range m.snapshot().Artefacts {
		got = append(got, artefact(a))
	}
	if diff := cmp.Diff(want, got); diff != "" {
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
	whole := journal.Artefact{Name: step.ArtefactSnapshot, Hop: "1.34", Path: path, Digest: "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	changed, missing, away := whole, whole, whole
	changed.Digest, missing.Path, away.Node = "sha256:00", path+".gone", "cp-1"
	recordOnly := journal.Artefact{Name: step.ArtefactCordoned, Hop: "1.34", Node: "w-1"}
	kept := false
	check := func(artefacts ...journal.Artefact) error {
		return verify(t.Context(), noHosts{}, artefacts, func(context.Context, journal.Artefact) bool { return kept })
	}
	if err := check(whole, recordOnly); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		artefact journal.Artefact
		code     int
	}{"changed": {changed, exitStopped}, "missing": {missing, exitStopped}, "away": {away, exitUnexpected}} {
		if code, _ := classify(check(whole, tc.artefact)); code != tc.code {
			t.Errorf("%s: exit code %d, want %d", name, code, tc.code)
		}
	}
	// A machine that did not begin the run makes do with the control planes' copy,
	// but never with a file that was changed.
	kept = true
	if err := check(whole, missing); err != nil {
		t.Error(err)
	}
	if check(changed) == nil {
		t.Error("a changed snapshot passes")
	}
}

// Another machine's paths mean nothing here: what it made in the run's directory is
// looked for in the run's directory, what it put elsewhere stays where it was.
func TestMemoryFindsWhatAnotherMachineMade(t *testing.T) {
	m := &memory{}
	m.load("/here/r1", []journal.Record{
		{Kind: journal.RunStarted, Run: "r1"},
		{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: step.ArtefactBaseline, Hop: "1.34", Path: "/home/ann/state/r1/baseline-1.34.json"}},
		{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: step.ArtefactSnapshot, Hop: "1.34", Path: "/srv/snapshots/r1-etcd-1.34.db"}},
		{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: step.ArtefactBackup, Hop: "1.34", Node: "cp-1", Path: "/var/lib/kup/r1/backup.tar"}},
	})
	for name, want := range map[string]string{
		step.ArtefactBaseline: "/here/r1/baseline-1.34.json", step.ArtefactSnapshot: "/srv/snapshots/r1-etcd-1.34.db",
	} {
		if a, _ := m.Get("1.34", name, ""); a.Path != want {
			t.Errorf("%s is looked for at %s, want %s", name, a.Path, want)
		}
	}
	if a, _ := m.Get("1.34", step.ArtefactBackup, "cp-1"); a.Path != "/var/lib/kup/r1/backup.tar" {
		t.Errorf("a host's file moved to %s", a.Path)
	}
}

// Once another run has the cluster this one's journal must not grow: it would no
// longer be the beginning of its successor's.
func TestMemoryOfALostRunStaysAsItIs(t *testing.T) {
	m := testMemory(t)
	m.may = func(context.Context) error { return &kube.LostLeaseError{Holder: "bob@b"} }
	err := m.Append(journal.Record{Kind: journal.RunEnded})
	if code, _ := classify(err); code != exitLocked {
		t.Errorf("%v: exit code %d", err, code)
	}
	m.may = func(context.Context) error { return errors.New("no answer") }
	if err := m.Append(journal.Record{Kind: journal.StepBefore, Step: "s", Attempt: 1}); err != nil {
		t.Errorf("an API that does not answer takes nothing away: %v", err)
	}
	if records, err := journal.Read(m.Dir()); err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
