package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver/controllers"
)

var (
	pods         = corev1.SchemeGroupVersion.WithResource("pods")
	nodes        = corev1.SchemeGroupVersion.WithResource("nodes")
	deployments  = appsv1.SchemeGroupVersion.WithResource("deployments")
	replicaSets  = appsv1.SchemeGroupVersion.WithResource("replicasets")
	statefulSets = appsv1.SchemeGroupVersion.WithResource("statefulsets")
	daemonSets   = appsv1.SchemeGroupVersion.WithResource("daemonsets")
	budgets      = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
)

// lab is a store with controllers and a kubelet for all nodes.
type lab struct {
	t     *testing.T
	store *apiserver.Store

	mu   sync.Mutex
	sick map[string]bool // images whose containers never become ready
	high map[string]int  // the most pods there were at once, by app
	low  map[string]int  // the fewest ready ones there were since watch, by app
}

// patience is how long a test waits for what must come.
const patience = time.Minute

func start(t *testing.T, nodeNames ...string) *lab {
	t.Helper()
	l := &lab{t: t, store: apiserver.NewStore(), sick: map[string]bool{}, high: map[string]int{}, low: map[string]int{}}
	for _, name := range nodeNames {
		l.addNode(name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { controllers.Run(ctx, l.store, controllers.Options{Pace: 0.001}) })
	running.Go(func() { l.kubelet(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}

func (l *lab) addNode(name string, taints ...corev1.Taint) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}, Spec: corev1.NodeSpec{Taints: taints}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	create(l, nodes, n)
}

// kubelet starts pods at once and ends them at once.
func (l *lab) kubelet(ctx context.Context) {
	changed, end := l.store.Subscribe(pods)
	defer end()
	for {
		all, err := apiserver.Typed[corev1.Pod](l.store, pods, "")
		if err != nil {
			l.t.Error(err)
		}
		l.count(all)
		for i, p := range all {
			if err := l.serve(p, i); err != nil && !apierrors.IsNotFound(err) {
				l.t.Error(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (l *lab) serve(p *corev1.Pod, i int) error {
	if p.Spec.NodeName == "" {
		return nil
	}
	if p.DeletionTimestamp != nil {
		return l.store.Remove(pods, p.Namespace, p.Name, string(p.UID))
	}
	l.mu.Lock()
	ready := corev1.ConditionTrue
	if l.sick[p.Spec.Containers[0].Image] {
		ready = corev1.ConditionFalse
	}
	l.mu.Unlock()
	return apiserver.Modify(l.store, pods, p.Namespace, p.Name, func(o *corev1.Pod) error {
		if o.Status.Phase != corev1.PodPending {
			return apiserver.ErrUnchanged
		}
		o.Status.Phase, o.Status.PodIP = corev1.PodRunning, fmt.Sprintf("10.244.0.%d", i+2)
		o.Status.Conditions = append(o.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready})
		return nil
	})
}

// count notes how many pods there are of each app.
func (l *lab) count(all []*corev1.Pod) {
	now, ready := map[string]int{}, map[string]int{}
	for _, p := range all {
		if p.DeletionTimestamp == nil {
			now[p.Labels["app"]]++
		}
		if isReady(p) {
			ready[p.Labels["app"]]++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for app, n := range now {
		l.high[app] = max(l.high[app], n)
	}
	for app, n := range l.low {
		l.low[app] = min(n, ready[app])
	}
}

// watch counts an app's pods from now on.
func (l *lab) watch(app string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.high[app], l.low[app] = 0, 1000
}

func (l *lab) seen(app string) (low, high int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.low[app], l.high[app]
}

func isReady(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// eventually waits until nothing is missing.
func (l *lab) eventually(missing func() string) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		text := missing()
		if text == "" {
			return
		}
		select {
		case <-deadline:
			l.t.Fatalf("still: %s", text)
		case <-tick.C:
		}
	}
}

func (l *lab) podsOf(app string) []*corev1.Pod {
	l.t.Helper()
	all, err := apiserver.Typed[corev1.Pod](l.store, pods, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(p *corev1.Pod) bool { return p.Labels["app"] != app })
}

// ready waits until so many pods of an app, and no others, are ready, and gives
// them by name.
func (l *lab) ready(app string, n int) []*corev1.Pod {
	l.t.Helper()
	var have []*corev1.Pod
	l.eventually(func() string {
		have = l.podsOf(app)
		good := len(slices.DeleteFunc(slices.Clone(have), func(p *corev1.Pod) bool { return !isReady(p) }))
		if good == n && len(have) == n {
			return ""
		}
		return fmt.Sprintf("%s: %d pods, %d ready, want %d", app, len(have), good, n)
	})
	return have
}

func create[T any](l *lab, gvr schema.GroupVersionResource, o *T) *T {
	l.t.Helper()
	made, err := apiserver.Create(l.store, gvr, o)
	if err != nil {
		l.t.Fatal(err)
	}
	return made
}

func get[T any](l *lab, gvr schema.GroupVersionResource, name string) *T {
	l.t.Helper()
	u, err := l.store.Get(gvr, "default", name)
	if err != nil {
		l.t.Fatal(err)
	}
	o, err := apiserver.As[T](u)
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func modify[T any](l *lab, gvr schema.GroupVersionResource, namespace, name string, change func(*T)) {
	l.t.Helper()
	err := apiserver.Modify(l.store, gvr, namespace, name, func(o *T) error { change(o); return nil })
	if err != nil {
		l.t.Fatal(err)
	}
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "default", Name: name} }

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func template(app string, change ...func(*corev1.PodSpec)) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}}
	t.Spec.Containers = []corev1.Container{{Name: "c", Image: app + ":1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}
	for _, c := range change {
		c(&t.Spec)
	}
	return t
}

func deployment(app string, replicas int32, change ...func(*corev1.PodSpec)) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: meta(app), Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector(app), Template: template(app, change...)}}
}

func budget(app string, least intstr.IntOrString) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: meta(app), Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: selector(app)}}
}
