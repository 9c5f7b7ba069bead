package step

import (
	"os"
	"strings"
	"testing"
	"time"
)

// failing makes a stand-in fail when its call begins with $FAIL.
const failing = `
if [ -n "${FAIL:-}" ]; then
	case "${0##*/} $*" in "$FAIL"*) echo "E: ${0##*/} failed" >&2; exit 9 ;; esac
fi
`

// prints answers for a Kubernetes binary from what is installed.
const prints = `v=$(sed -n "s/^${0##*/} \([0-9.]*\).*/\1/p" "$STATE/installed"); echo "${PRINTS:-Kubernetes v$v}"`

var systemd = failing + `
case $1 in
show) echo "MainPID=$UNITPID" ;;
is-active) [ "${DOWN:-}" != yes ] ;;
esac`

func aptShell(t *testing.T) *shell {
	s := newShell(t, map[string]string{
		"dpkg-query": `for name; do :; done
v=$(sed -n "s/^$name //p" "$STATE/installed"); [ -n "$v" ] || exit 1; echo "installed $v"`,
		"apt-mark": failing + `
case $1 in
showhold) cat "$STATE/held" ;;
hold) echo "$2" >>"$STATE/held" ;;
unhold) grep -vxF "$2" "$STATE/held" >"$STATE/held2" || :; mv "$STATE/held2" "$STATE/held" ;;
esac`,
		"apt-get": failing + `
if [ -e "$STATE/locked" ]; then
	[ "$(cat "$STATE/locked")" = always ] || rm "$STATE/locked"
	echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 77 (unattended-upgr)' >&2
	exit 100
fi
[ -z "${KILL:-}" ] || [ "$1" != install ] || kill -TERM $PPID
case $* in *--download-only*) for pin; do case $pin in [a-z]*=*) echo x >"$STATE/archives/${pin%%=*}_${pin#*=}_amd64.deb" ;; esac; done; exit 0 ;; esac
[ "$1" != install ] || for pin; do
	case $pin in [a-z]*=*) sed -i "/^${pin%%=*} /d" "$STATE/installed"; echo "${pin%%=*} ${pin#*=}" >>"$STATE/installed" ;; esac
done`,
		"apt-cache": `for name; do :; done
sed -n "s,^$name=\(.*\),   $name | \1 | https://pkgs.example  Packages,p" "$STATE/offered"`,
		"apt-config": `echo "$2='$STATE/$2'"`,
		"dpkg":       failing,
		"systemctl":  systemd,
		"kubeadm":    prints, "kubelet": prints, "kubectl": prints,
		"sleep": "", "sync": "",
	})
	s.write("state/installed", "kubeadm 1.33.13-1.1\nkubelet 1.33.13-1.1\nkubectl 1.33.13-1.1\ncri-tools 1.33.0-1.1\n")
	s.write("state/held", "kubeadm\nkubelet\nkubectl\ncri-tools\n")
	s.write("state/offered", "kubeadm=1.34.4-1.1\nkubelet=1.34.4-1.1\nkubectl=1.34.4-1.1\n")
	s.write("state/archives/.keep", "")
	s.write("state/database", "Package: kubelet\nStatus: hold ok installed\n")
	s.write("etc/kubernetes.list", "deb https://pkgs.example/v1.33/deb/ /\n")
	return s
}

func (s *shell) request() request {
	return request{
		pins:       []string{"kubelet=1.34.4-1.1", "kubectl=1.34.4-1.1"},
		repository: "https://pkgs.example/v1.34/deb/", file: s.path("etc/kubernetes.list"), key: "/etc/apt/keyrings/k.gpg",
		hold: true, lock: 5 * time.Second, version: "v1.34.4", unit: "kubelet", hop: "1.34", run: "run-1",
	}
}

// here moves kup's directory on nodes into the shell's own.
func (s *shell) here(argv []string) []string {
	out := append([]string{}, argv...)
	for i := range out {
		if strings.HasPrefix(out[i], stateDir+"/") {
			out[i] = s.path("lib", strings.TrimPrefix(out[i], stateDir))
		}
	}
	return out
}

// looks are stand-ins that only answer; recordings leave them out.
var looks = []string{"dpkg-query", "apt-mark showhold", "sleep", "kube", "systemctl show"}

func TestAptInstall(t *testing.T) {
	s := aptShell(t)
	out, stderr, code := s.run(s.here(apt{}.install(s.request())))
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	golden(t, "apt_install.calls", s.calls(looks...))
	if got := s.read("etc/kubernetes.list"); got != "deb [signed-by=/etc/apt/keyrings/k.gpg] https://pkgs.example/v1.34/deb/ /\n" {
		t.Errorf("repository file: %q", got)
	}
	if got := s.read("lib/run-1/packages/1.34/kubernetes.list"); got != "deb https://pkgs.example/v1.33/deb/ /\n" {
		t.Errorf("kept: %q", got)
	}
	wantHeld(t, s)

	t.Run("again", func(t *testing.T) {
		if _, stderr, code := s.run(s.here(apt{}.install(s.request()))); code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		if got, want := s.calls(looks...), "systemctl daemon-reload\nsystemctl restart kubelet\nsystemctl is-active --quiet kubelet\n"; got != want {
			t.Errorf("calls:\n%s", got)
		}
		if got := s.read("lib/run-1/packages/1.34/kubernetes.list"); got != "deb https://pkgs.example/v1.33/deb/ /\n" {
			t.Errorf("kept: %q", got)
		}
	})
	t.Run("installed", func(t *testing.T) {
		if out, _, _ := s.run(apt{}.installed(s.request())); out != "yes\n" {
			t.Errorf("says %q", out)
		}
		if out, _, _ := s.run(apt{}.installed(s.request()), "DOWN=yes"); !strings.HasPrefix(out, "no: unit kubelet") {
			t.Errorf("says %q", out)
		}
		if out, _, _ := s.run(apt{}.installed(s.request()), "PRINTS=v1.33.13"); !strings.HasPrefix(out, "no: kubelet prints v1.33.13") {
			t.Errorf("says %q", out)
		}
		s.write("state/held", "kubectl\n")
		if out, _, _ := s.run(apt{}.installed(s.request())); out != "no: kubelet is not on hold\n" {
			t.Errorf("says %q", out)
		}
	})
}

func wantHeld(t *testing.T, s *shell) {
	t.Helper()
	for _, name := range []string{"kubeadm", "kubelet", "kubectl", "cri-tools"} {
		if !strings.Contains("\n"+s.read("state/held"), "\n"+name+"\n") {
			t.Errorf("%s is not on hold any more: %q", name, s.read("state/held"))
		}
	}
}

func TestAptInstallFails(t *testing.T) {
	tests := map[string]struct {
		env     string
		prepare func(s *shell)
		code    int
		last    string
		unheld  bool
	}{
		"unhold":          {env: "FAIL=apt-mark unhold", code: 9, last: "E: apt-mark failed"},
		"install":         {env: "FAIL=apt-get install", code: 9, last: "E: apt-get failed"},
		"daemon-reload":   {env: "FAIL=systemctl daemon-reload", code: 9, last: "E: systemctl failed"},
		"restart":         {env: "FAIL=systemctl restart", code: 9, last: "E: systemctl failed"},
		"not active":      {env: "DOWN=yes", code: 71, last: "kup: unit kubelet is not active after its restart; see journalctl -u kubelet"},
		"other binary":    {env: "PRINTS=v1.33.13", code: 70, last: "want v1.34.4: another kubelet is found before the package's"},
		"hold":            {env: "FAIL=apt-mark hold", code: 72, last: "E: apt-mark failed", unheld: true},
		"killed":          {env: "KILL=yes", code: 143},
		"missing version": {prepare: func(s *shell) { s.write("state/offered", "kubelet=1.34.4-1.1\n") }, code: 66, last: "kup: repository https://pkgs.example/v1.34/deb/ has no kubectl=1.34.4-1.1; check packages.repository and whether the version exists there"},
		"always locked":   {prepare: func(s *shell) { s.write("state/locked", "always") }, code: 100, last: "kup: another package manager held its lock"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := aptShell(t)
			if tt.prepare != nil {
				tt.prepare(s)
			}
			p := s.request()
			p.lock = 0
			_, stderr, code := s.run(s.here(apt{}.install(p)), tt.env)
			if code != tt.code || !strings.Contains(stderr, tt.last) {
				t.Errorf("exit code %d, want %d with %q\n%s", code, tt.code, tt.last, stderr)
			}
			if !tt.unheld {
				wantHeld(t, s)
			}
			// Whatever failed, the next attempt ends well.
			_ = os.Remove(s.path("state/locked"))
			s.write("state/offered", "kubelet=1.34.4-1.1\nkubectl=1.34.4-1.1\n")
			if _, stderr, code := s.run(s.here(apt{}.install(s.request()))); code != 0 {
				t.Errorf("next attempt: exit code %d\n%s", code, stderr)
			}
			wantHeld(t, s)
			if left, _ := os.ReadDir(s.path("tmp")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAptWaitsForLock(t *testing.T) {
	s := aptShell(t)
	s.write("state/locked", "once")
	out, stderr, code := s.run(s.here(apt{}.install(s.request())))
	if code != 0 || !strings.Contains(out, "another package manager holds its lock; waiting") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
}

// A repository that is out of reach does not matter once all is fetched.
func TestAptInstallWithoutNetwork(t *testing.T) {
	s := aptShell(t)
	if _, stderr, code := s.run(s.here(apt{}.install(s.request())), "FAIL=apt-get update"); code != 0 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestAptDowngradesOnlyWhenAsked(t *testing.T) {
	for _, asked := range []bool{true, false} {
		s := aptShell(t)
		p := s.request()
		p.downgrade = asked
		s.run(s.here(apt{}.install(p)))
		if got := strings.Contains(s.calls(), "--allow-downgrades"); got != asked {
			t.Errorf("asked %t: %s", asked, s.calls(looks...))
		}
	}
}

func TestAptSources(t *testing.T) {
	s := aptShell(t)
	p := s.request()
	p.file = s.path("etc/kubernetes.sources")
	if _, stderr, code := s.run(s.here(apt{}.install(p))); code != 0 {
		t.Fatal(stderr)
	}
	want := "Types: deb\nURIs: https://pkgs.example/v1.34/deb/\nSuites: /\nSigned-By: /etc/apt/keyrings/k.gpg\n"
	if got := s.read("etc/kubernetes.sources"); got != want {
		t.Errorf("got %q", got)
	}
}

func TestAptFetch(t *testing.T) {
	s := aptShell(t)
	before, held := s.read("state/installed"), s.read("state/held")
	if out, _, _ := s.run(apt{}.fetched(s.request())); out != "no: kubelet=1.34.4-1.1\n" {
		t.Errorf("says %q", out)
	}
	out, stderr, code := s.run(s.here(apt{}.fetch(s.request())))
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	calls := s.calls(looks...)
	tmp, _, _ := strings.Cut(calls[strings.Index(calls, "DIR/tmp/")+len("DIR/tmp/"):], "/")
	golden(t, "apt_fetch.calls", strings.ReplaceAll(calls, tmp, "TMP"))
	if s.read("state/installed") != before || s.read("state/held") != held {
		t.Error("a fetch changed what is installed or held")
	}
	if got := s.read("etc/kubernetes.list"); got != "deb https://pkgs.example/v1.33/deb/ /\n" {
		t.Errorf("a fetch changed the node's own source: %q", got)
	}
	if out, _, _ := s.run(apt{}.fetched(s.request())); out != "yes\n" {
		t.Errorf("says %q", out)
	}
	s.write("state/offered", "")
	if _, stderr, code := s.run(s.here(apt{}.fetch(s.request()))); code != 66 || !strings.Contains(stderr, "repository https://pkgs.example/v1.34/deb/ has no kubelet=1.34.4-1.1") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
