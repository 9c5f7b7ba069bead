package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/pkg/cluster"
)

// hostStateOf reads the recorded parts of one host, changed by pairs of a part's name and
// what it says instead.
func hostStateOf(t *testing.T, runtime string, instead ...string) *cluster.HostState {
	t.Helper()
	raw, err := os.ReadFile("testdata/hoststate.txt")
	if err != nil {
		t.Fatal(err)
	}
	p := parts(string(raw))
	for i := 0; i < len(instead); i += 2 {
		p[instead[i]] = instead[i+1]
	}
	began := time.Unix(1795276580, 0)
	return readHostState(p, runtime, began, began.Add(4*time.Second))
}

func TestReadHostState(t *testing.T) {
	got := hostStateOf(t, "containerd://1.6.20~ds1")
	want := &cluster.HostState{
		Hostname: "w-1.example.org",
		// The script took two of the four seconds, so that a second each way is left; its
		// middle, 582.48, was seen at 582.
		Clock:  &cluster.Clock{Ahead: 483623379, Within: time.Second},
		Cgroup: 1, Swap: ref(true),
		Kubelet:     &cluster.KubeletSettings{CgroupDriver: "systemd", FailSwapOn: ref(true), EvictionHard: map[string]string{"nodefs.available": "7%", "nodefs.inodesFree": "0"}},
		NextKubelet: &cluster.KubeletSettings{CgroupDriver: "systemd", FailCgroupV1: ref(false)},
		KubeletFlags: cluster.KubeletSettings{
			CgroupDriver: "cgroupfs", FailSwapOn: ref(false), FailCgroupV1: ref(true), EvictionHard: map[string]string{"memory.available": "100Mi", "nodefs.available": "3%"},
		},
		KubeadmFlags: []string{"container-runtime-endpoint", "pod-infra-container-image"}, InstanceConfig: true,
		Unit:         &cluster.Unit{Active: "active", Sub: "running", Enabled: "enabled"},
		CgroupDriver: "cgroupfs", SandboxPinned: ref(false), Crictl: ref(true),
		FileSystems: map[string]cluster.FileSystem{
			"/":                   {Mount: "/", Size: 264212084 << 10, Free: 46508404 << 10, Inodes: 16777216, FreeInodes: 15599195},
			"/var/lib/containerd": {Mount: "/var/lib/containerd", Size: 1000 << 10, Free: 400 << 10},
		},
		ImagePath: "/var/lib/containerd", IPv4Forward: ref(true), IPv6Forward: ref(false),
		RebootRequired: true, PackageManagers: []string{"apt-get", "dpkg"}, HalfInstalled: []string{"linux-image-amd64"}, Interrupted: true,
		AutoUpgrade:   &cluster.AutoUpgrade{Name: "unattended-upgrades", Reboots: true},
		StaticPodRefs: []string{"/etc/kubernetes/manifests/vip.yaml"},
		EtcdManifest:  &cluster.EtcdManifest{Quota: 8 << 30, Defaulted: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it reads\n%s\nwant\n%s", asJSON(t, got), asJSON(t, want))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestHostStateOfNothing: a host that could tell nothing has nothing to be judged by.
func TestHostStateOfNothing(t *testing.T) {
	got := readHostState(map[string]string{}, "", time.Now(), time.Now())
	got.FileSystems = nil
	if !reflect.DeepEqual(got, &cluster.HostState{}) {
		t.Errorf("out of nothing it reads\n%s", asJSON(t, got))
	}
}

func TestHostStateVariants(t *testing.T) {
	for _, tc := range []struct {
		name    string
		runtime string
		instead []string
		holds   func(*cluster.HostState) bool
	}{
		{"cgroup v2", "", []string{"cgroup", "cgroup2fs"}, func(s *cluster.HostState) bool { return s.Cgroup == 2 }},
		{"a tmpfs without hierarchies", "", []string{"cgroup", "tmpfs"}, func(s *cluster.HostState) bool { return s.Cgroup == 0 }},
		{"no swap", "", []string{"swaps", "Filename Type Size Used Priority"}, func(s *cluster.HostState) bool { return s.Swap != nil && !*s.Swap }},
		{"busybox's date", "", []string{"clock", "1795276581.%N"}, func(s *cluster.HostState) bool { return s.Clock == nil }},
		{"an empty configuration", "", []string{"kubelet", "# config.yaml"}, func(s *cluster.HostState) bool { return s.Kubelet != nil && s.Kubelet.EvictionHard == nil }},
		{"a broken configuration", "", []string{"kubelet", "# config.yaml\nfailSwapOn: {"}, func(s *cluster.HostState) bool { return s.Kubelet == nil }},
		{"no flags at all", "", []string{"flags", "present"}, func(s *cluster.HostState) bool { return s.KubeadmFlags != nil && len(s.KubeadmFlags) == 0 }},
		{"no flags file", "", []string{"flags", ""}, func(s *cluster.HostState) bool { return s.KubeadmFlags == nil }},
		{"cri-o", "cri-o://1.30.1", nil, func(s *cluster.HostState) bool { return s.CgroupDriver == "systemd" }},
		{"another runtime class first", "containerd://1.7.2", []string{"containerd", "runtime \"nvidia\"\nsystemd false"}, func(s *cluster.HostState) bool { return s.CgroupDriver == "" }},
		{"containerd 2", "containerd://2.1.4", []string{"containerd", "runtime 'runc'\nsystemd true"}, func(s *cluster.HostState) bool { return s.CgroupDriver == "systemd" }},
		{"apt upgrades nothing", "", []string{"automatic", "upgrade=0\nreboot=true"}, func(s *cluster.HostState) bool { return s.AutoUpgrade == nil }},
		{"dnf", "", []string{"automatic", "dnf\nwhen-needed"}, func(s *cluster.HostState) bool { return s.AutoUpgrade.Name == "dnf-automatic" && s.AutoUpgrade.Reboots }},
		{"a worker", "", []string{"etcd", ""}, func(s *cluster.HostState) bool { return s.EtcdManifest == nil }},
		{"etcd's own quota", "", []string{"etcd", "present"}, func(s *cluster.HostState) bool { return s.EtcdManifest.Quota == 0 && !s.EtcdManifest.Defaulted }},
	} {
		if s := hostStateOf(t, tc.runtime, tc.instead...); !tc.holds(s) {
			t.Errorf("%s: it reads\n%s", tc.name, asJSON(t, s))
		}
	}
}

// hostStateOn runs the script on a modelled host with these files and programs.
func hostStateOn(t *testing.T, files map[string]string, programs map[string]shell.Program) map[string]string {
	t.Helper()
	sh := shell.New(vfs.New(), programs)
	for name, content := range files {
		if err := sh.FS.MkdirAll(name[:strings.LastIndex(name, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := sh.FS.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, said bytes.Buffer
	p := &shell.Process{Args: []string{"sh", "-c", hostStateScript, "kup", "", ""}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said, Root: true}
	if code := sh.Exec(t.Context(), p); code != 0 {
		t.Fatalf("exit code %d: %s", code, said.String())
	}
	return parts(out.String())
}

// TestHostStateScript runs on a modelled host, which lacks half of what is asked: it
// is told what is there, and nothing is made up of the rest.
func TestHostStateScript(t *testing.T) {
	const config = `{"kind":"ConfigMap","metadata":{"annotations":{"last":"{\"data\":{\"kubelet\":\"failSwapOn: true\\n\"}}"}},"data":{"kubelet":"cgroupDriver: cgroupfs\nevictionHard:\n  nodefs.available: \"0%\"\nfailCgroupV1: false\nstaticPodURLHeader:\n  Authorization: [hunter2]\n"}}`
	programs := map[string]shell.Program{"kubectl": func(_ context.Context, p *shell.Process) int {
		if !slices.Contains(p.Args, "--raw") {
			return p.Errorf("this would write a cache")
		}
		_, _ = io.WriteString(p.Stdout, config+"\n")
		return 0
	}}
	p := hostStateOn(t, map[string]string{
		"/etc/hostname":                      "cp-1\n",
		"/etc/kubernetes/admin.conf":         "secret",
		"/var/lib/kubelet/config.yaml":       "authentication:\n  x509: {}\nevictionHard:\n  nodefs.available: 5%\nfailSwapOn: false\nstaticPodURLHeader:\n  Authorization: [hunter2]\n",
		"/var/lib/kubelet/kubeadm-flags.env": "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/c.sock --token=hunter2\"\n",
		"/etc/default/kubelet":               "# --fail-swap-on=true\nKUBELET_EXTRA_ARGS=--fail-swap-on=false\n",
		"/proc/swaps":                        "Filename Type Size Used Priority\n",
		"/proc/sys/net/ipv4/ip_forward":      "1\n",
		"/etc/kubernetes/manifests/etcd.yaml": "spec:\n  containers:\n  - command:\n    - etcd\n    - --data-dir=/data/etcd\n    - --quota-backend-bytes=8589934592\n    - --wal-dir=/wal\n" +
			"  schedulerName: default-scheduler\n",
		"/etc/kubernetes/manifests/vip.yaml":   "spec:\n  volumes:\n  - name: a\n    secret:\n      secretName: b\n",
		"/etc/kubernetes/manifests/plain.yaml": "metadata:\n  labels:\n    secret: word\nspec:\n  imagePullSecrets: []\n  volumes:\n  - hostPath: {path: /}\n",
	}, programs)
	for _, said := range p {
		if strings.Contains(said, "hunter2") {
			t.Errorf("a secret left the host: %s", said)
		}
	}
	s := readHostState(p, "containerd://1.7.27", time.Now(), time.Now())
	if s.Clock == nil || s.Clock.Ahead.Abs() > time.Minute {
		t.Errorf("the clock is %+v", s.Clock)
	}
	s.Clock, s.FileSystems = nil, nil
	want := &cluster.HostState{
		Hostname: "cp-1", Swap: ref(false), Crictl: ref(false), ImagePath: "/", IPv4Forward: ref(true),
		Kubelet:      &cluster.KubeletSettings{FailSwapOn: ref(false), EvictionHard: map[string]string{"nodefs.available": "5%"}},
		NextKubelet:  &cluster.KubeletSettings{CgroupDriver: "cgroupfs", FailCgroupV1: ref(false), EvictionHard: map[string]string{"nodefs.available": "0%"}},
		KubeletFlags: cluster.KubeletSettings{FailSwapOn: ref(false)}, KubeadmFlags: []string{"container-runtime-endpoint", "token"},
		StaticPodRefs: []string{"/etc/kubernetes/manifests/vip.yaml"}, EtcdManifest: &cluster.EtcdManifest{Quota: 8 << 30, Defaulted: true, DataDirectory: "/data/etcd", WALDirectory: "/wal"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("it reads\n%s\nwant\n%s", asJSON(t, s), asJSON(t, want))
	}
}

// TestHostStateScriptOnNothing: an empty host is no error.
func TestHostStateScriptOnNothing(t *testing.T) {
	p := hostStateOn(t, nil, nil)
	s := readHostState(p, "", time.Now(), time.Now())
	if s.Cgroup != 0 || s.Kubelet != nil || s.NextKubelet != nil || s.Swap != nil || s.Unit != nil || s.EtcdManifest != nil || s.RebootRequired || len(s.StaticPodRefs) > 0 || len(s.PackageManagers) > 0 {
		t.Errorf("on an empty host it reads\n%s", asJSON(t, s))
	}
}
