package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	fakerest "k8s.io/client-go/rest/fake"
	clienttesting "k8s.io/client-go/testing"
)

func fakeClient(objects ...runtime.Object) (*Client, *fake.Clientset) {
	set := fake.NewClientset(objects...)
	services := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}: "APIServiceList"})
	// What no fake does: pods are read page by page then.
	core := &fakerest.RESTClient{
		NegotiatedSerializer: scheme.Codecs.WithoutConversion(), GroupVersion: corev1.SchemeGroupVersion,
		Resp: &http.Response{StatusCode: http.StatusNotAcceptable, Body: http.NoBody},
	}
	return &Client{clientset: set, lean: set.CoreV1(), core: core, dynamic: services, identity: cluster.Identity{UID: "u"}}, set
}

func node(name string, labels map[string]string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{annotationSocket: "unix:///run/containerd/containerd.sock", "secret": "hunter2"}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "v1.33.13", ContainerRuntimeVersion: "containerd://1.6.20", Architecture: "amd64"},
		},
	}
}

func staticPod(component, onNode, image string) *corev1.Pod {
	p := pod("kube-system", component+"-"+onNode, onNode)
	p.Labels = map[string]string{labelComponent: component, "tier": "control-plane"}
	p.Annotations = map[string]string{annotationMirror: "x"}
	p.Spec.Containers[0].Image = image
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Node", Name: onNode, Controller: new(true)}}
	return p
}

func pod(namespace, name, onNode string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: "uid-" + "x", Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: onNode, Containers: []corev1.Container{{Name: "c", Image: "web:1"}}},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{RestartCount: 2}}, InitContainerStatuses: []corev1.ContainerStatus{{RestartCount: 1}},
		},
	}
}

const clusterConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kubernetesVersion: v1.33.13
imageRepository: registry.k8s.io
controlPlaneEndpoint: 10.0.0.3:6443
apiServer: {extraArgs: [{name: token, value: hunter2}]}
etcd: {local: {dataDir: /var/lib/etcd, imageTag: 3.5.33-0}}
networking: {podSubnet: 10.244.0.0/16, dnsDomain: corp.example}
`

func TestObserve(t *testing.T) {
	c, set := fakeClient(
		node("w-1", nil), node("cp-2", map[string]string{labelMaster: ""}), node("cp-1", map[string]string{labelControlPlane: ""}),
		staticPod("kube-apiserver", "cp-1", "registry.k8s.io/kube-apiserver:v1.33.13"),
		staticPod("etcd", "cp-1", "registry.k8s.io/etcd:3.5.33-0"), pod("shop", "web-1", "w-1"),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}, Data: map[string]string{keyClusterConfig: clusterConfig}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubelet-config-1.33"}, Data: map[string]string{"kubelet": "imageGCHighThresholdPercent: 70"}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"},
			Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "coredns:v1.12.0"}}}}},
			Status:     appsv1.DeploymentStatus{ReadyReplicas: 1, UpdatedReplicas: 1, Replicas: 1},
		},
	)
	set.PrependReactor("list", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, "", nil)
	})
	f, err := c.observeFake()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range f.Nodes {
		names = append(names, n.Name+" "+string(n.Role))
	}
	if got := strings.Join(names, ", "); got != "cp-1 control-plane, cp-2 control-plane, w-1 worker" {
		t.Errorf("nodes %s", got)
	}
	cp := f.Node("cp-1")
	if s := cp.Static("etcd"); s == nil || s.Version.String() != "v3.5.33" || !s.Ready {
		t.Errorf("etcd %+v", s)
	}
	if f.Kubeadm.ImageGCPercent != 70 {
		t.Errorf("image garbage collection threshold %d, want 70", f.Kubeadm.ImageGCPercent)
	}
	if !cp.Ready || cp.Kubelet.String() != "v1.33.13" || cp.Address != "10.0.0.1" || cp.CRISocket == "" || !cp.InAPI {
		t.Errorf("%+v", cp)
	}
	k := f.Kubeadm
	if k.ConfigDigest == "" || k.KubeletConfigDigest == "" || k.EtcdImageTag != "3.5.33-0" || k.ClusterVersion.String() != "v1.33.13" || k.PodSubnet == "" || f.Etcd.Topology != "stacked" {
		t.Errorf("%+v %q", k, f.Etcd.Topology)
	}
	if k.DNSDomain != "corp.example" {
		t.Errorf("DNS domain %q", k.DNSDomain)
	}
	if len(f.Addons) != 1 || !f.Addons[0].Ready || len(f.Workload) != 1 {
		t.Errorf("%+v %+v", f.Addons, f.Workload)
	}
	if len(f.Unchecked) != 1 || !strings.Contains(f.Unchecked[0], "admission webhooks could not be read") {
		t.Errorf("unchecked %q", f.Unchecked)
	}
	if raw, _ := json.Marshal(f); strings.Contains(string(raw), "hunter2") {
		t.Error("a secret became a fact")
	}
}

// Metrics are large and asked for last: a server that cannot give them in time is no
// reason to refuse to plan.
func TestObserveWithoutMetrics(t *testing.T) {
	c, _ := fakeClient(node("cp-1", map[string]string{labelControlPlane: ""}))
	f, err := c.observe(t.Context(), func(context.Context) ([]cluster.DeprecatedRequest, error) {
		return nil, errors.New("metrics of the API server: it took too long")
	})
	if err != nil || len(f.Nodes) != 1 || !slices.Contains(f.Unchecked, "requests for deprecated APIs could not be read: metrics of the API server: it took too long") {
		t.Errorf("%+v, %v", f.Unchecked, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.observe(gone, func(ctx context.Context) ([]cluster.DeprecatedRequest, error) { return nil, ctx.Err() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an observation that was interrupted: %v", err)
	}
}

// observeFake leaves out what a fake clientset has no REST client for.
func (c *Client) observeFake() (cluster.Facts, error) {
	return c.Facts(context.Background())
}

func TestBudgetsOfOldServers(t *testing.T) {
	c, set := fakeClient(
		&policyv1beta1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       policyv1beta1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
			Status:     policyv1beta1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, DesiredHealthy: 2, ExpectedPods: 3},
		},
		&policyv1beta1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "none"}, Spec: policyv1beta1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}}},
	)
	set.PrependReactor("list", "poddisruptionbudgets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Version == "v1" {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		}
		return false, nil, nil
	})
	got, err := c.Budgets(t.Context())
	if err != nil || !slices.Contains(got, cluster.Budget{Namespace: "shop", Name: "web", DisruptionsAllowed: 1, DesiredHealthy: 2, ExpectedPods: 3}) {
		t.Fatalf("%+v %v", got, err)
	}
	all, _ := c.budgets(t.Context())
	for _, b := range all {
		if covers := b.covers("shop", map[string]string{"app": "web"}); covers != (b.Name == "web") {
			t.Errorf("budget %s covers the pod: %t", b.Name, covers)
		}
	}
}

func TestPods(t *testing.T) {
	c, _ := fakeClient(pod("shop", "web-1", "w-1"), staticPod("etcd", "cp-1", "e:1"))
	pods, err := c.Pods(t.Context())
	want := Pod{Namespace: "shop", Name: "web-1", UID: "uid-x", Node: "w-1", Owner: "ReplicaSet/web", Restarts: 3, Ready: true, Phase: "Running"}
	if err != nil || !slices.Contains(pods, want) {
		t.Errorf("%+v %v", pods, err)
	}
	if !slices.ContainsFunc(pods, func(p Pod) bool { return p.Owner == "Node/cp-1" }) {
		t.Error("static pods belong to their node")
	}
}

func TestCordon(t *testing.T) {
	c, _ := fakeClient(node("w-1", nil))
	for range 2 {
		if err := c.Cordon(t.Context(), "w-1"); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.Node(t.Context(), "w-1"); err != nil || !n.Cordoned {
		t.Errorf("%+v %v", n, err)
	}
	if err := c.Uncordon(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Node(t.Context(), "w-1"); err != nil || n.Cordoned {
		t.Errorf("%+v %v", n, err)
	}
	if err := c.Cordon(t.Context(), "w-9"); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "w-9") {
		t.Errorf("unknown node: %v", err)
	}
}

func TestImageVersion(t *testing.T) {
	for image, want := range map[string]string{
		"registry.k8s.io/kube-apiserver:v1.34.4":          "v1.34.4",
		"registry:5000/etcd:3.5.24-0":                     "v3.5.24",
		"mirror.example/kube-apiserver:v1.34.4_vendor.2":  "v1.34.4",
		"registry.k8s.io/etcd:3.6.5-0@sha256:abcdef":      "v3.6.5",
		"registry:5000/kube-apiserver@sha256:abcdef":      "",
		"registry:5000/kube-apiserver":                    "",
		"registry.k8s.io/kube-apiserver:v1.35.0-alpha.1x": "v1.35.0",
	} {
		if got := imageVersion(image).String(); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}

func TestAPIServices(t *testing.T) {
	service := func(name string, spec, status map[string]any) unstructured.Unstructured {
		return unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": name}, "spec": spec, "status": status}}
	}
	condition := func(status, reason string) map[string]any {
		return map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": status, "reason": reason}}}
	}
	behind := map[string]any{"service": map[string]any{"name": "metrics"}}
	for _, tc := range []struct {
		in   unstructured.Unstructured
		want cluster.APIService
	}{
		{service("a", behind, condition("True", "Passed")), cluster.APIService{Name: "a", Available: true}},
		{service("b", behind, condition("False", "MissingEndpoints")), cluster.APIService{Name: "b", Reason: "MissingEndpoints"}},
		{service("c", behind, nil), cluster.APIService{Name: "c", Reason: "it has no condition Available yet"}},
	} {
		if got := apiService(&tc.in); got != tc.want {
			t.Errorf("%+v, want %+v", got, tc.want)
		}
	}
}

func TestDeprecatedRequests(t *testing.T) {
	const metrics = `# HELP apiserver_requested_deprecated_apis x
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_request_total{code="200"} 7
apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="status",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="od\"d},x",removed_release="1.99",resource="r",version="v1",} 1 1700000000
apiserver_requested_deprecated_apis{group="gone",resource="r",version="v1"} 0
apiserver_requested_deprecated_apis{group="cut
`
	got, err := deprecatedRequests(strings.NewReader(metrics))
	want := []cluster.DeprecatedRequest{
		{Version: "v1", Resource: "componentstatuses"},
		{Group: `od"d},x`, Version: "v1", Resource: "r", RemovedRelease: "1.99"},
		{Group: "policy", Version: "v1beta1", Resource: "podsecuritypolicies", RemovedRelease: "1.25"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func FuzzDeprecatedRequests(f *testing.F) {
	f.Add(`apiserver_requested_deprecated_apis{a="b",c="d"} 1`)
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = deprecatedRequests(strings.NewReader(metricDeprecated + "{" + s))
	})
}

func TestRollingOut(t *testing.T) {
	deployment := func(generation, observed int64, replicas, updated int32) *appsv1.Deployment {
		want := int32(2)
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: generation},
			Spec:       appsv1.DeploymentSpec{Replicas: &want},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: observed, Replicas: replicas, UpdatedReplicas: updated},
		}
	}
	paused := deployment(2, 1, 2, 0)
	paused.Spec.Paused = true
	for name, c := range map[string]struct {
		d    *appsv1.Deployment
		want bool
	}{
		"done":                     {deployment(2, 2, 2, 2), false},
		"newest template not seen": {deployment(2, 1, 2, 2), true},
		"new pods lacking":         {deployment(2, 2, 2, 1), true},
		"an old pod still there":   {deployment(2, 2, 3, 2), true},
		"paused by its owner":      {paused, false},
	} {
		if got := deploymentRollingOut(c.d); got != c.want {
			t.Errorf("%s: rolling out %v", name, got)
		}
	}
	daemon := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, UpdatedNumberScheduled: 1}}
	if !daemonRollingOut(daemon) {
		t.Error("a pod of the old template does not count as a rollout")
	}
	daemon.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	if daemonRollingOut(daemon) {
		t.Error("OnDelete waits for a person, not for a rollout")
	}
}
