package journal

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A run whose steps were taken back is gone on with from there, and one that was rolled
// back as a whole is over.
func TestReopenedAndRolledBack(t *testing.T) {
	s := Replay([]Record{
		{Kind: RunStarted, Run: "up"},
		{Kind: StepBefore, Step: "a", Attempt: 1}, {Kind: StepAfter, Step: "a", Attempt: 1, Outcome: Done},
		{Kind: StepBefore, Step: "b", Attempt: 3}, {Kind: StepAfter, Step: "b", Attempt: 3, Outcome: Failed, Error: "boom"},
		{Kind: RunEnded, Outcome: Failed, Error: "boom"},
		{Kind: StepReopened, Run: "back", Steps: []string{"a", "b", "never begun"}},
	})
	for _, step := range []string{"a", "b"} {
		if st := s.Steps[step]; st.Outcome != Reopened || st.Error != "" || st.Begun() || s.Done(step) {
			t.Errorf("%s: %+v", step, st)
		}
	}
	if s.Steps["b"].Attempt != 3 {
		t.Error("the attempts are counted anew: an execution of before would be taken for the next one")
	}
	if _, begun := s.Steps["never begun"]; begun || !slices.Equal(s.Reopened, []string{"back"}) {
		t.Errorf("%+v", s)
	}
	if _, back := s.RolledBack(); back {
		t.Error("a run of which steps were taken back counts as rolled back")
	}
	s.Apply(Record{Kind: StepBefore, Step: "a", Attempt: 2})
	if !s.Steps["a"].Begun() {
		t.Error("a step that was taken back is not begun again")
	}
	s.Apply(Record{Kind: RunEnded, Run: "back", Outcome: RolledBack})
	if by, back := s.RolledBack(); !back || by != "back" {
		t.Errorf("%q %t", by, back)
	}
}

func TestRollbackRecordsAreWrittenAndRead(t *testing.T) {
	dir := t.TempDir()
	j, err := Create(dir, Record{Plan: "p", Cluster: "c", Run: "back", Epoch: 4, Undoes: "up"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{{Kind: StepReopened, Run: "back", Steps: []string{"a", "b"}}, {Kind: RunEnded, Run: "back", Outcome: RolledBack}} {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := Read(dir)
	if err != nil || len(records) != 3 {
		t.Fatalf("%v, %v", records, err)
	}
	if s := Replay(records); s.Undoes != "up" || !slices.Equal(records[1].Steps, []string{"a", "b"}) {
		t.Errorf("%+v", records)
	}
}

// What kup wrote before there were rollbacks is read as it was.
func TestJournalOfBeforeRollbacks(t *testing.T) {
	old := `{"seq":1,"at":"2026-01-02T03:04:05Z","kind":"run-started","plan":"p","cluster":"c","run":"r","holder":"h","epoch":1,"sum":"`
	body := old[:len(old)-len(`,"sum":"`)] + `,"sum":""}`
	content := old + chain("", []byte(body)) + "\"}\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := Read(dir)
	if err != nil || len(records) != 1 || Replay(records).Undoes != "" {
		t.Errorf("%+v, %v", records, err)
	}
}
