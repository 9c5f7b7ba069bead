package step

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDnf(t *testing.T) {
	s := newShell(t, map[string]string{
		"dnf": failing + `
case $* in *--downloadonly*) exit 0 ;; esac
for spec; do case $spec in kube*-[0-9]*) sed -i "/^${spec%%-*} /d" "$STATE/installed"; echo "${spec%%-*} ${spec#*-}" >>"$STATE/installed" ;; esac; done`,
		"rpm":       `for name; do :; done; v=$(sed -n "s/^$name //p" "$STATE/installed"); [ -n "$v" ] && printf %s "$v"`,
		"systemctl": systemd, "kubelet": prints, "kubectl": prints, "sync": "",
	})
	s.write("state/installed", "kubelet 1.33.13-150500.1.1\nkubectl 1.33.13-150500.1.1\n")
	p := s.request()
	p.pins = []string{"kubelet=1.34.4-150500.1.1", "kubectl=1.34.4-150500.1.1"}
	p.repository, p.file, p.key = "https://pkgs.example/v1.34/rpm/", s.path("etc/kubernetes.repo"), "https://pkgs.example/key"
	s.write("etc/kubernetes.repo", "[kubernetes]\nbaseurl=old\n")
	look := []string{"rpm", "kube", "systemctl show"}

	if _, stderr, code := s.run(s.here(dnf{}.fetch(p))); code != 0 {
		t.Fatalf("fetch: exit code %d\n%s", code, stderr)
	}
	calls := s.calls(look...)
	tmp := calls[strings.Index(calls, "DIR/tmp/")+len("DIR/tmp/"):]
	tmp, _, _ = strings.Cut(tmp, " ")
	golden(t, "dnf_fetch.calls", strings.ReplaceAll(calls, tmp, "TMP"))
	if _, stderr, code := s.run(s.here(dnf{}.fetch(p)), "FAIL=dnf"); code != 66 || !strings.Contains(stderr, "kubelet-1.34.4-150500.1.1 kubectl-1.34.4-150500.1.1 could not be downloaded from https://pkgs.example/v1.34/rpm/") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if _, _, code := s.run(s.here(dnf{}.install(p)), "FAIL=dnf"); code != 66 {
		t.Errorf("exit code %d", code)
	}
	if _, stderr, code := s.run(s.here(dnf{}.install(p))); code != 0 {
		t.Fatalf("install: exit code %d\n%s", code, stderr)
	}
	golden(t, "dnf_install.calls", s.calls(look...))
	golden(t, "dnf_install.repo", s.read("etc/kubernetes.repo"))
	if out, _, _ := s.run(dnf{}.installed(p)); out != "yes\n" {
		t.Errorf("says %q", out)
	}
	p.downgrade, p.pins = true, []string{"kubelet=1.33.13-150500.1.1"}
	p.version = "v1.33.13"
	if _, stderr, code := s.run(s.here(dnf{}.install(p))); code != 0 || !strings.Contains(s.calls(), "dnf -y downgrade") {
		t.Errorf("downgrade: exit code %d\n%s%s", code, stderr, s.calls())
	}
}

func TestBinaries(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl, which nodes download with, is not on PATH: apt-get install curl")
	}
	const program = "#!/bin/sh\necho v1.34.4\n"
	sum := strings.Fields(output(t, "sh", "-c", "printf '%s' \"$1\" | sha256sum", "sh", program))[0]
	var served atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/kubelet":
			_, _ = w.Write([]byte(program))
		case "/kubelet.sha256":
			_, _ = w.Write([]byte(served.Load().(string) + "  kubelet\n"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	s := newShell(t, map[string]string{"systemctl": systemd, "kubelet": "echo v1.33.13", "sync": ""})
	p := s.request()
	p.pins, p.url, p.checksumURL = []string{"kubelet=1.34.4"}, srv.URL+"/{binary}", "{url}.sha256"

	served.Store(strings.Repeat("0", 64))
	_, stderr, code := s.run(s.here(binaries{}.fetch(p)))
	if code != 65 || !strings.Contains(stderr, "has SHA-256 "+sum) {
		t.Errorf("wrong checksum: exit code %d\n%s", code, stderr)
	}
	served.Store("")
	if _, stderr, code := s.run(s.here(binaries{}.fetch(p))); code != 66 || !strings.Contains(stderr, "holds no SHA-256") {
		t.Errorf("no checksum: exit code %d\n%s", code, stderr)
	}
	if out, _, _ := s.run(s.here(binaries{}.fetched(p))); out != "no: kubelet\n" {
		t.Errorf("says %q", out)
	}
	served.Store(sum)
	if _, stderr, code := s.run(s.here(binaries{}.fetch(p))); code != 0 {
		t.Fatalf("fetch: exit code %d\n%s", code, stderr)
	}
	if out, _, _ := s.run(s.here(binaries{}.fetched(p))); out != "yes\n" {
		t.Errorf("says %q", out)
	}
	srv.Close() // what was fetched is enough
	if _, stderr, code := s.run(s.here(binaries{}.install(p))); code != 0 {
		t.Fatalf("install: exit code %d\n%s", code, stderr)
	}
	if got := s.read("bin/kubelet"); got != program {
		t.Errorf("installed %q", got)
	}
	if out, _, _ := s.run(s.here(binaries{}.installed(p))); out != "yes\n" {
		t.Errorf("says %q", out)
	}
}

func output(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestBackupScript(t *testing.T) {
	s := newShell(t, map[string]string{
		"dpkg-query": `printf 'kubelet\t1.33.13-1.1\tinstalled\n'`, "apt-mark": "echo kubelet", "sync": "",
	})
	s.write("etc/kubernetes/admin.conf", "secret")
	s.write("etc/kubernetes/tmp/big", "not this")
	s.write("var/config.yaml", "kubelet")
	target := s.path("lib/run-1/backup/1.34.tar")
	argv := script([]string{"common", "backup"}, target, "1", s.path("etc/kubernetes/tmp"), s.path("etc/kubernetes"), s.path("var/config.yaml"), s.path("var/absent"))
	out, stderr, code := s.run(argv)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	digest, err := sumOutput(out)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := Digest(target); got != digest {
		t.Errorf("digest %s, want %s", digest, got)
	}
	if st, _ := os.Stat(target); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	list := output(t, "tar", "-tf", target)
	for _, want := range []string{"/etc/kubernetes/admin.conf\n", "/var/config.yaml\n", "kup-state/dpkg\n", "kup-state/holds\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is not in the archive\n%s", want, list)
		}
	}
	if strings.Contains(list, "big") {
		t.Errorf("an excluded path is in the archive\n%s", list)
	}
	if got := output(t, "tar", "-xOf", target, "kup-state/absent"); got != s.path("var/absent")+"\n" {
		t.Errorf("absent: %q", got)
	}
	if left, _ := os.ReadDir(s.path("lib/run-1/backup")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestImagesScripts(t *testing.T) {
	missing := script([]string{"images_missing"}, "unix:///run/c.sock", "a:1", "b:1")
	pull := script([]string{"images_pull"}, "unix:///run/c.sock", "b:1")
	tests := map[string]struct {
		programs map[string]string
		calls    string
	}{
		"crictl": {
			map[string]string{"crictl": failing + `case $* in *"inspecti -q b:1") exit 1 ;; esac`},
			"crictl --runtime-endpoint unix:///run/c.sock pull b:1\n",
		},
		"ctr": {map[string]string{"ctr": failing + `case $* in *list*) echo a:1 ;; esac`}, "b:1\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShell(t, tt.programs)
			s.env[0] = "PATH=" + s.path("bin") + ":" + only(t, s, "grep", "sh")
			out, stderr, code := s.run(missing)
			if code != 0 || out != "b:1\n" {
				t.Errorf("exit code %d, says %q\n%s", code, out, stderr)
			}
			if _, _, code := s.run(pull); code != 0 || !strings.HasSuffix(s.calls(), tt.calls) {
				t.Errorf("exit code %d, calls %q", code, s.calls())
			}
			if _, _, code := s.run(missing, "FAIL="+name); code != 9 {
				t.Errorf("a runtime that does not answer: exit code %d", code)
			}
			if _, _, code := s.run(pull, "FAIL="+name); code != 9 {
				t.Errorf("a pull that fails: exit code %d", code)
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		s := newShell(t, nil)
		s.env[0] = "PATH=" + only(t, s, "sh")
		if _, stderr, code := s.run(missing); code != 69 || !strings.Contains(stderr, "install cri-tools") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
}

// only makes a directory with links to the named programs of this machine.
func only(t *testing.T, s *shell, names ...string) string {
	t.Helper()
	dir := s.path("only")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
