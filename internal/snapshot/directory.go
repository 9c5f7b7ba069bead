package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Directory is a place in this machine's file system, which may be a file server's.
// Files have mode 0600, directories that it makes 0700.
type Directory struct {
	path string
	// runs: files named after a run that has a directory below path are in that, and
	// all others in path/snapshots. Else all are in path itself.
	runs bool
}

// NewDirectory is a directory of the operator's, which may hold other things too.
func NewDirectory(path string) *Directory { return &Directory{path: path} }

// NewStateDirectory is kup's own directory of a cluster: snapshots that runs took are
// in the directories of their runs.
func NewStateDirectory(path string) *Directory { return &Directory{path: path, runs: true} }

// byHand is the folder of snapshots that no run took.
const byHand = "snapshots"

// String implements [Place].
func (d *Directory) String() string { return d.path }

// runFile splits the name of a snapshot into that of its run and of the file there.
var runFile = regexp.MustCompile(`^(\d{8}-\d{6}-[0-9a-f]{6})-(etcd-[0-9][^/]*)$`)

// Path is where the file of a name is, or would be.
func (d *Directory) Path(name string) string {
	if !d.runs {
		return filepath.Join(d.path, name)
	}
	if m := runFile.FindStringSubmatch(name); m != nil {
		if info, err := os.Stat(filepath.Join(d.path, m[1])); err == nil && info.IsDir() {
			return filepath.Join(d.path, m[1], m[2])
		}
	}
	return filepath.Join(d.path, byHand, name)
}

// Put implements [Place]: the file is on disk before it has its name.
func (d *Directory) Put(ctx context.Context, name string, content io.Reader, size int64) (err error) {
	if !plainName(name) {
		return fmt.Errorf("%q cannot name a file", name)
	}
	path := d.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	removeParts(filepath.Dir(path))
	f, err := os.CreateTemp(filepath.Dir(path), partPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // nothing half-written is left; the error is told already
		}
	}()
	n, err := io.Copy(f, contextReader{ctx, content})
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d of %d bytes came", io.ErrUnexpectedEOF, n, size)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

const (
	partPrefix = ".kup-part-" // begins the names of files that are being written
	// partAge is when one that a killed kup left behind is nobody's any more: its last
	// byte was written so long ago.
	partAge = 24 * time.Hour
)

// removeParts is no reason to stop: what stays behind only root and the user can read.
func removeParts(dir string) {
	parts, err := filepath.Glob(filepath.Join(dir, partPrefix+"*"))
	if err != nil {
		return
	}
	for _, part := range parts {
		if info, err := os.Lstat(part); err == nil && time.Since(info.ModTime()) > partAge {
			_ = os.Remove(part)
		}
	}
}

// Open implements [Place].
func (d *Directory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if !plainName(name) {
		return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
	}
	return os.Open(d.Path(name))
}

// List implements [Place].
func (d *Directory) List(ctx context.Context) ([]File, error) {
	if !d.runs {
		return files(d.path, "")
	}
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []File
	for _, e := range entries {
		var prefix string
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !e.IsDir():
			continue
		case runDirectory.MatchString(e.Name()):
			prefix = e.Name() + "-"
		case e.Name() != byHand:
			continue
		}
		found, err := files(filepath.Join(d.path, e.Name()), prefix)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

var runDirectory = regexp.MustCompile(`^\d{8}-\d{6}-[0-9a-f]{6}$`)

// files lists a directory's regular files that may be snapshots or descriptions. What
// vanishes meanwhile is passed over.
func files(dir, prefix string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []File
	for _, e := range entries {
		if !isOurs(prefix + e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			out = append(out, File{Name: prefix + e.Name(), Size: info.Size(), Modified: info.ModTime()})
		}
	}
	return out, nil
}

// Remove implements [Place].
func (d *Directory) Remove(_ context.Context, name string) error {
	if !plainName(name) {
		return nil
	}
	err := os.Remove(d.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// plainName tells whether a name names a file and leads nowhere else.
func plainName(name string) bool {
	return name != "" && name == filepath.Base(name) && !strings.HasPrefix(name, ".")
}

// syncDirectory makes the names in a directory durable. Some file servers do not
// know how to: the file itself is whole there all the same.
func syncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = f.Sync() // see above
	return f.Close()
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it; it lives for one copy
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
