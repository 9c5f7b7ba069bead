package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Store keeps artifacts in one directory, content-addressed by recipe.
type Store struct {
	dir string

	mu      sync.Mutex // guards log and goCache
	log     io.Writer
	goCache string
}

// DefaultDir is $XDG_CACHE_HOME/kup-lab, or ~/.cache/kup-lab.
func DefaultDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(base, "kup-lab"), nil
}

// New opens the store in dir and makes it when absent. Progress is written to
// log, one line at a time.
func New(dir string, log io.Writer) (*Store, error) {
	if log == nil {
		log = io.Discard
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("artifact store %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Join(abs, "locks"), 0o755); err != nil {
		return nil, fmt.Errorf("make the artifact store: %w", err)
	}
	s := &Store{dir: abs, log: log}
	return s, s.sweep()
}

// scratch is the pattern of a scratch directory that belongs to this process.
func scratch(what string) string { return fmt.Sprintf(".%s-%d-", what, os.Getpid()) }

// sweep removes scratch directories of processes that were killed.
func (s *Store) sweep() error {
	for _, depth := range []string{".*-*-*", "*/.*-*-*"} {
		found, err := filepath.Glob(filepath.Join(s.dir, depth))
		if err != nil {
			return err
		}
		for _, path := range found {
			m := scratchRE.FindStringSubmatch(filepath.Base(path))
			if m == nil || isDir("/proc/"+m[1]) {
				continue
			}
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove what a killed build left: %w", err)
			}
		}
	}
	return nil
}

var scratchRE = regexp.MustCompile(`^\.(?:gocache|src|building)-(\d+)-`)

// Dir is the absolute path of the store.
func (s *Store) Dir() string { return s.dir }

// Close removes the throw-away Go build cache of this session.
func (s *Store) Close() error {
	return s.dropGoCache()
}

func (s *Store) logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.log, format+"\n", args...)
}

// recipe names an artifact; its inputs decide whether it must be built.
type recipe struct {
	kind   string
	name   string
	inputs []string
}

func (r recipe) key() string {
	h := sha256.New()
	for _, part := range append([]string{r.kind, r.name}, r.inputs...) {
		fmt.Fprintf(h, "%d:%s\n", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (r recipe) path() string {
	return filepath.Join(r.kind, r.name+"-"+r.key())
}

// ensure returns the artifact's directory and calls build only when it is not
// there. build writes into a scratch directory that is renamed into place when
// it succeeds and removed when it fails.
func (s *Store) ensure(ctx context.Context, r recipe, build func(ctx context.Context, dir string) error) (string, error) {
	final := filepath.Join(s.dir, r.path())
	if isDir(final) {
		return final, nil
	}
	unlock, err := LockFile(ctx, filepath.Join(s.dir, "locks", strings.ReplaceAll(r.path(), "/", "-")))
	if err != nil {
		return "", fmt.Errorf("lock %s %s: %w", r.kind, r.name, err)
	}
	defer unlock()
	if isDir(final) {
		return final, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", fmt.Errorf("artifact %s %s: %w", r.kind, r.name, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(final), scratch("building"))
	if err != nil {
		return "", fmt.Errorf("artifact %s %s: %w", r.kind, r.name, err)
	}
	defer os.RemoveAll(tmp)
	started := time.Now()
	if err := build(ctx, tmp); err != nil {
		return "", fmt.Errorf("build %s %s: %w", r.kind, r.name, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", fmt.Errorf("artifact %s %s: %w", r.kind, r.name, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("put %s %s in place: %w", r.kind, r.name, err)
	}
	s.logf("built %s %s in %s", r.kind, r.name, time.Since(started).Round(time.Second))
	return final, nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// LockFile takes an exclusive lock on path + ".lock" that dies with the process.
// The file is gone again once the lock is given back.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		f, held, err := tryLock(path + ".lock")
		if err != nil {
			return nil, err
		}
		if held {
			return func() { _ = errors.Join(os.Remove(f.Name()), f.Close()) }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds %s.lock: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// tryLock does not get the lock when another holds it, or removed the file
// between its opening and its locking.
func tryLock(path string) (f *os.File, held bool, err error) {
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		mine, statErr := f.Stat()
		there, pathErr := os.Stat(path)
		if statErr == nil && pathErr == nil && os.SameFile(mine, there) {
			return f, true, nil
		}
	}
	_ = f.Close() // it was only a candidate
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = nil
	}
	return nil, false, err
}
