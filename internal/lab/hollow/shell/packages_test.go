package shell_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// packages is a host's package manager, as much as the scripts of kup ask of one.
type packages struct {
	versions map[string]string
	offered  string
	held     map[string]bool
	fails    string // what apt-get says instead
	calls    []string
}

func debian(versions map[string]string, held ...string) *packages {
	d := &packages{versions: versions, held: map[string]bool{}}
	for _, name := range held {
		d.held[name] = true
	}
	return d
}

// recorder makes programs that note how they were called.
func recorder(calls *[]string) func(code int) shell.Program {
	return func(code int) shell.Program {
		return func(_ context.Context, p *shell.Process) int {
			*calls = append(*calls, strings.Join(p.Args, " "))
			return code
		}
	}
}

func (d *packages) programs() map[string]shell.Program {
	return map[string]shell.Program{
		"dpkg-query": d.query, "apt-mark": d.mark, "apt-get": d.get, "apt-cache": d.cache, "apt-config": d.config,
		"dpkg": printing("amd64"), "systemctl": d.systemctl,
		"kubeadm": d.version("kubeadm", "%s"), "kubelet": d.version("kubelet", "Kubernetes %s"), "kubectl": d.version("kubectl", "gitVersion: %s"),
	}
}

func printing(line string) shell.Program {
	return func(_ context.Context, p *shell.Process) int {
		_, _ = fmt.Fprintln(p.Stdout, line)
		return 0
	}
}

// query answers the formats of the scripts: the fields come in the order of the format.
func (d *packages) query(_ context.Context, p *shell.Process) int {
	var format string
	var names []string
	for _, arg := range p.Args[1:] {
		if text, ok := strings.CutPrefix(arg, "-f="); ok {
			format = text
		} else if arg != "-W" {
			names = append(names, arg)
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(d.versions))
	}
	code := 0
	for _, name := range names {
		if d.versions[name] == "" {
			code = p.Errorf("no packages found matching %s", name)
			continue
		}
		want := "install"
		if d.held[name] {
			want = "hold"
		}
		line := strings.NewReplacer("${db:Status-Want}", want, "${db:Status-Status}", "installed", "${Package}", name,
			"${Version}", d.versions[name], `\n`, "\n", `\t`, "\t").Replace(format)
		_, _ = fmt.Fprint(p.Stdout, line)
	}
	return code
}

func (d *packages) mark(_ context.Context, p *shell.Process) int {
	switch p.Args[1] {
	case "showhold":
		for _, name := range slices.Sorted(maps.Keys(d.held)) {
			_, _ = fmt.Fprintln(p.Stdout, name)
		}
	case "hold":
		d.held[p.Args[2]] = true
	case "unhold":
		delete(d.held, p.Args[2])
	}
	return 0
}

func (d *packages) get(_ context.Context, p *shell.Process) int {
	d.calls = append(d.calls, strings.Join(p.Args, " "))
	if d.fails != "" {
		_, _ = fmt.Fprintln(p.Stderr, d.fails)
		return 100
	}
	if slices.Contains(p.Args, "install") && !slices.Contains(p.Args, "--download-only") {
		for _, arg := range p.Args[2:] {
			if name, version, pinned := strings.Cut(arg, "="); pinned && strings.HasPrefix(name, "kube") {
				if d.held[name] {
					return p.Errorf("held packages were changed")
				}
				d.versions[name] = version
			}
		}
	}
	return 0
}

func (d *packages) cache(_ context.Context, p *shell.Process) int {
	name := p.Args[len(p.Args)-1]
	_, _ = fmt.Fprintf(p.Stdout, " %s | %s | https://pkgs.example/ Packages\n", name, d.offered)
	return 0
}

func (d *packages) config(_ context.Context, p *shell.Process) int {
	_, _ = fmt.Fprintf(p.Stdout, "%s='%s'\n", p.Args[2], map[string]string{
		"database": "/var/lib/dpkg/status", "archives": "/var/cache/apt/archives/",
	}[p.Args[2]])
	return 0
}

func (d *packages) systemctl(_ context.Context, p *shell.Process) int {
	d.calls = append(d.calls, strings.Join(p.Args, " "))
	if p.Args[1] == "show" {
		_, _ = fmt.Fprintln(p.Stdout, "MainPID=42")
	}
	return 0
}

func (d *packages) version(name, format string) shell.Program {
	return func(_ context.Context, p *shell.Process) int {
		version, _, _ := strings.Cut(d.versions[name], "-")
		_, _ = fmt.Fprintf(p.Stdout, format+"\n", "v"+version)
		return 0
	}
}

func TestAptInstall(t *testing.T) {
	d := debian(map[string]string{"kubelet": "1.33.1-1.1", "kubectl": "1.33.1-1.1", "cri-tools": "1.33.0-1.1"}, "kubelet", "cri-tools")
	d.offered = "1.34.2-1.1"
	h := newHost(t, d.programs())
	h.write("/etc/apt/sources.list.d/kubernetes.list", "deb old /\n")
	h.write("/usr/bin/kubelet", "the program")
	h.must("sh", "-c", "mkdir -p /proc/42 && ln -s /usr/bin/kubelet /proc/42/exe")
	script := scriptOf(t, "step", "common", "apt", "apt_install")
	args := []string{"sh", "-euc", script, "kup", "/etc/apt/sources.list.d/kubernetes.list", "https://pkgs.example/v1.34/deb/", "/etc/apt/keyrings/k.gpg",
		"/var/lib/kup/run/keep", "true", "5", "v1.34.2", "kubelet", "false", "kubelet=1.34.2-1.1", "kubectl=1.34.2-1.1"}
	h.must(args...)
	if d.versions["kubelet"] != "1.34.2-1.1" || !d.held["kubelet"] || !d.held["kubectl"] || !d.held["cri-tools"] {
		t.Errorf("versions %v, held %v", d.versions, d.held)
	}
	if got := h.file("/etc/apt/sources.list.d/kubernetes.list"); got != "deb [signed-by=/etc/apt/keyrings/k.gpg] https://pkgs.example/v1.34/deb/ /\n" {
		t.Errorf("the source is %q", got)
	}
	if got := h.file("/var/lib/kup/run/keep/kubernetes.list"); got != "deb old /\n" {
		t.Errorf("kept was %q", got)
	}
	if got := d.calls[len(d.calls)-1]; got != "systemctl is-active --quiet kubelet" {
		t.Errorf("the last call was %q", got)
	}
	if got := h.must("ls", "/tmp"); got != "" {
		t.Errorf("left in /tmp: %s", got)
	}
	d.calls = nil
	if out := h.must(args...); !strings.Contains(out, "installed already") || slices.ContainsFunc(d.calls, func(c string) bool { return strings.HasPrefix(c, "apt-get") }) {
		t.Errorf("again: %q, calls %q", out, d.calls)
	}
	if got := h.must("sh", "-euc", scriptOf(t, "step", "common", "apt", "apt_installed"), "kup", "true", "v1.34.2", "kubelet", "kubelet=1.34.2-1.1"); got != "yes\n" {
		t.Errorf("apt_installed says %q", got)
	}
}

func TestAptInstallFails(t *testing.T) {
	d := debian(map[string]string{"kubelet": "1.33.1-1.1"}, "kubelet")
	d.fails = "E: Could not get lock /var/lib/dpkg/lock-frontend"
	h := newHost(t, d.programs())
	h.shell.Pace = 0.0001
	script := scriptOf(t, "step", "common", "apt", "apt_install")
	code := h.run("sh", "-euc", script, "kup", "/etc/apt/sources.list.d/kubernetes.list", "https://pkgs.example/", "", "/var/lib/kup/run/keep",
		"true", "0", "v1.34.2", "kubelet", "false", "kubelet=1.34.2-1.1")
	if code != 66 || !d.held["kubelet"] || !strings.Contains(h.stderr(), "another package manager held its lock") || !strings.Contains(h.stderr(), "has no kubelet=1.34.2-1.1") {
		t.Errorf("exit code %d, held %v, %s", code, d.held, h.stderr())
	}
	if got := h.must("ls", "/tmp"); got != "" {
		t.Errorf("left in /tmp: %s", got)
	}
}

func TestAptFetch(t *testing.T) {
	d := debian(map[string]string{"kubelet": "1.33.1-1.1"}, "kubelet")
	d.offered = "1.34.2-1.1"
	h := newHost(t, d.programs())
	h.write("/var/lib/dpkg/status", "Package: kubelet\nStatus: hold ok installed\n\nPackage: other\nStatus: hold ok installed\n")
	h.write("/etc/apt/sources.list.d/kubernetes.list", "deb old /\n")
	h.write("/etc/apt/sources.list.d/debian.list", "deb debian /\n")
	h.must("sh", "-euc", scriptOf(t, "step", "common", "apt", "apt_fetch"), "kup", "/etc/apt/sources.list.d/kubernetes.list", "https://pkgs.example/", "",
		"5", "false", "kubelet=1.34.2-1.1")
	last := d.calls[len(d.calls)-1]
	if !strings.HasPrefix(last, "apt-get install -y -q --download-only") || !strings.HasSuffix(last, " kubelet=1.34.2-1.1") {
		t.Errorf("the last call was %q", last)
	}
	fetched := scriptOf(t, "step", "common", "apt", "apt_fetched")
	if got := h.must("sh", "-euc", fetched, "kup", "kubelet=1.34.2-1.1"); got != "no: kubelet=1.34.2-1.1\n" {
		t.Errorf("apt_fetched says %q", got)
	}
	h.write("/var/cache/apt/archives/kubelet_1.34.2-1.1_amd64.deb", "package")
	if got := h.must("sh", "-euc", fetched, "kup", "kubelet=1.34.2-1.1"); got != "yes\n" {
		t.Errorf("apt_fetched says %q", got)
	}
}
