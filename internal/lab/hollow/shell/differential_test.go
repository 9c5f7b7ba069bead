package shell_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// result is what a script did, as far as it must be the same everywhere.
type result struct {
	out   string
	code  int
	files string
}

// TestAsTheRealShell runs scripts here and with the machine's own programs.
func TestAsTheRealShell(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Fatalf("there is no shell to compare with: %v", err)
	}
	archive, err := txtar.ParseFile("testdata/snippets.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, snippet := range archive.Files {
		t.Run(snippet.Name, func(t *testing.T) {
			t.Parallel()
			want := really(t, string(snippet.Data))
			got := modelled(t, string(snippet.Data))
			if got != want {
				t.Errorf("here: exit code %d\n%s%s\nreally: exit code %d\n%s%s", got.code, got.out, got.files, want.code, want.out, want.files)
			}
		})
	}
}

// really runs a script with the machine's shell in an empty directory.
func really(t *testing.T, script string) result {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, "sh", "echo", "ran")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root", "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return result{out.String(), cmd.ProcessState.ExitCode(), tree(t, os.DirFS(dir))}
}

// modelled runs it here.
func modelled(t *testing.T, script string) result {
	t.Helper()
	files := vfs.New()
	for _, dir := range []string{"/w", "/etc"} {
		if err := files.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var out, said bytes.Buffer
	code := shell.New(files, nil).Exec(t.Context(), &shell.Process{
		Args: []string{"sh", "-c", script, "sh", "echo", "ran"}, Dir: "/w", Stdout: &out, Stderr: &said, Root: true,
		Env: shell.Environment(map[string]string{"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C"}, nil),
	})
	t.Logf("stderr: %s", said.String())
	dir := t.TempDir()
	export(t, files, "/w", dir)
	return result{out.String(), code, tree(t, os.DirFS(dir))}
}

// export writes a tree to the real file system, to be looked at like the other.
func export(t *testing.T, files *vfs.FS, from, to string) {
	t.Helper()
	entries, err := files.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		source, target := from+"/"+entry.Name(), filepath.Join(to, entry.Name())
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, 0o700)
			if err == nil {
				export(t, files, source, target)
			}
		case entry.Type()&fs.ModeSymlink != 0:
			var link string
			if link, err = files.ReadLink(source); err == nil {
				err = os.Symlink(link, target)
			}
		default:
			var content []byte
			if content, err = files.ReadFile(source); err == nil {
				err = os.WriteFile(target, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists files with their contents.
func tree(t *testing.T, files fs.FS) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", name, entry.Type())
		if entry.Type().IsRegular() {
			content, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", content)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
