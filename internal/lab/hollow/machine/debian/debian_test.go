package debian

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// real is a paragraph of a real database.
const real = `Package: kubelet
Status: hold ok installed
Priority: optional
Section: admin
Version: 1.33.13-1.1
Conffiles:
 /etc/default/kubelet 0b7b0a2e0e9d4b2f3c4d5e6f7a8b9c0d
Description: Node agent for Kubernetes clusters

Package: zlib1g
Status: install ok installed
Version: 1:1.2.13.dfsg-1
Description: compression library - runtime

`

func host(t *testing.T) (*System, *vfs.FS, *shell.Shell) {
	t.Helper()
	f := vfs.New()
	s := &System{Host: "w-1", Architecture: "amd64", Repository: NewRepository("https://pkgs/v{minor}/deb/"), Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if err := s.Install(f, Package{Name: "tools", Version: "1.0-1", Files: map[string]string{"/usr/bin/tool": "1.0"}}); err != nil {
		t.Fatal(err)
	}
	return s, f, shell.New(f, s.Programs())
}

func TestDatabaseKeepsWhatItDoesNotKnow(t *testing.T) {
	f := vfs.New()
	if err := errors.Join(f.MkdirAll("/var/lib/dpkg", 0o755), f.WriteFile(statusFile, []byte(real), 0o644)); err != nil {
		t.Fatal(err)
	}
	d, err := readDatabase(f, statusFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.save(f); err != nil {
		t.Fatal(err)
	}
	got, err := f.ReadFile(statusFile)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(strings.Lines(real))
	if !slices.Equal(slices.Sorted(strings.Lines(string(got))), want) {
		t.Errorf("the database became\n%s", got)
	}
	if v, err := Version(f, "zlib1g"); err != nil || v != "1:1.2.13.dfsg-1" {
		t.Errorf("zlib1g is %q, %v", v, err)
	}
	if held, err := Held(f); err != nil || !slices.Equal(held, []string{"kubelet"}) {
		t.Errorf("held are %v, %v", held, err)
	}
}

func TestCompare(t *testing.T) {
	for _, pair := range [][2]string{{"1.31.9-1.1", "1.31.10-1.1"}, {"1.31.14-1.1", "1.32.0-1.1"}, {"1.31.1-1.1", "1.31.1-1.2"}, {"1.31", "1.31.0"}} {
		if compare(pair[0], pair[1]) >= 0 || compare(pair[1], pair[0]) <= 0 || compare(pair[0], pair[0]) != 0 {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
	name, atLeast := dependency("cri-tools (>= 1.30.0)")
	if name != "cri-tools" || !satisfies("1.31.0-1.1", atLeast) || satisfies("1.29.0-1.1", atLeast) || satisfies("", atLeast) {
		t.Errorf("dependency on %q from %q", name, atLeast)
	}
}

func TestRepository(t *testing.T) {
	r := NewRepository("https://pkgs/v{minor}/deb/")
	r.Publish("1.31", Package{Name: "kubeadm", Version: "1.31.1-1.1"}, Package{Name: "kubeadm", Version: "1.31.2-1.1"})
	outage := func(host, url string) Outage {
		_, err := r.Fetch(host, url)
		var fetch *FetchError
		if errors.As(err, &fetch) {
			return fetch.Outage
		}
		return ""
	}
	for url, want := range map[string]Outage{"https://pkgs/v1.31/deb": "", "https://pkgs/v1.31/deb/": "", "https://pkgs/v1.99/deb/": NotFound, "https://other/": Unreachable} {
		if got := outage("w-1", url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	restore := r.Fail("w-1", "1.31", NotFound)
	if outage("w-1", r.URL("1.31")) != NotFound || outage("w-2", r.URL("1.31")) != "" {
		t.Error("one host's outage is not one host's")
	}
	restore()
	r.Withdraw("1.31", "1.31.2-1.1")
	if got, err := r.Fetch("w-1", r.URL("1.31")); err != nil || len(got) != 1 || got[0].Version != "1.31.1-1.1" {
		t.Errorf("after a version was withdrawn: %v, %v", got, err)
	}
}

// A dependency comes along only where what is installed does not do.
func TestDependencies(t *testing.T) {
	s, f, sh := host(t)
	s.Repository.Publish("1.31",
		Package{Name: "tools", Version: "1.5-1", Files: map[string]string{"/usr/bin/tool": "1.5"}},
		Package{Name: "easy", Version: "1-1", Depends: []string{"tools (>= 1.0)"}, Files: map[string]string{}},
		Package{Name: "fussy", Version: "1-1", Depends: []string{"tools (>= 1.5)"}, Files: map[string]string{}},
		Package{Name: "hopeless", Version: "1-1", Depends: []string{"tools (>= 2)"}, Files: map[string]string{}},
	)
	run := func(line string) (int, string) {
		var out strings.Builder
		code := sh.Exec(t.Context(), &shell.Process{Args: []string{"sh", "-c", line}, FS: f, Root: true, Stdout: &out, Stderr: &out})
		return code, out.String()
	}
	if code, out := run("mkdir -p /etc/apt && echo 'deb https://pkgs/v1.31/deb/ /' >/etc/apt/sources.list && apt-get update"); code != 0 {
		t.Fatal(out)
	}
	for _, step := range []struct{ name, tools string }{{"easy", "1.0-1"}, {"fussy", "1.5-1"}} {
		if code, out := run("apt-get install -y " + step.name + "=1-1"); code != 0 {
			t.Fatal(out)
		}
		if v, err := Version(f, "tools"); err != nil || v != step.tools {
			t.Errorf("after %s, tools is %q, want %q (%v)", step.name, v, step.tools, err)
		}
	}
	if code, out := run("apt-get install -y hopeless=1-1"); code != failure || !strings.Contains(out, "unmet dependencies") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := run("apt-mark hold tools && apt-mark hold tools && apt-mark unhold tools && apt-mark unhold tools"); code != 0 || out != "tools set on hold.\ntools was already set on hold.\nCanceled hold on tools.\ntools was already not on hold.\n" {
		t.Errorf("%d, %s", code, out)
	}
}

func TestSources(t *testing.T) {
	const key = "/etc/apt/keyrings/k.gpg"
	want := source{url: "https://pkgs/v1.31/deb/", key: key}
	for file, text := range map[string]string{
		"/a.list":    "# a comment\ndeb [signed-by=" + key + "] https://pkgs/v1.31/deb/ /\n",
		"/a.sources": "Types: deb\nURIs: https://pkgs/v1.31/deb/\nSuites: /\nSigned-By: " + key + "\n",
	} {
		if got := readSources(file, text); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", file, got)
		}
	}
}
