package machine_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/pkg/cluster"
)

var pods = corev1.SchemeGroupVersion.WithResource("pods")

// bind makes a pod that the scheduler has put on a node.
func (s *site) bind(t *testing.T, name, node, image string) {
	t.Helper()
	p := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: image}}
	s.create(t, pods, &p)
}

func (s *site) restarts(t *testing.T, name string) int32 {
	t.Helper()
	p := s.pod(t, "default", name)
	if p == nil || len(p.Status.ContainerStatuses) == 0 {
		return -1
	}
	return p.Status.ContainerStatuses[0].RestartCount
}

func TestPods(t *testing.T) {
	s, h := worker(t)
	s.bind(t, "web", "w-1", "web:1")
	s.bind(t, "lost", "w-1", "nowhere:1")
	s.bind(t, "other", "w-2", "web:1")
	eventually(t, "web to be ready", func() bool { return isReady(s.pod(t, "default", "web")) })
	if ip := net.ParseIP(s.pod(t, "default", "web").Status.PodIP); ip == nil || ip.String() != "10.244.1.2" {
		t.Errorf("web's address is %v", ip)
	}
	h.must(t, "systemctl restart kubelet")
	eventually(t, "the kubelet to be back", func() bool { return s.ready(t, "w-1") })
	if n := s.restarts(t, "web"); n != 0 {
		t.Errorf("a restart of the kubelet restarted web %d times", n)
	}
	for _, name := range []string{"lost", "other"} {
		if isReady(s.pod(t, "default", name)) {
			t.Errorf("%s is ready", name)
		}
	}
	if err := s.store.Delete(pods, "default", "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "web to be gone", func() bool { return s.pod(t, "default", "web") == nil })
}

func TestReboot(t *testing.T) {
	s, h := worker(t)
	s.bind(t, "web", "w-1", "web:1")
	eventually(t, "web to be ready", func() bool { return isReady(s.pod(t, "default", "web")) })
	boot, node := h.must(t, "cat /proc/sys/kernel/random/boot_id"), s.node(t, "w-1").Status.NodeInfo.BootID
	if strings.TrimSpace(boot) != node {
		t.Errorf("the boot is %q, the node says %q", boot, node)
	}
	h.must(t, "touch /run/gone /var/lib/stays")
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := h.must(t, "cat /proc/sys/kernel/random/boot_id"); again == boot {
		t.Error("a reboot kept the boot's id")
	}
	if got := h.must(t, "ls /run/gone /var/lib/stays 2>/dev/null || :"); strings.TrimSpace(got) != "/var/lib/stays" {
		t.Errorf("after the reboot there are %q", got)
	}
	eventually(t, "web to be ready again", func() bool { return isReady(s.pod(t, "default", "web")) && s.restarts(t, "web") == 1 })
}

func TestPowerCut(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14")
	s.bind(t, "web", "cp-1", "web:1")
	eventually(t, "web to be ready", func() bool { return isReady(s.pod(t, "default", "web")) })
	if err := h.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _, _ := h.server.runs(); v != "" {
		t.Error("the API server runs without power")
	}
	if code, _, _ := h.run(t, "true"); code == 0 {
		t.Error("a command ran without power")
	}
	eventually(t, "the node to be taken for dead", func() bool { return !s.ready(t, "cp-1") && !isReady(s.pod(t, "default", "web")) })
	if err := h.PowerOn(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all to be back", func() bool { return s.ready(t, "cp-1") && isReady(s.pod(t, "default", "web")) })
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		s.static(t, component, "cp-1", "")
	}
}

// While a member is away, the API server beside it is not ready.
func TestEtcdAway(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14")
	h.must(t, "mv /etc/kubernetes/manifests/etcd.yaml /root/")
	eventually(t, "an API server that is not ready", func() bool {
		_, _, failing := h.server.runs()
		return failing > 0 && !isReady(s.pod(t, "kube-system", "kube-apiserver-cp-1")) && s.pod(t, "kube-system", "etcd-cp-1") == nil
	})
	h.must(t, "mv /root/etcd.yaml /etc/kubernetes/manifests/")
	s.static(t, "etcd", "cp-1", ":3.5.24-0")
	s.static(t, "kube-apiserver", "cp-1", ":v1.31.14")
}

// A kubelet that does not reach the API leaves there what was.
func TestUntold(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14")
	told := func() string {
		t.Helper()
		lacks, err := h.Untold(s.store)
		if err != nil {
			t.Fatal(err)
		}
		return lacks
	}
	eventually(t, "the mirrors", func() bool { return told() == "" })
	s.setDown(errors.New("connection refused"))
	h.must(t, "echo '# changed' >>/etc/kubernetes/manifests/kube-scheduler.yaml")
	if lacks := told(); !strings.Contains(lacks, "kube-scheduler") {
		t.Errorf("a changed manifest: %q", lacks)
	}
	h.must(t, "systemctl stop kubelet")
	if lacks := told(); lacks != "" {
		t.Errorf("nobody is to mirror anything: %s", lacks)
	}
	s.setDown(nil)
	h.must(t, "systemctl start kubelet")
	eventually(t, "the mirrors", func() bool { return told() == "" })
}

func TestEtcdRefuses(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14")
	h.etcd.mu.Lock()
	h.etcd.refuse = errors.New("invalid downgrade")
	h.etcd.mu.Unlock()
	h.must(t, "sed 's/etcd:3.5.24-0/etcd:3.5.0-0/' /etc/kubernetes/manifests/etcd.yaml >/root/e && mv /root/e /etc/kubernetes/manifests/etcd.yaml")
	s.registry.Add("registry.k8s.io/etcd:3.5.0-0")
	eventually(t, "words in the kubelet's journal", func() bool {
		_, out, _ := h.run(t, "journalctl -u kubelet")
		return strings.Contains(out, "invalid downgrade")
	})
	eventually(t, "an etcd that is not ready", func() bool { return !isReady(s.pod(t, "kube-system", "etcd-cp-1")) })
}

func TestKubeletNewerThanAPIServer(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14", "v1.32.13")
	h.program(t, version("v1.32.13"), "kubelet")
	h.must(t, "systemctl restart kubelet")
	eventually(t, "a node that says why it is not ready", func() bool {
		return slices.ContainsFunc(s.node(t, "cp-1").Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, "newer than the API server: v1.31.14 of cp-1")
		})
	})
}

func TestKubeletFlagGone(t *testing.T) {
	s := newSite(t, version("v1.34.4"), "v1.35.4")
	h := s.add("w-1", cluster.Worker, "127.77.9.31")
	h.program(t, version("v1.35.4"), "kubelet")
	h.must(t, "systemctl restart kubelet")
	eventually(t, "a kubelet that does not start", func() bool {
		code, out, _ := h.run(t, "systemctl is-active kubelet")
		return code == 3 && out == "activating\n"
	})
	if _, out, _ := h.run(t, "systemctl status kubelet"); !strings.Contains(out, "unknown flag: --pod-infra-container-image") {
		t.Error(out)
	}
	eventually(t, "the node to be taken for dead", func() bool { return !s.ready(t, "w-1") })
}

func TestServices(t *testing.T) {
	_, h := worker(t)
	h.must(t, "systemctl is-active --quiet kubelet")
	const exe = `pid=$(systemctl show -p MainPID kubelet | sed -n 's/^MainPID=//p'); readlink "/proc/$pid/exe"`
	if got := h.must(t, exe); got != "/usr/bin/kubelet\n" {
		t.Errorf("the kubelet runs %q", got)
	}
	if err := h.PutPackages(machine.Packages(version("v1.31.10"))...); err != nil {
		t.Fatal(err)
	}
	if got := h.must(t, exe); got != "/usr/bin/kubelet (deleted)\n" {
		t.Errorf("after its file was replaced the kubelet runs %q", got)
	}
	h.must(t, "systemctl restart kubelet")
	if got := h.must(t, exe); got != "/usr/bin/kubelet\n" {
		t.Errorf("after a restart the kubelet runs %q", got)
	}
	h.must(t, "systemctl stop kubelet")
	if code, out, _ := h.run(t, "systemctl is-active kubelet"); code != 3 || out != "inactive\n" {
		t.Errorf("a stopped kubelet: %d, %q", code, out)
	}
	if code, _, _ := h.run(t, "systemctl is-active nonsense"); code == 0 {
		t.Error("a unit that does not exist is active")
	}
	h.must(t, "systemctl is-active containerd && systemctl start kubelet")
}

func TestRuntime(t *testing.T) {
	_, h := worker(t)
	const crictl = "crictl --runtime-endpoint unix:///run/containerd/containerd.sock "
	if got := h.must(t, crictl+`info | sed -n 's/.*"sandboxImage": *"\([^"]*\)".*/\1/p'`); got != "registry.k8s.io/pause:3.10\n" {
		t.Errorf("the sandbox image is %q", got)
	}
	h.refuses(t, crictl+"inspecti -q web:1", "no such image")
	h.refuses(t, "crictl --runtime-endpoint unix:///run/crio.sock info", "no such file or directory")
	h.refuses(t, crictl+"pull absent:1", "not found")
	h.must(t, crictl+"pull web:1 && "+crictl+"inspecti -q web:1")
	h.DropImage("web:1")
	h.refuses(t, crictl+"inspecti -q web:1", "no such image")
}

func TestSave(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14")
	s.bind(t, "web", "cp-1", "web:1")
	eventually(t, "web to be ready", func() bool { return isReady(s.pod(t, "default", "web")) })
	boot := h.must(t, "cat /proc/sys/kernel/random/boot_id")
	h.Close()
	raw, err := json.Marshal(h.Machine)
	if err != nil {
		t.Fatal(err)
	}
	c := s.settings("cp-1", cluster.ControlPlane, "127.77.9.11")
	again := &host{server: &process{}, etcd: &process{}}
	c.APIServer, c.Etcd = again.server, again.etcd
	again.Machine = machine.New(c)
	t.Cleanup(again.Close)
	if err := json.Unmarshal(raw, again.Machine); err != nil {
		t.Fatal(err)
	}
	if err := again.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := again.must(t, "cat /proc/sys/kernel/random/boot_id"); got != boot {
		t.Errorf("the boot is another one: %q, was %q", got, boot)
	}
	if !maps.Equal(again.Static(), h.Static()) || !slices.Equal(again.Images(), h.Images()) {
		t.Errorf("runs %v with images %v, ran %v with %v", again.Static(), again.Images(), h.Static(), h.Images())
	}
	s.static(t, "kube-apiserver", "cp-1", ":v1.31.14")
	if _, starts, _ := again.server.runs(); !slices.Equal(starts, []string{"v1.31.14"}) || s.restarts(t, "web") != 0 {
		t.Errorf("the API server started as %v, web restarted %d times", starts, s.restarts(t, "web"))
	}
}

// What a user runs for themselves cannot do what root does.
func TestNotRoot(t *testing.T) {
	_, h := worker(t)
	for _, line := range []string{"kubeadm upgrade node", "apt-get update", "systemctl restart kubelet", "crictl images", "reboot", "apt-mark unhold kubelet"} {
		if code := h.Exec(t.Context(), "ops", line, nil, nil, nil); code == 0 {
			t.Errorf("ops may %s", line)
		}
	}
}

func TestRebootByCommand(t *testing.T) {
	s, h := worker(t)
	boot := h.must(t, "cat /proc/sys/kernel/random/boot_id")
	if code, _, _ := h.run(t, "reboot"); code == 0 {
		t.Error("reboot returned as if nothing happened")
	}
	eventually(t, "another boot", func() bool {
		code, out, _ := h.run(t, "cat /proc/sys/kernel/random/boot_id")
		return code == 0 && out != "" && out != boot
	})
	eventually(t, "the node to be ready", func() bool { return s.ready(t, "w-1") })
}
