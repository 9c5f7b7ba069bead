package shell_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// saying gives a program that answers by its arguments; others fail.
func saying(answers map[string]string) shell.Program {
	return func(_ context.Context, p *shell.Process) int {
		answer, ok := answers[strings.Join(p.Args[1:], " ")]
		if !ok {
			return p.Errorf("unknown arguments %q", p.Args[1:])
		}
		_, _ = fmt.Fprint(p.Stdout, answer)
		return 0
	}
}

// part gives a part of what a survey script printed.
func part(output, name string) string {
	for text := range strings.SplitSeq(output, "\n#kup:part ") {
		if title, rest, _ := strings.Cut(text, "\n"); title == name {
			return strings.TrimSpace(rest)
		}
	}
	return "(no part)"
}

func TestHostScript(t *testing.T) {
	d := debian(map[string]string{"kubeadm": "1.33.1-1.1", "kubelet": "1.33.1-1.1"}, "kubelet")
	programs := d.programs()
	programs["kubeadm"] = saying(map[string]string{"version -o short": "v1.33.1\n"})
	programs["kubectl"] = saying(map[string]string{"version --client -o yaml": "clientVersion:\n  gitVersion: v1.33.1\n"})
	programs["crictl"] = saying(map[string]string{"--runtime-endpoint unix:///run/c.sock info": `{"sandboxImage": "registry.k8s.io/pause:3.10"}` + "\n"})
	programs["containerd"] = saying(map[string]string{"config dump": "    sandbox = 'registry.k8s.io/pause:3.9'\n"})
	h := newHost(t, programs)
	h.write("/proc/sys/kernel/random/boot_id", "boot\n")
	h.write("/var/lib/kubelet/kubeadm-flags.env", `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/c.sock --x=y"`+"\n")
	h.write("/etc/kubernetes/manifests/kube-apiserver.yaml", "    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 10.0.0.1:6443\n    - --advertise-address=10.0.0.1\n    - --secure-port=6443\n    image: r/kube-apiserver:v1.33.1\n")
	h.write("/etc/kubernetes/manifests/etcd.yaml", "    image: r/etcd:3.5.21-0\n")
	h.must("mkdir", "-p", "/var/lib/containerd", "/etc/kubernetes/patches", "/var/lib/etcd")
	out := h.must("sh", "-c", scriptOf(t, "survey", "host"), "kup", "/etc/kubernetes/patches", "unix:///run/c.sock")
	for name, want := range map[string]string{
		"boot": "boot", "kubeadm": "v1.33.1", "kubelet": "Kubernetes v1.33.1", "kubectl": "v1.33.1",
		"packages": "install kubeadm 1.33.1-1.1\nhold kubelet 1.33.1-1.1",
		"images":   "/var/lib/containerd 104857601 104857600", "sandbox": "registry.k8s.io/pause:3.10\nregistry.k8s.io/pause:3.9",
		"socket": "unix:///run/c.sock", "patches": "present", "etcd": "image r/etcd:3.5.21-0",
		"apiserver": "endpoint 10.0.0.1:6443\naddress 10.0.0.1\nport 6443\nimage r/kube-apiserver:v1.33.1",
	} {
		if got := part(out, name); got != want {
			t.Errorf("part %s is %q, want %q", name, got, want)
		}
	}
	if got := part(out, "disk"); strings.Count(got, "\n") != 5 || !strings.HasPrefix(got, "/ ") {
		t.Errorf("part disk is %q", got)
	}
	h.must("sh", "-c", scriptOf(t, "survey", "host"), "kup", "", "")
}

func TestCertificatesScript(t *testing.T) {
	const pem = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n"
	h := newHost(t, nil)
	h.write("/pki/apiserver.crt", pem+"other text\n")
	h.write("/pki/etcd/ca.crt", pem)
	h.write("/pki/ca.crt", pem)
	h.write("/pki/ca.key", "secret")
	h.write("/etc/kubernetes/manifests/kube-apiserver.yaml", "    - --tls-cert-file=/pki/apiserver.crt\n")
	h.stdin(pem)
	encoded := h.must("base64", "-w", "0")
	h.write("/etc/kubernetes/admin.conf", "users:\n- user:\n    client-certificate-data: \""+encoded+"\"\n    client-key-data: secret\n")
	out := h.must("sh", "-c", scriptOf(t, "survey", "certificates"), "kup")
	want := map[string]string{
		"certificate apiserver": strings.TrimSpace(pem), "certificate admin.conf": strings.TrimSpace(pem),
		"ca ca": "present", "ca etcd/ca": "absent", "certificate scheduler.conf": "(no part)",
	}
	for name, want := range want {
		if got := part(out, name); got != want {
			t.Errorf("part %s is %q, want %q", name, got, want)
		}
	}
	if strings.Contains(out, "secret") {
		t.Error("a key is printed")
	}
}

func TestRepositoryScript(t *testing.T) {
	index := "Package: kubeadm\nVersion: 1.34.2-1.1\nArchitecture: amd64\nFilename: x\n\n"
	answer := func(text string) shell.Program {
		return func(_ context.Context, p *shell.Process) int {
			url, target := p.Args[len(p.Args)-2], p.Args[len(p.Args)-1]
			if text == "" || !strings.HasSuffix(url, ".gz") {
				return p.Errorf("E: Failed to fetch %s  404  Not Found", url)
			}
			if err := p.FS.WriteFile(target[:len(target)-3], []byte(text), 0o644); err != nil {
				return p.Errorf("%v", err)
			}
			return p.Shell.Exec(context.Background(), p.Child("gzip", target[:len(target)-3]))
		}
	}
	h := newHost(t, map[string]shell.Program{"apt-helper": answer(index), "dpkg": printing("amd64")})
	script := scriptOf(t, "survey", "apt")
	want := "architecture amd64\npackage kubeadm\nversion 1.34.2-1.1\nfor amd64\nend\n"
	if got := h.must("sh", "-c", script, "kup", "https://pkgs.example/"); got != want {
		t.Errorf("it printed %q", got)
	}
	h = newHost(t, map[string]shell.Program{"apt-helper": answer(""), "dpkg": printing("amd64")})
	if got := h.must("sh", "-c", script, "kup", "https://pkgs.example/"); got != "architecture amd64\n" {
		t.Errorf("without the minor it printed %q", got)
	}
	if got := h.must("ls", "/tmp"); got != "" {
		t.Errorf("left in /tmp: %s", got)
	}
}

// TestEditsScript runs the part inside the mount namespace, with mounts that do
// nothing.
func TestEditsScript(t *testing.T) {
	dryRun := func(_ context.Context, p *shell.Process) int {
		if slices.Contains(p.Args, "kubelet-config") {
			return p.Errorf("unknown flag: --patches")
		}
		if err := p.FS.MkdirAll("/etc/kubernetes/tmp/kubeadm-init-dryrun1", 0o700); err != nil {
			return p.Errorf("%v", err)
		}
		if err := p.FS.WriteFile("/etc/kubernetes/tmp/kubeadm-init-dryrun1/kube-apiserver.yaml", []byte("wanted\n"), 0o600); err != nil {
			return p.Errorf("%v", err)
		}
		return 0
	}
	h := newHost(t, map[string]shell.Program{
		"unshare": func(ctx context.Context, p *shell.Process) int { return p.Shell.Exec(ctx, p.Child(p.Args[2:]...)) },
		"mount":   func(context.Context, *shell.Process) int { return 0 },
		"kubeadm": dryRun,
	})
	h.write("/etc/kubernetes/manifests/kube-apiserver.yaml", "edited\n")
	h.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n")
	h.stdin("kind: InitConfiguration\n")
	out := h.must("sh", "-c", scriptOf(t, "survey", "edits"), "kup", "/tmp")
	for name, want := range map[string]string{
		"have kube-apiserver": "edited", "want kube-apiserver": "wanted", "have kubelet": "kind: KubeletConfiguration",
		"failed kubelet": "unknown flag: --patches", "want kubelet": "(no part)",
	} {
		if got := part(out, name); got != want {
			t.Errorf("part %s is %q, want %q", name, got, want)
		}
	}
}

func TestImageScripts(t *testing.T) {
	h := newHost(t, map[string]shell.Program{"crictl": saying(map[string]string{
		"--runtime-endpoint unix:///run/c.sock info": "", "--runtime-endpoint unix:///run/c.sock inspecti -q r/a:1": "",
		"--runtime-endpoint unix:///run/c.sock pull r/b:1": "pulled\n",
	})})
	if got := h.must("sh", "-euc", scriptOf(t, "step", "images_missing"), "kup", "unix:///run/c.sock", "r/a:1", "r/b:1"); got != "r/b:1\n" {
		t.Errorf("missing are %q", got)
	}
	if got := h.must("sh", "-euc", scriptOf(t, "step", "images_pull"), "kup", "unix:///run/c.sock", "r/b:1"); got != "pulled\n" {
		t.Errorf("the pull says %q", got)
	}
	if code := h.sh("-euc", scriptOf(t, "step", "images_pull"), "kup", "unix:///run/c.sock", "r/c:1"); code != 1 {
		t.Errorf("a failed pull: exit code %d", code)
	}
}

func TestBinaryScripts(t *testing.T) {
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of x
	curl := func(_ context.Context, p *shell.Process) int {
		to := slices.Index(p.Args, "-o") + 1
		if to == 0 {
			_, _ = fmt.Fprintln(p.Stdout, strings.ToUpper(sum))
			return 0
		}
		if err := p.FS.WriteFile(p.Args[to], []byte("x"), 0o644); err != nil {
			return p.Errorf("%v", err)
		}
		return 0
	}
	h := newHost(t, map[string]shell.Program{
		"curl": curl, "kubelet": saying(map[string]string{"--version": "Kubernetes v1.34.2\n"}), "systemctl": printing("MainPID=1"),
	})
	h.write("/opt/kubelet", "old")
	h.must("sh", "-c", "mkdir -p /usr/local/bin && ln -s /opt/kubelet /usr/local/bin/kubelet")
	args := []string{"/var/cache/kup", "kubelet", "https://dl.example/kubelet", "https://dl.example/kubelet.sha256"}
	fetch := append([]string{"sh", "-euc", scriptOf(t, "step", "common", "binaries", "binaries_fetch"), "kup"}, args...)
	h.must(fetch...)
	h.must(fetch...)
	if got := h.must("sh", "-euc", scriptOf(t, "step", "common", "binaries", "binaries_fetched"), "kup", "/var/cache/kup", "kubelet"); got != "yes\n" {
		t.Errorf("it says %q", got)
	}
	h.must("sh", "-euc", scriptOf(t, "step", "common", "binaries", "binaries_install"), "kup", "/var/cache/kup", "v1.34.2", "kubelet", args[1], args[2], args[3])
	if got := h.file("/opt/kubelet"); got != "x" {
		t.Errorf("installed is %q", got)
	}
}
