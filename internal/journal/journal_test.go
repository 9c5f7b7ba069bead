package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, dir string) {
	t.Helper()
	j, err := Create(dir, Record{Plan: "sha256:p", Cluster: "uid", Run: "r1", Holder: "ops@laptop", Epoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{
		{Kind: StepBefore, Step: "a", Attempt: 1},
		{Kind: ArtefactPut, Artefact: &Artefact{Name: "snapshot", Hop: "1.34", Path: "/x", Digest: "sha256:d"}},
		{Kind: StepAfter, Step: "a", Attempt: 1, Outcome: Done},
		{Kind: StepBefore, Step: "b", Attempt: 1},
		{Kind: StepAfter, Step: "b", Attempt: 1, Outcome: Failed, Error: "cp-1: boom"},
		{Kind: StepBefore, Step: "b", Attempt: 2},
	} {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	write(t, dir)
	records, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := Replay(records)
	if s.Plan != "sha256:p" || s.Run != "r1" || s.Epoch != 3 {
		t.Errorf("run: %+v", s)
	}
	if !s.Done("a") || s.Done("b") || !s.Steps["b"].Begun() || s.Steps["b"].Attempt != 2 {
		t.Errorf("steps: %+v", s.Steps)
	}
	if a, ok := s.Artefact("1.34", "snapshot", ""); !ok || a.Digest != "sha256:d" {
		t.Errorf("artefact: %+v %v", a, ok)
	}
}

// A crash may leave any prefix of the file. Whatever the cut, the journal must
// open with the records that were whole, and take further ones.
func TestTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	write(t, dir)
	content, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(content); cut++ {
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, File), content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, got, err := Open(torn)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if diff := cmp.Diff(all[:len(got)], append([]Record{}, got...)); diff != "" {
			t.Fatalf("cut at %d: %s", cut, diff)
		}
		if err := errors.Join(j.Append(Record{Kind: StepBefore, Step: "next", Attempt: 1}), j.Close()); err != nil {
			t.Fatalf("cut at %d: append: %v", cut, err)
		}
		again, err := Read(torn)
		if err != nil || len(again) != len(got)+1 {
			t.Fatalf("cut at %d: %d records after append, want %d: %v", cut, len(again), len(got)+1, err)
		}
	}
}

func TestAlteredRecordIsRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir)
	path := filepath.Join(dir, File)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(content)-200; i++ {
		if content[i] == '\n' {
			continue
		}
		altered := append([]byte{}, content...)
		altered[i] ^= 1
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := Read(dir); !errors.As(err, &corrupt) {
			t.Fatalf("byte %d (%q) altered: got %v, want a CorruptError", i, content[i], err)
		}
	}
}

func TestOnlyOneWriter(t *testing.T) {
	dir := t.TempDir()
	j, err := Create(dir, Record{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var busy *BusyError
	if _, _, err := Open(dir); !errors.As(err, &busy) {
		t.Fatalf("second open: got %v, want a BusyError", err)
	}
}

func TestCreateKeepsAnExistingJournal(t *testing.T) {
	dir := t.TempDir()
	write(t, dir)
	if _, err := Create(dir, Record{}); !errors.Is(err, os.ErrExist) {
		t.Fatalf("got %v, want ErrExist", err)
	}
}
