package machine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// The power goes in the middle of kubeadm's work. Afterwards the same command
// brings the host where it was to go.
func TestPowerCutDuringApply(t *testing.T) {
	for _, moment := range []string{
		"/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/manifests/kube-scheduler.yaml", "/etc/kubernetes/controller-manager.conf",
	} {
		t.Run(moment[strings.LastIndex(moment, "/")+1:], func(t *testing.T) {
			s, h := controlPlane(t, "v1.31.14", "v1.32.13")
			h.program(t, version("v1.32.13"), "kubeadm")
			changed, end := h.FS().Changes(moment)
			defer end()
			done := make(chan error)
			go func() {
				<-changed
				done <- h.PowerOff(t.Context())
			}()
			if code, out, _ := h.run(t, apply); code == 0 {
				t.Errorf("kubeadm ended well without power:\n%s", out)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := h.PowerOn(); err != nil {
				t.Fatal(err)
			}
			for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
				s.static(t, component, "cp-1", "")
			}
			eventually(t, "the node to be ready", func() bool { return s.ready(t, "cp-1") })
			h.must(t, apply)
			s.static(t, "kube-apiserver", "cp-1", ":v1.32.13")
			s.static(t, "kube-scheduler", "cp-1", ":v1.32.13")
		})
	}
}

// Two control planes: the second follows the first by "upgrade node", and the
// add-ons wait for it.
func TestTwoControlPlanes(t *testing.T) {
	s, first := controlPlane(t, "v1.31.14", "v1.32.13")
	second := s.add("cp-2", cluster.ControlPlane, "127.77.9.12")
	s.static(t, "kube-apiserver", "cp-2", ":v1.31.14")
	addons(t, s)
	for _, h := range []*host{first, second} {
		h.program(t, version("v1.32.13"), "kubeadm")
	}
	first.must(t, apply)
	out := first.must(t, "kubeadm upgrade node phase addon kube-proxy")
	if !strings.Contains(out, "control plane instances [cp-2] have not been upgraded") {
		t.Error(out)
	}
	if image := s.daemonImage(t); !strings.HasSuffix(image, ":v1.31.14") {
		t.Errorf("kube-proxy is %s", image)
	}
	second.must(t, "kubeadm upgrade node --etcd-upgrade=false --certificate-renewal=true --skip-phases=addon,kubelet-config")
	s.static(t, "kube-apiserver", "cp-2", ":v1.32.13")
	second.must(t, "kubeadm upgrade node phase addon kube-proxy")
	if image := s.daemonImage(t); !strings.HasSuffix(image, ":v1.32.13") {
		t.Errorf("kube-proxy is %s", image)
	}
}

// A control plane that joined has its members' list in etcd's manifest, which the
// first upgrade drops: the member restarts once although its version stays.
func TestJoinedMember(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14", "v1.32.13")
	h.must(t, "sed 's/--initial-cluster=.*/--initial-cluster=cp-1=https:\\/\\/127.77.9.11:2380,cp-2=https:\\/\\/127.77.9.12:2380/' /etc/kubernetes/manifests/etcd.yaml >/root/e && mv /root/e /etc/kubernetes/manifests/etcd.yaml")
	eventually(t, "a restart of etcd", func() bool { _, starts, _ := h.etcd.runs(); return len(starts) == 2 })
	s.static(t, "etcd", "cp-1", ":3.5.24-0")
	h.program(t, version("v1.32.13"), "kubeadm")
	h.must(t, apply)
	h.must(t, "kubeadm upgrade node phase control-plane --etcd-upgrade=true --certificate-renewal=true")
	if _, starts, _ := h.etcd.runs(); !slices.Equal(starts, []string{"3.5.24", "3.5.24", "3.5.24"}) {
		t.Errorf("etcd started as %v", starts)
	}
	h.etcd.mu.Lock()
	defer h.etcd.mu.Unlock()
	if h.etcd.renewed == 0 {
		t.Error("etcd was not given its renewed certificates")
	}
}

// A worker's part of a hop.
func TestWorkerUpgrade(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14", "v1.32.13")
	w := s.add("w-1", cluster.Worker, "127.77.9.31")
	h.program(t, version("v1.32.13"), "kubeadm")
	h.must(t, apply)
	w.program(t, version("v1.32.13"), "kubeadm")
	out := w.must(t, "kubeadm upgrade node")
	if !strings.Contains(out, "Skipping phase. Not a control plane node.") {
		t.Error(out)
	}
	if got := w.must(t, "cat /var/lib/kubelet/config.yaml"); !strings.Contains(got, "crashLoopBackOff: {}") {
		t.Errorf("the kubelet's configuration is not that of 1.32:\n%s", got)
	}
	w.program(t, version("v1.32.13"), "kubelet", "kubectl")
	w.must(t, "systemctl restart kubelet")
	eventually(t, "the worker at v1.32.13", func() bool { return s.ready(t, "w-1") && s.node(t, "w-1").Status.NodeInfo.KubeletVersion == "v1.32.13" })
}
