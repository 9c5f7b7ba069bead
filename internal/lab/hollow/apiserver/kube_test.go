package apiserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver/controllers"
	"github.com/kup-project/kup/internal/lab/workload"
	"github.com/kup-project/kup/pkg/cluster"
)

// live runs the controllers and a kubelet for all nodes.
func (l *lab) live(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { controllers.Run(ctx, l.store, controllers.Options{Pace: 0.001}) })
	running.Go(func() { l.kubelet(ctx, t) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

// kubelet starts pods at once and ends them at once.
func (l *lab) kubelet(ctx context.Context, t testing.TB) {
	changed, end := l.store.Subscribe(podsResource)
	defer end()
	for {
		all, err := apiserver.Typed[corev1.Pod](l.store, podsResource, "")
		if err != nil {
			t.Error(err)
		}
		for i, p := range all {
			switch {
			case p.Spec.NodeName == "":
				err = nil
			case p.DeletionTimestamp != nil:
				err = l.store.Remove(podsResource, p.Namespace, p.Name, string(p.UID))
			case p.Status.Phase == corev1.PodPending:
				err = apiserver.Modify(l.store, podsResource, p.Namespace, p.Name, func(o *corev1.Pod) error {
					o.Status.Phase, o.Status.PodIP = corev1.PodRunning, fmt.Sprintf("10.244.0.%d", i+2)
					o.Status.Conditions = append(o.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
					return nil
				})
			}
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (l *lab) addNode(t testing.TB, name string, labels map[string]string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	n.Status.NodeInfo.KubeletVersion = "v1.34.4"
	must[*corev1.Node](t)(apiserver.Create(l.store, nodesResource, n))
}

func connect(t testing.TB, l *lab) *kube.Client {
	t.Helper()
	return must[*kube.Client](t)(kube.Connect(t.Context(), l.kubeconfig(t), ""))
}

func TestKupObserves(t *testing.T) {
	l := start(t)
	l.live(t)
	l.addNode(t, "cp-1", map[string]string{"node-role.kubernetes.io/control-plane": ""})
	l.addNode(t, "w-1", nil)
	mirror := pod("kube-system", "kube-apiserver-cp-1", "cp-1")
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	mirror.Labels = map[string]string{"component": "kube-apiserver"}
	mirror.Spec.Containers[0].Image = "registry.k8s.io/kube-apiserver:v1.34.4"
	must[*corev1.Pod](t)(apiserver.Create(l.store, podsResource, mirror))
	must[*corev1.ConfigMap](t)(apiserver.Create(l.store, mapsResource, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"},
		Data:       map[string]string{"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nkubernetesVersion: v1.34.4\netcd:\n  local: {}\n"},
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cert := must[workload.Cert](t)(workload.NewCert(time.Now()))
	params := workload.Params{ProbePeriod: time.Second, Cert: cert}
	for range 2 { // the second time nothing is to be changed
		if err := workload.Deploy(ctx, l.config, params); err != nil {
			t.Fatal(err)
		}
	}
	l.server.SetDeprecated(apiserver.Deprecated{Group: "flowcontrol.apiserver.k8s.io", Version: "v1beta3", Resource: "flowschemas", RemovedRelease: "1.32"})
	facts, err := connect(t, l).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Nodes) != 2 || facts.Nodes[0].Role != cluster.ControlPlane || !facts.Nodes[1].Ready || len(facts.Nodes[0].StaticPods) != 1 || facts.Nodes[0].StaticPods[0].Version.String() != "v1.34.4" {
		t.Errorf("%+v", facts.Nodes)
	}
	if len(facts.Unchecked) > 0 || len(facts.DeprecatedRequests) != 1 || facts.Kubeadm.ClusterVersion.String() != "v1.34.4" || facts.Etcd.Topology != "stacked" {
		t.Errorf("%q %+v %+v", facts.Unchecked, facts.DeprecatedRequests, facts.Kubeadm)
	}
	if len(facts.Budgets) != 3 || len(facts.Webhooks) != 1 || facts.Webhooks[0].Endpoints != 2 || !facts.Webhooks[0].FailClosed {
		t.Errorf("%+v %+v", facts.Budgets, facts.Webhooks)
	}
	var names []string
	for _, w := range facts.Workload {
		names = append(names, w.Name)
		if w.Ready != w.Desired || w.Desired == 0 {
			t.Errorf("%+v", w)
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"agent", "ledger", "lonely", "probe", "web", "webhook"}) {
		t.Errorf("%q", names)
	}
	if standing, err := connect(t, l).Standing(t.Context()); err != nil || standing.Identity.UID == "" || len(standing.Nodes) != 2 {
		t.Errorf("%+v %v", standing, err)
	}
}

func TestKupAsksOneServer(t *testing.T) {
	l := start(t)
	one := must[*kube.APIServer](t)(connect(t, l).APIServer(l.server.Addr(), nil))
	if err := one.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if v, err := one.Version(t.Context()); err != nil || v.String() != "v1.34.4" {
		t.Errorf("%s %v", v, err)
	}
	if asked, err := one.DeprecatedRequests(t.Context()); err != nil || len(asked) != 0 {
		t.Errorf("%v %v", asked, err)
	}
	l.server.SetFailing(map[string]string{"etcd": "gone"})
	if err := one.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "failing: etcd") {
		t.Errorf("%v", err)
	}
}

func TestKupConnects(t *testing.T) {
	l := start(t)
	late := l.as(t, "late", time.Now().Add(-time.Minute))
	l.config.CertData, l.config.KeyData = late.CertData, late.KeyData
	if _, err := kube.Connect(t.Context(), l.kubeconfig(t), ""); err == nil || !strings.Contains(err.Error(), "has the client certificate expired") {
		t.Errorf("%v", err)
	}
}

func TestKupLocks(t *testing.T) {
	l := start(t)
	a, b := connect(t, l), connect(t, l)
	const lasts = time.Second
	lock := must[*kube.Lease](t)(a.AcquireLease(t.Context(), kube.Holder{Identity: "a@one pid 1", Run: "first"}, lasts))
	if err := lock.SetStep(t.Context(), "cordon"); err != nil {
		t.Error(err)
	}
	if s, err := b.Lock(t.Context()); err != nil || s.Held == nil || s.Held.Step != "cordon" || s.Held.Host != "one" || s.Epoch != 1 || s.Held.Renewed.IsZero() {
		t.Errorf("%+v %v", s, err)
	}
	taken := must[*kube.Lease](t)(b.AcquireLease(t.Context(), kube.Holder{Identity: "b@two pid 2", Run: "second"}, lasts))
	var lost *kube.LostLeaseError
	if err := lock.Assert(t.Context()); !errors.As(err, &lost) || lost.Holder != "b@two pid 2" || taken.Epoch() != 2 {
		t.Errorf("epoch %d: %v", taken.Epoch(), err)
	}
	if err := taken.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := a.Lock(t.Context()); err != nil || s.Held != nil || s.Run != "second" {
		t.Errorf("%+v %v", s, err)
	}
}

func TestKupDrains(t *testing.T) {
	l := start(t)
	l.addNode(t, "w-1", nil)
	l.addNode(t, "w-2", nil)
	l.live(t)
	web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: pod("", "", "").Spec},
	}}
	must[*appsv1.Deployment](t)(apiserver.Create(l.store, appsv1.SchemeGroupVersion.WithResource("deployments"), web))
	budgets := policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	must[*policyv1.PodDisruptionBudget](t)(apiserver.Create(l.store, budgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(2)), Selector: web.Spec.Selector},
	}))
	on := func(node string) (n int) {
		for _, p := range must[[]*corev1.Pod](t)(apiserver.Typed[corev1.Pod](l.store, podsResource, "default")) {
			if p.Spec.NodeName == node && p.Status.Phase == corev1.PodRunning {
				n++
			}
		}
		return n
	}
	wait(t, func() string {
		if on("w-1") != 1 || on("w-2") != 1 {
			return fmt.Sprintf("%d and %d pods run", on("w-1"), on("w-2"))
		}
		return ""
	})
	client := connect(t, l)
	if err := client.Cordon(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	blocked, drained := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		drained <- client.Drain(t.Context(), "w-1", kube.DrainOptions{Timeout: patience, GracePeriod: -1, Pace: 0.005}, func(note string) {
			if strings.Contains(note, "budget default/web allows 0 disruptions") {
				once.Do(func() { close(blocked) })
			}
		})
	}()
	select {
	case <-blocked:
	case err := <-drained:
		t.Fatalf("the budget did not hold: %v", err)
	}
	if on("w-1") != 1 {
		t.Error("the budget did not hold")
	}
	if err := apiserver.Modify(l.store, budgets, "default", "web", func(b *policyv1.PodDisruptionBudget) error {
		b.Spec.MinAvailable = new(intstr.FromInt32(1))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if gone, err := client.Drained(t.Context(), "w-1"); err != nil || !gone {
		t.Errorf("%v %v", gone, err)
	}
	wait(t, func() string {
		if on("w-1") != 0 || on("w-2") != 2 {
			return fmt.Sprintf("%d and %d pods run", on("w-1"), on("w-2"))
		}
		return ""
	})
	if err := client.Uncordon(t.Context(), "w-1"); err != nil {
		t.Error(err)
	}
}

func BenchmarkListPods(b *testing.B) {
	l := start(b)
	for i := range 500 {
		must[*corev1.Pod](b)(apiserver.Create(l.store, podsResource, pod("default", fmt.Sprintf("p-%03d", i), "w-1")))
	}
	b.Run("http", func(b *testing.B) {
		for b.Loop() {
			must[[]byte](b)(l.client.RESTClient().Get().AbsPath("/api/v1/pods").DoRaw(b.Context()))
		}
	})
	b.Run("client", func(b *testing.B) {
		for b.Loop() {
			must[*corev1.PodList](b)(l.client.CoreV1().Pods("").List(b.Context(), metav1.ListOptions{}))
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	l := start(b)
	for i := range 8 {
		l.addNode(b, fmt.Sprintf("n-%d", i), nil)
	}
	for i := range 60 {
		must[*corev1.Pod](b)(apiserver.Create(l.store, podsResource, pod("kube-system", fmt.Sprintf("p-%03d", i), "n-1")))
	}
	for b.Loop() {
		b.StopTimer()
		client := connect(b, l) // an old one waits: it asks for so much a second only
		b.StartTimer()
		must[cluster.Facts](b)(client.Observe(b.Context()))
	}
}
