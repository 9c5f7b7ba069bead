package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// full is a file on a disk that has room for a number of bytes.
type full struct {
	*os.File
	room     int
	syncFail error
}

func (f *full) Write(b []byte) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return f.File.Write(b)
	}
	n, err := f.File.Write(b[:f.room])
	f.room = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f *full) Sync() error { return errors.Join(f.syncFail, f.File.Sync()) }

// A full disk leaves a part of a record. Nothing may be written behind it, also when
// there is room again, and the next process must find a journal that is whole.
func TestDiskFull(t *testing.T) {
	for room := range 150 {
		dir := t.TempDir()
		j, err := Create(dir, Record{Run: "r"})
		if err != nil {
			t.Fatal(err)
		}
		f := &full{File: j.file.(*os.File), room: room}
		j.file = f
		err = j.Append(Record{Kind: StepBefore, Step: "a", Attempt: 1})
		if err == nil {
			if room < 60 {
				t.Fatalf("a record fits into %d bytes", room)
			}
			continue
		}
		var failed *WriteError
		if !errors.As(err, &failed) || !errors.Is(err, syscall.ENOSPC) || failed.Path != filepath.Join(dir, File) {
			t.Fatalf("%v", err)
		}
		f.room = 1 << 20
		if err := j.Append(Record{Kind: RunEnded, Outcome: Failed}); !errors.As(err, &failed) {
			t.Fatalf("room for %d: written behind a torn record: %v", room, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, records, err := Open(dir)
		if err != nil || len(records) != 1 {
			t.Fatalf("room for %d: %d records, %v", room, len(records), err)
		}
		if err := errors.Join(again.Append(Record{Kind: RunResumed}), again.Close()); err != nil {
			t.Fatal(err)
		}
		if records, err := Read(dir); err != nil || len(records) != 2 {
			t.Fatalf("room for %d: %d records, %v", room, len(records), err)
		}
	}
}

// A record that was written and could not be synced may or may not be there after a
// power cut: it must not be relied on.
func TestSyncFails(t *testing.T) {
	j, err := Create(t.TempDir(), Record{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f := &full{File: j.file.(*os.File), room: 1 << 20, syncFail: syscall.EIO}
	j.file = f
	var failed *WriteError
	if err := j.Append(Record{Kind: StepBefore, Step: "a", Attempt: 1}); !errors.As(err, &failed) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v", err)
	}
	f.syncFail = nil
	if err := j.Append(Record{Kind: StepBefore, Step: "a", Attempt: 1}); !errors.As(err, &failed) {
		t.Errorf("a disk that failed is trusted again: %v", err)
	}
}

func TestAdopt(t *testing.T) {
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
	// From nothing, from every torn beginning, and from itself.
	for cut := 0; cut <= len(content); cut += 11 {
		there := t.TempDir()
		if cut > 0 {
			if err := os.WriteFile(filepath.Join(there, File), content[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j, records, err := Adopt(there, all)
		if err != nil || len(records) != len(all) {
			t.Fatalf("cut at %d: %d records, %v", cut, len(records), err)
		}
		if got, err := os.ReadFile(filepath.Join(there, File)); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("cut at %d: the copy differs: %v", cut, err)
		}
		if err := errors.Join(j.Append(Record{Kind: RunResumed}), j.Close()); err != nil {
			t.Fatal(err)
		}
		if more, err := Read(there); err != nil || !Extends(more, all) || Extends(all, more) {
			t.Fatalf("cut at %d: %d records, %v", cut, len(more), err)
		}
		// By now this copy went on by itself, and so did the other.
		other := t.TempDir()
		write(t, other)
		foreign, err := Read(other)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Adopt(there, foreign); err == nil {
			t.Fatal("a journal was overwritten by another")
		}
	}
	forged := append([]Record{}, all...)
	forged[2].Step = "another"
	if _, _, err := Adopt(t.TempDir(), forged); err == nil {
		t.Error("a record that does not bear its checksum was taken over")
	}
}

func TestIdle(t *testing.T) {
	dir := t.TempDir()
	j, err := Create(dir, Record{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if idle, err := Idle(dir); idle || err != nil {
		t.Errorf("open: %v %v", idle, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if idle, err := Idle(dir); !idle || err != nil {
		t.Errorf("closed: %v %v", idle, err)
	}
	if idle, err := Idle(t.TempDir()); idle || err == nil {
		t.Errorf("no journal: %v %v", idle, err)
	}
}

// FuzzTorn: whatever follows the last whole line, without being one, is cut off, and
// nothing of what was whole is lost.
func FuzzTorn(f *testing.F) {
	dir := f.TempDir()
	j, err := Create(dir, Record{Run: "r", Plan: "sha256:p"})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 5 {
		err = errors.Join(err, j.Append(Record{Kind: StepBefore, Step: "a", Attempt: i + 1}))
	}
	if err := errors.Join(err, j.Close()); err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		f.Fatal(err)
	}
	all, err := Read(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte("{"))
	f.Add(len(content)/2, []byte{0, 0, 0, 0})
	f.Add(len(content), []byte(`{"seq":7}`))
	f.Fuzz(func(t *testing.T, cut int, tail []byte) {
		cut = int(uint(cut) % uint(len(content)+1))      //nolint:gosec // any place in the file
		tail = bytes.ReplaceAll(tail, []byte("\n"), nil) // a line that is whole is no torn tail
		torn := append(bytes.Clone(content[:cut]), tail...)
		whole := bytes.Count(torn, []byte("\n"))
		got, err := Parse("torn", torn)
		if err != nil || len(got) != whole || !Extends(all, got) {
			t.Fatalf("cut at %d: %d records of %d whole lines: %v", cut, len(got), whole, err)
		}
	})
}

// FuzzParse: no input makes it panic, and what is read from altered bytes is never
// more than the chain proves.
func FuzzParse(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"seq":1,"sum":""}` + "\n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		records, err := Parse("any", content)
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			t.Fatalf("untyped error %v", err)
		}
		sum := ""
		for i, r := range records {
			line, sealed, err := seal(r, sum)
			if err != nil || sealed.Sum != r.Sum || r.Seq != i+1 || len(line) == 0 {
				t.Fatalf("record %d is not what its sum says: %v", i, err)
			}
			sum = r.Sum
		}
		Replay(records)
	})
}

// A record whose chain is right and that lacks what its kind promises was not written
// by kup: it is refused, and not stumbled over later.
func TestArtefactRecordWithoutArtefact(t *testing.T) {
	first, sealed, err := seal(Record{Seq: 1, Kind: RunStarted}, "")
	if err != nil {
		t.Fatal(err)
	}
	second, next, err := seal(Record{Seq: 2, Kind: ArtefactPut}, sealed.Sum)
	if err != nil {
		t.Fatal(err)
	}
	third, _, err := seal(Record{Seq: 3, Kind: RunEnded}, next.Sum)
	if err != nil {
		t.Fatal(err)
	}
	records, err := Parse("journal.jsonl", slices.Concat(first, second, third))
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Line != 2 || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
