package vfs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// files is what the model and the real file system have in common.
type files interface {
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte, perm fs.FileMode) error
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	ReadLink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldName, newName string) error
	Symlink(target, name string) error
	Chmod(name string, mode fs.FileMode) error
}

var _ files = (*vfs.FS)(nil)

// real is the real file system below a directory, whose symbolic links are relative.
type real string

func (r real) path(name string) string { return string(r) + name }

func (r real) ReadFile(name string) ([]byte, error) { return os.ReadFile(r.path(name)) }
func (r real) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return os.WriteFile(r.path(name), data, perm)
}
func (r real) Stat(name string) (fs.FileInfo, error)        { return os.Stat(r.path(name)) }
func (r real) Lstat(name string) (fs.FileInfo, error)       { return os.Lstat(r.path(name)) }
func (r real) ReadLink(name string) (string, error)         { return os.Readlink(r.path(name)) }
func (r real) Mkdir(name string, perm fs.FileMode) error    { return os.Mkdir(r.path(name), perm) }
func (r real) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(r.path(name), perm) }
func (r real) Remove(name string) error                     { return os.Remove(r.path(name)) }
func (r real) RemoveAll(name string) error                  { return os.RemoveAll(r.path(name)) }
func (r real) Rename(a, b string) error                     { return syscall.Rename(r.path(a), r.path(b)) }
func (r real) Symlink(target, name string) error            { return os.Symlink(target, r.path(name)) }
func (r real) Chmod(name string, mode fs.FileMode) error    { return os.Chmod(r.path(name), mode) }

// do does one thing, written as words, and tells how it went.
func do(f files, line string) string {
	words := append(strings.Fields(line), "", "")
	a, b := words[1], words[2]
	var said string
	var err error
	switch words[0] {
	case "write":
		err = f.WriteFile(a, []byte(b), 0o644)
	case "read":
		var content []byte
		content, err = f.ReadFile(a)
		said = string(content)
	case "mkdir":
		err = f.Mkdir(a, 0o755)
	case "mkdirall":
		err = f.MkdirAll(a, 0o755)
	case "remove":
		err = f.Remove(a)
	case "removeall":
		err = f.RemoveAll(a)
	case "rename":
		err = f.Rename(a, b)
	case "link":
		err = f.Symlink(a, b)
	case "readlink":
		said, err = f.ReadLink(a)
	case "chmod":
		err = f.Chmod(a, 0o600)
	case "stat", "lstat":
		look := f.Stat
		if words[0] == "lstat" {
			look = f.Lstat
		}
		var info fs.FileInfo
		if info, err = look(a); err == nil {
			said = fmt.Sprint(info.Name(), " ", info.Mode())
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return said + errno.Error()
	}
	return fmt.Sprint(said, err)
}

// TestAsLinux does the same here and on the real file system.
func TestAsLinux(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	model, machine := vfs.New(), real(t.TempDir())
	for _, line := range strings.Split(strings.TrimSpace(`
		write /f one
		read /f
		read /none
		read /none/f
		read /f/x
		read /f/
		write /none/f x
		mkdir /d
		mkdir /d
		mkdir /f
		mkdir /f/x
		mkdir /e/
		write /d x
		write /d/f two
		write /new/ x
		remove /d
		remove /none
		mkdirall /a/b/c
		mkdirall /a/b
		mkdirall /f
		mkdirall /f/x
		link f /l
		read /l
		stat /l
		lstat /l
		readlink /l
		readlink /f
		link ../f /d/up
		read /d/up
		link d /dl
		read /dl/up
		read /dl/../f
		lstat /dl
		lstat /dl/
		stat /dl/.
		link nowhere /dangling
		read /dangling
		write /dangling made
		read /nowhere
		link loop2 /loop1
		link loop1 /loop2
		read /loop1
		stat /loop1
		lstat /loop1
		write /loop1 x
		link f /l
		link f /none/l
		rename /f /g
		read /l
		rename /g /f
		rename /f /d
		rename /d /f
		rename /none /x
		rename /f /none/x
		rename /d /a
		rename /d /a/b/c
		read /a/b/c/f
		rename /a /a/b/x
		rename /f /f
		read /f
		rename /f /a/
		rename /l /m
		readlink /m
		remove /m
		stat /f
		chmod /f
		stat /f
		chmod /none
		removeall /a
		removeall /a
		removeall /f/x
		remove /f
		stat /a/b
		write /./x//y z
		mkdir /x
		write /./x//y z
		read /x/./y
		read /x/../x/y
		read /x/y/..
		remove /x/y
		remove /x/
		stat /x`), "\n") {
		line = strings.TrimSpace(line)
		if got, want := do(model, line), do(machine, line); got != want {
			t.Errorf("%s: %q, really %q", line, got, want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	f := vfs.New()
	h, err := f.OpenFile("/f", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.OpenFile("/f", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made again: %v", err)
	}
	end, err := f.OpenFile("/f", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		to   io.Writer
		text string
	}{{h, "one"}, {end, "two"}, {h, "THREE"}} {
		if _, err := io.WriteString(w.to, w.text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Seek(-2, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(h); err != nil || string(rest) != "EE" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.EBADF) {
		t.Errorf("read from a file that is open for writing: %v", err)
	}
	if err := f.Remove("/f"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Seek(12, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Write([]byte("x")); err != nil {
		t.Errorf("write to a removed file: %v", err)
	}
	if info, err := h.Stat(); err != nil || info.Size() != 13 || info.Mode() != 0o640 {
		t.Errorf("the removed file is %v, %v", info, err)
	}
	if used, _ := f.Size(); used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
	if err := errors.Join(h.Close(), end.Close()); err != nil {
		t.Error(err)
	}
	if err := h.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
}

func TestDevices(t *testing.T) {
	f := vfs.New()
	if err := f.WriteFile("/dev/null", []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	if content, err := f.ReadFile("/dev/null"); err != nil || len(content) > 0 {
		t.Errorf("/dev/null has %q, %v", content, err)
	}
	zero, err := f.OpenFile("/dev/zero", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte("xxx")
	if n, err := io.ReadFull(zero, b); n != 3 || err != nil || string(b) != "\x00\x00\x00" {
		t.Errorf("/dev/zero gives %q, %v", b, err)
	}
}

func TestFull(t *testing.T) {
	f := vfs.New()
	write := func(name, text string) error { return f.WriteFile(name, []byte(text), 0o600) }
	if err := write("/a", "12345"); err != nil {
		t.Fatal(err)
	}
	f.SetFree(5)
	if err := write("/b", "123456"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than is free: %v", err)
	}
	if err := errors.Join(write("/b", "1"), write("/a", "123456789"), write("/a", "12")); err != nil {
		t.Errorf("what is replaced makes room: %v", err)
	}
	if used, free := f.Size(); used != 3 || free != 7 {
		t.Errorf("used %d, free %d", used, free)
	}
	if err := errors.Join(f.RemoveAll("/a"), f.Rename("/b", "/c")); err != nil {
		t.Fatal(err)
	}
	if used, free := f.Size(); used != 1 || free != 9 {
		t.Errorf("used %d, free %d", used, free)
	}
	f.SetFree(-1)
	if _, free := f.Size(); free >= 0 {
		t.Errorf("free %d without a limit", free)
	}
}

func TestClone(t *testing.T) {
	f := vfs.New()
	for _, dir := range []string{"/d/e", "/f"} {
		if err := f.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.WriteFile("/d/f", []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	clone := f.Clone()
	change := func(f *vfs.FS, text string) {
		t.Helper()
		h, err := f.OpenFile("/d/f", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	change(clone, "CLONE")
	change(f, "f")
	if err := clone.RemoveAll("/d/e"); err != nil {
		t.Fatal(err)
	}
	for files, want := range map[*vfs.FS]string{f: "fhared", clone: "CLONEd"} {
		if got, err := files.ReadFile("/d/f"); err != nil || string(got) != want {
			t.Errorf("the file is %q, want %q, %v", got, want, err)
		}
	}
	if _, err := f.Stat("/d/e"); err != nil {
		t.Errorf("removed from the clone, and gone: %v", err)
	}
}

func TestSave(t *testing.T) {
	f := vfs.New()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	f.SetClock(func() time.Time { return at })
	err := errors.Join(f.MkdirAll("/d/empty", 0o700), f.WriteFile("/d/f", []byte("a\x00\xff"), 0o4750|fs.ModeSetuid), f.Symlink("../d/f", "/d/l"), f.Chmod("/d/empty", 0o711))
	if err != nil {
		t.Fatal(err)
	}
	f.SetFree(100)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var again vfs.FS
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/", "/d", "/d/empty", "/d/f", "/d/l", "/dev/null", "/tmp"} {
		want, err := f.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.Lstat(name)
		if err != nil || got.Mode() != want.Mode() || got.Size() != want.Size() || !got.ModTime().Equal(want.ModTime()) {
			t.Errorf("%s is %v, want %v, %v", name, got, want, err)
		}
	}
	if content, err := again.ReadFile("/d/l"); err != nil || string(content) != "a\x00\xff" {
		t.Errorf("the file has %q, %v", content, err)
	}
	if used, free := again.Size(); used != 3 || free != 100 {
		t.Errorf("used %d, free %d", used, free)
	}
	if err := again.WriteFile("/new", []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal([]byte(`{"root":{"mode":420}}`), &again); err == nil {
		t.Error("a root that is no directory was taken")
	}
}

func TestChanges(t *testing.T) {
	f := vfs.New()
	if err := f.MkdirAll("/etc/kubernetes", 0o755); err != nil {
		t.Fatal(err)
	}
	changed, end := f.Changes("/etc/kubernetes/manifests")
	told := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"another directory", func() error { return f.WriteFile("/tmp/f", nil, 0o600) }, false},
		{"a name that begins the same", func() error { return f.Mkdir("/etc/kubernetes/manifests2", 0o755) }, false},
		{"the directory", func() error { return f.Mkdir("/etc/kubernetes/manifests", 0o755) }, true},
		{"a file", func() error { return f.WriteFile("/etc/kubernetes/manifests/a", []byte("x"), 0o600) }, true},
		{"through a link", func() error {
			return errors.Join(f.Symlink("/etc/kubernetes", "/link"), f.WriteFile("/link/manifests/a", []byte("y"), 0o600))
		}, true},
		{"a move into it", func() error { return f.Rename("/tmp/f", "/etc/kubernetes/manifests/b") }, true},
		{"reading", func() error { _, err := f.ReadFile("/etc/kubernetes/manifests/b"); return err }, false},
		{"a directory above", func() error { return f.Rename("/etc", "/old") }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := told(); got != step.want {
			t.Errorf("%s: told %v, want %v", step.name, got, step.want)
		}
	}
	end()
	if err := f.MkdirAll("/etc/kubernetes/manifests", 0o755); err != nil || told() {
		t.Errorf("told after the end, %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	f := vfs.New()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			dir := fmt.Sprintf("/%d", i)
			h, err := f.OpenFile("/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				_, err := fmt.Fprintln(h, dir)
				err = errors.Join(err, f.MkdirAll(dir+"/a", 0o755), f.WriteFile(dir+"/a/f", []byte(dir), 0o600), f.RemoveAll(dir))
				if err != nil {
					t.Error(err)
				}
				f.Clone()
			}
		})
	}
	wg.Wait()
	if content, err := f.ReadFile("/log"); err != nil || len(content) != 8*50*3 {
		t.Errorf("the log has %d bytes, %v", len(content), err)
	}
	if used, _ := f.Size(); used != 8*50*3 {
		t.Errorf("%d bytes are in use", used)
	}
}

func FuzzPaths(f *testing.F) {
	for _, name := range []string{"/", "", "a", "/a/../b", "//l/./f", "/l/..", "/d/l/f/", "/up/x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		files := vfs.New()
		if err := errors.Join(files.MkdirAll("/d", 0o755), files.Symlink("/d/../l", "/l"), files.Symlink("..", "/up"), files.WriteFile("/d/f", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		resolved, err := files.Resolve(name)
		if err != nil {
			return
		}
		if again, err := files.Resolve(resolved); err != nil || again != resolved || filepath.Clean(resolved) != resolved {
			t.Errorf("%q leads to %q, which leads to %q, %v", name, resolved, again, err)
		}
	})
}
