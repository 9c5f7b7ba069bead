package machine_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

func find[T any](t *testing.T, s *site, gvr schema.GroupVersionResource, namespace, name string) *T {
	t.Helper()
	u, err := s.store.Get(gvr, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *site) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	return find[corev1.Node](t, s, corev1.SchemeGroupVersion.WithResource("nodes"), "", name)
}

func (s *site) ready(t *testing.T, name string) bool {
	t.Helper()
	return slices.ContainsFunc(s.node(t, name).Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// pod gives a pod; nil: there is none.
func (s *site) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	u, err := s.store.Get(corev1.SchemeGroupVersion.WithResource("pods"), namespace, name)
	if err != nil {
		return nil
	}
	out := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func isReady(p *corev1.Pod) bool {
	return p != nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// static waits until a static pod is ready with an image.
func (s *site) static(t *testing.T, component, node, image string) {
	t.Helper()
	eventually(t, component+" of "+node+" ready at "+image, func() bool {
		p := s.pod(t, metav1.NamespaceSystem, component+"-"+node)
		return isReady(p) && strings.HasSuffix(p.Spec.Containers[0].Image, image)
	})
}

func controlPlane(t *testing.T, from string, to ...string) (*site, *host) {
	s := newSite(t, version(from), to...)
	h := s.add("cp-1", cluster.ControlPlane, "127.77.9.11")
	s.static(t, "kube-apiserver", "cp-1", ":"+from)
	return s, h
}

// program installs a release of kubeadm, as kup's step does.
func (h *host) program(t *testing.T, v cluster.Version, names ...string) {
	t.Helper()
	line := "deb https://pkgs.hollow.test/core:/stable:/v" + v.Line().String() + "/deb/ /"
	words := strings.Join(names, " ")
	h.must(t, "echo '"+line+"' >/etc/apt/sources.list.d/kubernetes.list && "+update+" && apt-mark unhold "+words)
	for _, name := range names {
		h.must(t, install+"--allow-downgrades "+name+"="+v.Bare()+"-1.1")
	}
	h.must(t, "apt-mark hold "+words)
}

const apply = "kubeadm upgrade apply v1.32.13 --yes --etcd-upgrade=false --certificate-renewal=true --skip-phases=addon,kubelet-config"

// A hop of a single control plane, by the commands that kup plans for it.
func TestUpgrade(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14", "v1.32.13")
	addons(t, s)
	before, err := survey.Certificates(t.Context(), connection{h})
	if err != nil {
		t.Fatal(err)
	}
	h.program(t, version("v1.32.13"), "kubeadm")
	out := h.must(t, apply)
	if !strings.Contains(out, `SUCCESS! A control plane node of your cluster was upgraded to "v1.32.13"`) {
		t.Error(out)
	}
	for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		s.static(t, component, "cp-1", ":v1.32.13")
	}
	if _, starts, _ := h.server.runs(); !slices.Equal(starts, []string{"v1.31.14", "v1.32.13"}) {
		t.Errorf("the API server started as %v", starts)
	}
	if _, starts, _ := h.etcd.runs(); !slices.Equal(starts, []string{"3.5.24"}) {
		t.Errorf("etcd, held back, started as %v", starts)
	}
	if image := s.daemonImage(t); !strings.HasSuffix(image, ":v1.31.14") {
		t.Errorf("kube-proxy moved to %s, although its phase was skipped", image)
	}
	renewedBut(t, h, before, "etcd-healthcheck-client", "etcd-peer", "etcd-server")

	h.must(t, "kubeadm upgrade node phase kubelet-config")
	h.program(t, version("v1.32.13"), "kubelet", "kubectl")
	h.must(t, "systemctl daemon-reload && systemctl restart kubelet && systemctl is-active --quiet kubelet")
	eventually(t, "kubelet v1.32.13 ready", func() bool {
		return s.ready(t, "cp-1") && s.node(t, "cp-1").Status.NodeInfo.KubeletVersion == "v1.32.13"
	})
	// A kubelet of another minor starts the static pods anew.
	eventually(t, "a second start of etcd", func() bool { _, starts, _ := h.etcd.runs(); return len(starts) == 2 })
	s.static(t, "etcd", "cp-1", ":3.5.24-0")
	s.static(t, "kube-apiserver", "cp-1", ":v1.32.13")

	out = h.must(t, "kubeadm upgrade node phase control-plane --etcd-upgrade=true --certificate-renewal=true")
	if !strings.Contains(out, "Current and new manifests of etcd are equal, skipping upgrade") {
		t.Error(out)
	}
	for _, name := range []string{"etcd-server", "etcd-peer", "etcd-healthcheck-client"} {
		h.must(t, "kubeadm certs renew "+name)
	}
	renewedBut(t, h, before)
	h.must(t, "kubeadm upgrade node phase addon kube-proxy")
	if image := s.daemonImage(t); !strings.HasSuffix(image, ":v1.32.13") {
		t.Errorf("kube-proxy is %s", image)
	}
	f := look(t, s, h)
	if edits := f.Node("cp-1").Host.HandEdits; len(edits) > 0 {
		t.Errorf("after the hop kup takes kubeadm's own files for edited: %+v", edits)
	}
}

// renewedBut wants all certificates to expire later than before, but for these.
func renewedBut(t *testing.T, h *host, before []cluster.Certificate, but ...string) {
	t.Helper()
	now, err := survey.Certificates(t.Context(), connection{h})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range before {
		if later := now[i].NotAfter.After(c.NotAfter); later == slices.Contains(but, c.Name) {
			t.Errorf("certificate %s: expires later: %v", c.Name, later)
		}
	}
}

var daemonSets = appsv1.SchemeGroupVersion.WithResource("daemonsets")

func addons(t *testing.T, s *site) {
	t.Helper()
	d := appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"}, ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-proxy"}}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kube-proxy", Image: "registry.k8s.io/kube-proxy:v1.31.14"}}
	s.create(t, daemonSets, &d)
}

func (s *site) create(t *testing.T, gvr schema.GroupVersionResource, o any) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Create(gvr, &unstructured.Unstructured{Object: content}); err != nil {
		t.Fatal(err)
	}
}

func (s *site) daemonImage(t *testing.T) string {
	t.Helper()
	return find[appsv1.DaemonSet](t, s, daemonSets, "kube-system", "kube-proxy").Spec.Template.Spec.Containers[0].Image
}

func TestKubeadmRefuses(t *testing.T) {
	s, h := controlPlane(t, "v1.31.14", "v1.32.13", "v1.33.13")
	h.refuses(t, "kubeadm upgrade apply v1.32.13 --yes", "at least one minor release higher than the kubeadm minor release (32 > 31)")
	h.refuses(t, "kubeadm upgrade apply v1.31.14 --yes --skip-phases=addon", "unknown flag: --skip-phases")
	h.refuses(t, "kubeadm upgrade apply v1.31.14 --yes --frobnicate", "unknown flag: --frobnicate")
	h.refuses(t, "kubeadm upgrade apply", "Required arguments: [version]")
	h.refuses(t, "kubeadm upgrade node phase addon kube-proxy", "unknown")
	h.refuses(t, "kubeadm upgrade apply v1.31.14 --patches=/nowhere --yes", "/nowhere")
	h.program(t, version("v1.33.13"), "kubeadm")
	h.refuses(t, "kubeadm upgrade apply v1.33.13 --yes", "this version of kubeadm only supports deploying clusters with the control plane version >= 1.32.0")
	h.must(t, "apt-mark unhold kubeadm")
	h.program(t, version("v1.32.13"), "kubeadm")
	t.Run("not ready", func(t *testing.T) {
		heal := h.BreakKubelet(version("v1.31.14"))
		eventually(t, "a node that is not ready", func() bool { return !s.ready(t, "cp-1") })
		h.refuses(t, apply, "there are NotReady control-planes in the cluster: [cp-1]")
		heal()
		eventually(t, "a node that is ready again", func() bool { return s.ready(t, "cp-1") })
	})
	s.setDown(errDown)
	h.refuses(t, apply, "connection refused")
	s.setDown(nil)
	t.Run("no images", func(t *testing.T) {
		defer h.FailRegistry("")()
		h.refuses(t, apply, "[ERROR ImagePull]")
	})
	for _, m := range s.log() {
		if strings.Contains(m, "upgrade") {
			t.Errorf("something was changed: %s", m)
		}
	}
}

func (s *site) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mutations)
}

// kubeadm 1.34 moves etcd to 3.6, and loses the runtime's socket between two phases.
func TestUpgradeTo134(t *testing.T) {
	s, h := controlPlane(t, "v1.33.13", "v1.34.4")
	h.program(t, version("v1.34.4"), "kubeadm")
	const socket = "kubeadm.alpha.kubernetes.io/cri-socket"
	h.must(t, "kubeadm upgrade apply v1.34.4 --yes --etcd-upgrade=false --skip-phases=addon,kubelet-config")
	if _, there := s.node(t, "cp-1").Annotations[socket]; there {
		t.Error("the annotation is there still")
	}
	h.refuses(t, "kubeadm upgrade node phase kubelet-config", "doesn't have "+socket+" annotation")
	h.must(t, "kubectl --kubeconfig /etc/kubernetes/admin.conf annotate --overwrite node cp-1 "+socket+"=unix:///run/containerd/containerd.sock")
	h.must(t, "kubeadm upgrade node phase kubelet-config")
	if got := h.must(t, "cat /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env"); !strings.Contains(got, "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock") || strings.Contains(got, "--container-runtime-endpoint") {
		t.Errorf("the kubelet's files are\n%s", got)
	}
	if got := h.must(t, "grep server: /etc/kubernetes/kubelet.conf"); !strings.Contains(got, "https://127.77.9.11:6443") {
		t.Errorf("the kubelet talks to %s", got)
	}
	h.must(t, "kubeadm upgrade node phase control-plane --etcd-upgrade=true")
	s.static(t, "etcd", "cp-1", ":3.6.5-0")
	if _, starts, _ := h.etcd.runs(); !slices.Equal(starts, []string{"3.5.24", "3.6.5"}) {
		t.Errorf("etcd started as %v", starts)
	}
	if _, _, failing := h.server.runs(); failing != 0 {
		t.Error("the API server is unready although its etcd is back")
	}
	h.program(t, version("v1.34.4"), "kubelet")
	h.must(t, "systemctl restart kubelet")
	eventually(t, "kubelet v1.34.4", func() bool {
		return s.ready(t, "cp-1") && s.node(t, "cp-1").Status.NodeInfo.KubeletVersion == "v1.34.4"
	})
	f := look(t, s, h)
	if edits := f.Node("cp-1").Host.HandEdits; len(edits) > 0 {
		t.Errorf("edits: %+v", edits)
	}
}
