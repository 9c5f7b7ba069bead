package step

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// backedUp is a shell whose node was backed up, and then changed as an upgrade does.
func backedUp(t *testing.T) (s *shell, digest string) {
	t.Helper()
	s = newShell(t, map[string]string{"systemctl": systemd, "sync": ""})
	for file, text := range map[string]string{
		"etc/kubernetes/admin.conf":                    "admin of before",
		"etc/kubernetes/manifests/kube-apiserver.yaml": "server of before",
		"etc/kubernetes/manifests/etcd.yaml":           "etcd of before",
		"etc/kubernetes/pki/ca.key":                    "key",
		"etc/kubernetes/pki/sa.key":                    "sa of before",
		"etc/kubernetes/gone/a":                        "gone since",
		"etc/kubernetes/tmp/big":                       "not in the backup",
		"var/config.yaml":                              "config of before",
	} {
		s.write(file, text)
	}
	link(t, "ca.key", s.path("etc/kubernetes/pki/link.key"))
	mode(t, s.path("etc/kubernetes/pki/ca.key"), 0o600)
	mode(t, s.path("etc/kubernetes/pki"), 0o750)
	out, stderr, code := s.run(script([]string{"common", "backup"}, s.path("lib/run-1/backup/1.34.tar"), "1", s.path("etc/kubernetes/tmp"),
		s.path("etc/kubernetes"), s.path("var/config.yaml"), s.path("var/instance.yaml")))
	if code != 0 {
		t.Fatal(stderr)
	}
	digest, err := sumOutput(out)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"etc/kubernetes/admin.conf":                    "admin of now",
		"etc/kubernetes/manifests/kube-apiserver.yaml": "server of now",
		"etc/kubernetes/manifests/etcd.yaml":           "etcd of now",
		"etc/kubernetes/manifests/new.yaml":            "new",
		"etc/kubernetes/pki/sa.key":                    "sa of now",
		"etc/kubernetes/super-admin.conf":              "new",
		"etc/kubernetes/fresh/b/c":                     "new",
		"etc/kubernetes/tmp/more":                      "kubeadm's",
		"var/config.yaml":                              "config of now",
		"var/instance.yaml":                            "new",
	} {
		s.write(file, text)
	}
	for _, file := range []string{"etc/kubernetes/gone", "etc/kubernetes/pki/link.key"} {
		if err := os.RemoveAll(s.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	mode(t, s.path("etc/kubernetes/pki/ca.key"), 0o644)
	mode(t, s.path("etc/kubernetes/pki"), 0o755)
	link(t, "sa.key", s.path("etc/kubernetes/pki/link.key"))
	return s, strings.TrimPrefix(digest, "sha256:")
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, name string, to os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, to); err != nil {
		t.Fatal(err)
	}
}

func (s *shell) putBack(digest string, keep []string, paths ...string) []string {
	params := []string{s.path("lib/run-1/backup/1.34.tar"), digest, strconv.Itoa(len(keep))}
	for _, list := range [][]string{keep, paths} {
		for _, p := range list {
			params = append(params, s.path(p))
		}
	}
	return script([]string{"common", "files"}, params...)
}

// all lists what is below a directory: mode, path and content, or target.
func (s *shell) all(dir string) string {
	s.t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(s.path(dir), func(file string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			content, err = os.Readlink(file)
		case !info.IsDir():
			var b []byte
			b, err = os.ReadFile(file)
			content = string(b)
		}
		rel, _ := filepath.Rel(s.dir, file)
		out.WriteString(info.Mode().String() + " " + rel + ": " + content + "\n")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

func TestFilesPutBack(t *testing.T) {
	s, digest := backedUp(t)
	argv := s.putBack(digest, []string{"etc/kubernetes/pki/sa.key"}, "etc/kubernetes", "var/config.yaml", "var/instance.yaml")
	out, stderr, code := s.run(argv)
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	golden(t, "files.tree", s.all("etc")+s.all("var"))
	golden(t, "files.calls", s.calls("sync"))
	if first, last := strings.Index(out, "admin.conf"), strings.Index(out, "manifests/"); first < 0 || last < first {
		t.Errorf("static pods must come last:\n%s", out)
	}
	if left, _ := os.ReadDir(s.path("lib/run-1/backup")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	t.Run("again", func(t *testing.T) {
		out, stderr, code := s.run(argv)
		if code != 0 || strings.Contains(out, "back\n") || strings.Contains(out, "removed") {
			t.Errorf("exit code %d\n%s%s", code, out, stderr)
		}
	})
}

// Parts of what was backed up go back alone.
func TestFilesPutBackInParts(t *testing.T) {
	s, digest := backedUp(t)
	paths := []string{"etc/kubernetes/manifests/kube-apiserver.yaml", "etc/kubernetes/super-admin.conf", "etc/kubernetes/gone/a"}
	if out, stderr, code := s.run(s.putBack(digest, nil, paths...)); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	for file, want := range map[string]string{
		"etc/kubernetes/manifests/kube-apiserver.yaml": "server of before", "etc/kubernetes/manifests/etcd.yaml": "etcd of now",
		"etc/kubernetes/super-admin.conf": "", "etc/kubernetes/gone/a": "gone since", "etc/kubernetes/admin.conf": "admin of now",
	} {
		if got := s.read(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

// Cut at each of its calls, the script ends well when it is run again.
func TestFilesFromAnyPoint(t *testing.T) {
	whole, digest := backedUp(t)
	paths := []string{"etc/kubernetes", "var/config.yaml", "var/instance.yaml"}
	if _, stderr, code := whole.run(whole.putBack(digest, nil, paths...)); code != 0 {
		t.Fatal(stderr)
	}
	want := whole.all("etc") + whole.all("var")
	for program, moments := range map[string][]int{"tar": {1}, "cp": {3}, "mv": {1, 4}, "rmdir": {1}, "chmod": {1}, "sort": {2}} {
		for _, nth := range moments {
			s, digest := backedUp(t)
			s.program(program, `n=$(($(cat "$STATE/n" 2>/dev/null || echo 0) + 1)); echo $n >"$STATE/n"
[ -z "${CUT:-}" ] || [ $n -ne "$CUT" ] || { kill -KILL $PPID; exit 1; }
exec /usr/bin/`+program+` "$@"`)
			_, _, code := s.run(s.putBack(digest, nil, paths...), "CUT="+strconv.Itoa(nth))
			if code == 0 {
				t.Fatalf("%s is not called %d times", program, nth)
			}
			if out, stderr, code := s.run(s.putBack(digest, nil, paths...)); code != 0 {
				t.Fatalf("%s %d: exit code %d\n%s%s", program, nth, code, out, stderr)
			}
			if got := s.all("etc") + s.all("var"); got != want {
				t.Errorf("cut at %s %d:\n%s\nwant\n%s", program, nth, got, want)
			}
		}
	}
}

func TestFilesRefused(t *testing.T) {
	tests := map[string]struct {
		digest  string
		prepare func(s *shell)
		paths   []string
		last    string
	}{
		"other digest": {digest: strings.Repeat("0", 64), last: "was recorded; nothing was changed"},
		"no archive":   {prepare: func(s *shell) { _ = os.Remove(s.path("lib/run-1/backup/1.34.tar")) }, last: "is missing; nothing was changed"},
		"unknown":      {paths: []string{"etc/passwd"}, last: "knows nothing of"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, digest := backedUp(t)
			if tt.prepare != nil {
				tt.prepare(s)
			}
			if tt.digest != "" {
				digest = tt.digest
			}
			before := s.all("etc")
			_, stderr, code := s.run(s.putBack(digest, nil, append([]string{"etc/kubernetes"}, tt.paths...)...))
			if code != 65 || !strings.Contains(stderr, tt.last) {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			if after := s.all("etc"); after != before {
				t.Errorf("changed:\n%s", after)
			}
		})
	}
}
