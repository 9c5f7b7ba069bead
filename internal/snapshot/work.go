package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// workPrefix begins the names of working directories.
const workPrefix = ".snapshot-"

// Work is a directory for plain copies that are on their way, mode 0700, removed by
// [Work.Close]. What a killed kup left in one is removed when the next is made: its
// lock went with its process.
type Work struct {
	dir  string
	lock *os.File
}

// NewWork makes one below a directory.
func NewWork(below string) (*Work, error) {
	if err := os.MkdirAll(below, 0o700); err != nil {
		return nil, &MachineError{Op: "make a working directory", Err: err}
	}
	removeAbandoned(below)
	dir, err := os.MkdirTemp(below, workPrefix)
	if err != nil {
		return nil, &MachineError{Op: "make a working directory", Err: err}
	}
	lock, err := os.Open(dir)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, &MachineError{Op: "lock a working directory", Err: errors.Join(err, os.RemoveAll(dir))}
	}
	return &Work{dir: dir, lock: lock}, nil
}

// removeAbandoned removes what no process works in. What cannot be removed only root
// and the user can read.
func removeAbandoned(below string) {
	entries, err := os.ReadDir(below)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		dir := filepath.Join(below, e.Name())
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // see above
		}
		_ = f.Close() // and with it the lock
	}
}

// Dir is the directory.
func (w *Work) Dir() string { return w.dir }

// Path is a file in it.
func (w *Work) Path(name string) string { return filepath.Join(w.dir, name) }

// Room tells whether so many more bytes fit: a *[MachineError] when not.
func (w *Work) Room(bytes int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(w.dir, &st); err != nil {
		return &MachineError{Op: "look for room in " + w.dir, Err: err}
	}
	free := st.Bavail * uint64(st.Bsize) //nolint:unconvert // signed on some systems
	if bytes > 0 && free < uint64(bytes) {
		return &MachineError{Op: "make room for a snapshot", Err: fmt.Errorf("%s has %d MiB left, and %d MiB are needed: %w",
			filepath.Dir(w.dir), free>>20, bytes>>20+1, syscall.ENOSPC)}
	}
	return nil
}

// Close removes the directory.
func (w *Work) Close() error {
	err := errors.Join(os.RemoveAll(w.dir), w.lock.Close())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
