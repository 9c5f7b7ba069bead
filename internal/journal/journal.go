package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// File is the journal's name in a run's directory.
const File = "journal.jsonl"

// Journal is an open journal. Only one process has a journal open at a time.
// It is safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	path   string
	file   file
	seq    int
	sum    string
	broken error // a write that failed: what the file ends with is not known
	now    func() time.Time
}

// file is what is asked of the journal's file.
type file interface {
	io.WriteCloser
	Sync() error
}

// CorruptError is a journal that was changed after it was written. A torn last
// line is not corruption: a crash leaves one, and Open removes it.
type CorruptError struct {
	Path string
	Line int
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: line %d: %v; the journal was altered, so this run cannot be resumed: plan anew with kup plan", e.Path, e.Line, e.Err)
}

// Unwrap gives the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// BusyError is a journal that another process on this machine has open.
type BusyError struct{ Path string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s: another kup process on this machine has this run open; wait for it or stop it", e.Path)
}

// WriteError is a record that could not be made durable: whatever it was to
// announce must not happen. Nothing more is written to the journal after it.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("%s: the journal cannot be written: %v; nothing further is changed", e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// Create starts a journal in dir, which must exist and hold none yet. The
// first record is written before Create returns.
func Create(dir string, first Record) (*Journal, error) {
	path := filepath.Join(dir, File)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start journal: %w", err)
	}
	j := &Journal{path: path, file: f, now: time.Now}
	err = errors.Join(lock(f, path), syncDir(dir))
	if err == nil {
		first.Kind = RunStarted
		err = j.Append(first)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// Open opens the journal in dir to append to it and gives what it holds. A torn
// last line is cut off.
func Open(dir string) (*Journal, []Record, error) { return open(dir, 0) }

func open(dir string, flag int) (*Journal, []Record, error) {
	path := filepath.Join(dir, File)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|flag, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, file: f, now: time.Now}
	records, err := j.load(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return j, records, nil
}

// load locks the file and reads what it holds.
func (j *Journal) load(f *os.File) ([]Record, error) {
	if err := lock(f, j.path); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(j.path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	records, whole, err := parse(j.path, content)
	if err != nil {
		return nil, err
	}
	if whole < len(content) {
		if err := errors.Join(f.Truncate(int64(whole)), f.Sync()); err != nil {
			return nil, fmt.Errorf("%s: cut the torn last line: %w", j.path, err)
		}
	}
	j.seq = len(records)
	if len(records) > 0 {
		j.sum = records[len(records)-1].Sum
	}
	return records, nil
}

// Read gives the records of the journal in dir without opening it for writing;
// a torn last line is left out. With a *[CorruptError] come the records before it.
func Read(dir string) ([]Record, error) {
	path := filepath.Join(dir, File)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return Parse(path, content)
}

// Parse is Read of a copy that is somewhere else; name is for its errors.
func Parse(name string, content []byte) ([]Record, error) {
	records, _, err := parse(name, content)
	return records, err
}

// Append numbers, seals and writes a record; it is on disk when Append returns.
func (j *Journal) Append(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Seq = j.seq + 1
	r.At = j.now().UTC()
	line, sealed, err := seal(r, j.sum)
	if err != nil {
		return err
	}
	if err := j.write(line); err != nil {
		return err
	}
	j.seq, j.sum = sealed.Seq, sealed.Sum
	return nil
}

// write makes lines durable. After a failure the file may end with a part of it,
// and what is not a journal's end must not be written behind.
func (j *Journal) write(lines []byte) error {
	if j.broken == nil {
		_, err := j.file.Write(lines)
		if err == nil {
			err = j.file.Sync()
		}
		j.broken = err
	}
	if j.broken != nil {
		return &WriteError{Path: j.path, Err: j.broken}
	}
	return nil
}

// Close releases the journal.
func (j *Journal) Close() error { return j.file.Close() }

// parse gives the records and how many bytes of content they take.
func parse(path string, content []byte) (records []Record, whole int, err error) {
	sum := ""
	for whole < len(content) {
		end := bytes.IndexByte(content[whole:], '\n')
		if end < 0 {
			return records, whole, nil
		}
		r, err := unseal(content[whole:whole+end], sum, len(records)+1)
		if err != nil {
			if whole+end+1 == len(content) {
				return records, whole, nil
			}
			return records, 0, &CorruptError{Path: path, Line: len(records) + 1, Err: err}
		}
		records = append(records, r)
		sum = r.Sum
		whole += end + 1
	}
	return records, whole, nil
}

func lock(f *os.File, path string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &BusyError{Path: path}
	}
	if err != nil {
		return fmt.Errorf("%s: lock: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
