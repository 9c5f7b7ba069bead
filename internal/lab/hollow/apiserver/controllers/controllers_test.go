package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver/controllers"
)

func TestDeploymentRollsOut(t *testing.T) {
	l := start(t, "a", "b", "c")
	create(l, deployments, deployment("web", 3))
	first := l.ready("web", 3)
	on := map[string]bool{}
	for _, p := range first {
		on[p.Spec.NodeName] = true
	}
	if len(on) != 3 {
		t.Errorf("three pods on %d of three nodes", len(on))
	}
	l.eventually(func() string {
		if s := get[appsv1.Deployment](l, deployments, "web").Status; s.AvailableReplicas != 3 || s.ObservedGeneration != 1 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	l.watch("web")
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "web:2" })
	l.eventually(func() string {
		if s := get[appsv1.Deployment](l, deployments, "web").Status; s.UpdatedReplicas != 3 || s.Replicas != 3 || s.AvailableReplicas != 3 || s.ObservedGeneration != 2 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	for _, p := range l.ready("web", 3) {
		if p.Spec.Containers[0].Image != "web:2" {
			t.Errorf("%s still runs %s", p.Name, p.Spec.Containers[0].Image)
		}
	}
	if low, high := l.seen("web"); low < 3 || high > 4 {
		t.Errorf("between %d ready and %d in all; a quarter of three is none to miss, one to spare", low, high)
	}
	if d := get[appsv1.Deployment](l, deployments, "web"); d.Annotations["deployment.kubernetes.io/revision"] != "2" {
		t.Errorf("%v", d.Annotations)
	}
	// What it was is known, and wanted again it is the newest.
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "web:1" })
	l.eventually(func() string {
		d := get[appsv1.Deployment](l, deployments, "web")
		if s := d.Status; s.UpdatedReplicas != 3 || s.Replicas != 3 || d.Annotations["deployment.kubernetes.io/revision"] != "3" {
			return fmt.Sprintf("%v %+v", d.Annotations, s)
		}
		return ""
	})
	if sets, err := apiserver.Typed[appsv1.ReplicaSet](l.store, replicaSets, ""); err != nil || len(sets) != 2 {
		t.Errorf("%d ReplicaSets, %v", len(sets), err)
	}
}

func TestBadRolloutStops(t *testing.T) {
	l := start(t, "a", "b")
	create(l, deployments, deployment("web", 4))
	l.ready("web", 4)
	l.mu.Lock()
	l.sick["web:2"] = true
	l.mu.Unlock()
	l.watch("web")
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "web:2" })
	l.eventually(func() string {
		if s := get[appsv1.Deployment](l, deployments, "web").Status; s.UpdatedReplicas != 2 || s.Replicas != 5 || s.AvailableReplicas != 3 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if low, high := l.seen("web"); low < 3 || high > 5 {
		t.Errorf("between %d ready and %d in all", low, high)
	}
}

func TestDeletedDeploymentTakesItsPods(t *testing.T) {
	l := start(t, "a")
	create(l, deployments, deployment("web", 2))
	l.ready("web", 2)
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationOrphan, metav1.DeletePropagationForeground} {
		gvr, name := deployments, "web"
		if policy == metav1.DeletePropagationForeground { // the Deployment is gone already
			sets, err := apiserver.Typed[appsv1.ReplicaSet](l.store, replicaSets, "")
			if err != nil || len(sets) != 1 || len(sets[0].OwnerReferences) != 0 {
				t.Fatalf("%v %v", sets, err)
			}
			gvr, name = replicaSets, sets[0].Name
		}
		if err := l.store.Delete(gvr, "default", name, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Fatal(err)
		}
		l.eventually(func() string {
			if _, err := l.store.Get(gvr, "default", name); !apierrors.IsNotFound(err) {
				return fmt.Sprintf("%s %s is there: %v", gvr.Resource, name, err)
			}
			return ""
		})
		if policy == metav1.DeletePropagationOrphan {
			l.ready("web", 2)
		}
	}
	l.ready("web", 0)
}

func TestStatefulSetKeepsItsNames(t *testing.T) {
	l := start(t, "a", "b")
	create(l, statefulSets, &appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), ServiceName: "db", Selector: selector("db"), Template: template("db")}})
	first := l.ready("db", 3)
	for i, p := range first {
		if want := fmt.Sprintf("db-%d", i); p.Name != want || p.Spec.Hostname != want || p.Labels[appsv1.StatefulSetPodNameLabel] != want {
			t.Errorf("%s: %+v", p.Name, p.Labels)
		}
		if i > 0 && resourceVersion(t, p) < resourceVersion(t, first[i-1]) {
			t.Errorf("%s was before %s", p.Name, first[i-1].Name)
		}
	}
	l.watch("db")
	modify(l, statefulSets, "default", "db", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "db:2" })
	l.eventually(func() string {
		if s := get[appsv1.StatefulSet](l, statefulSets, "db").Status; s.UpdatedReplicas != 3 || s.ReadyReplicas != 3 || s.CurrentRevision != s.UpdateRevision || s.ObservedGeneration != 2 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if low, high := l.seen("db"); low < 2 || high > 3 {
		t.Errorf("between %d ready and %d in all", low, high)
	}
	modify(l, statefulSets, "default", "db", func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(1)) })
	if left := l.ready("db", 1); left[0].Name != "db-0" {
		t.Errorf("%s is left", left[0].Name)
	}
}

func TestDaemonSetIsEverywhere(t *testing.T) {
	l := start(t, "a", "b")
	l.addNode("cp", corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule})
	set := &appsv1.DaemonSet{ObjectMeta: meta("agent"), Spec: appsv1.DaemonSetSpec{Selector: selector("agent"), Template: template("agent")}}
	create(l, daemonSets, set)
	l.ready("agent", 2)
	// A cordoned node has its daemons, too.
	modify(l, nodes, "", "b", func(n *corev1.Node) { n.Spec.Unschedulable = true })
	modify(l, daemonSets, "default", "agent", func(d *appsv1.DaemonSet) {
		d.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	})
	l.addNode("late")
	l.eventually(func() string {
		if s := get[appsv1.DaemonSet](l, daemonSets, "agent").Status; s.DesiredNumberScheduled != 4 || s.NumberReady != 4 || s.UpdatedNumberScheduled != 4 || s.ObservedGeneration != 2 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	on := map[string]int{}
	for _, p := range l.ready("agent", 4) {
		on[p.Spec.NodeName]++
	}
	if len(on) != 4 {
		t.Errorf("%v", on)
	}
	if err := l.store.Delete(nodes, "", "late", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.ready("agent", 3)
}

func TestScheduler(t *testing.T) {
	l := start(t, "a", "b")
	l.addNode("cp", corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule})
	modify(l, nodes, "", "b", func(n *corev1.Node) { n.Spec.Unschedulable, n.Labels["disk"] = true, "fast" })
	create(l, deployments, deployment("picky", 1, func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"disk": "fast"} }))
	create(l, deployments, deployment("apart", 2, func(p *corev1.PodSpec) {
		p.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{LabelSelector: selector("apart"), TopologyKey: corev1.LabelHostname},
		}}}
	}))
	l.eventually(func() string {
		waiting := 0
		for _, p := range append(l.podsOf("picky"), l.podsOf("apart")...) {
			if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable
			}) {
				waiting++
			}
		}
		if waiting != 2 {
			return fmt.Sprintf("%d pods wait for a node", waiting)
		}
		return ""
	})
	modify(l, nodes, "", "b", func(n *corev1.Node) { n.Spec.Unschedulable = false })
	if p := l.ready("picky", 1); p[0].Spec.NodeName != "b" {
		t.Errorf("on %s", p[0].Spec.NodeName)
	}
	if p := l.ready("apart", 2); p[0].Spec.NodeName == p[1].Spec.NodeName {
		t.Errorf("both on %s", p[0].Spec.NodeName)
	}
}

func TestBudgets(t *testing.T) {
	l := start(t, "a", "b", "c")
	create(l, deployments, deployment("web", 3))
	create(l, deployments, deployment("half", 4))
	create(l, budgets, budget("web", intstr.FromInt32(2)))
	create(l, budgets, budget("half", intstr.FromString("50%")))
	l.ready("web", 3)
	l.ready("half", 4)
	status := func(app string, allowed, healthy, desired, expected int32) {
		t.Helper()
		l.eventually(func() string {
			s := get[policyv1.PodDisruptionBudget](l, budgets, app).Status
			if s.DisruptionsAllowed != allowed || s.CurrentHealthy != healthy || s.DesiredHealthy != desired || s.ExpectedPods != expected || s.ObservedGeneration != 1 {
				return fmt.Sprintf("%s: %+v", app, s)
			}
			return ""
		})
	}
	status("web", 1, 3, 2, 3)
	status("half", 2, 4, 2, 4)
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) })
	status("web", 0, 2, 2, 2)
	err := l.store.Evict("default", l.ready("web", 2)[0].Name, metav1.DeleteOptions{})
	if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Errorf("%v", err)
	}
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(4)) })
	status("web", 2, 4, 2, 4)
	l.watch("web")
	for _, p := range l.ready("web", 4)[:2] {
		if err := l.store.Evict("default", p.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	status("web", 2, 4, 2, 4)
	if low, _ := l.seen("web"); low < 2 {
		t.Errorf("%d ready", low)
	}
}

func TestServicesHaveEndpoints(t *testing.T) {
	l := start(t, "a", "b")
	services := corev1.SchemeGroupVersion.WithResource("services")
	slicesResource := discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
	create(l, services, &corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
	}})
	create(l, deployments, deployment("web", 2))
	has := func(n int) {
		t.Helper()
		l.eventually(func() string {
			all, err := apiserver.Typed[discoveryv1.EndpointSlice](l.store, slicesResource, "default")
			old, err2 := apiserver.Typed[corev1.Endpoints](l.store, corev1.SchemeGroupVersion.WithResource("endpoints"), "default") //nolint:staticcheck // real clusters have them
			if err != nil || err2 != nil || len(all) != 1 || len(old) != 1 {
				return fmt.Sprint(all, err, err2)
			}
			ready := 0
			for _, e := range all[0].Endpoints {
				if *e.Conditions.Ready {
					ready++
				}
			}
			before := 0
			for _, s := range old[0].Subsets {
				before += len(s.Addresses)
			}
			if ready != n || before != n || n > 0 && (len(all[0].Ports) != 1 || *all[0].Ports[0].Port != 8080) || all[0].Labels[discoveryv1.LabelServiceName] != "web" {
				return fmt.Sprintf("%d and %d endpoints, want %d: %+v", ready, before, n, all[0])
			}
			return ""
		})
	}
	has(2)
	modify(l, deployments, "default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) })
	has(0)
	if err := l.store.Delete(services, "default", "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.eventually(func() string {
		if all, err := l.store.List(slicesResource, "default"); err != nil || len(all) > 0 {
			return fmt.Sprint(all, err)
		}
		return ""
	})
}

func TestNamespacesAndJobs(t *testing.T) {
	l := start(t, "a")
	namespaces := corev1.SchemeGroupVersion.WithResource("namespaces")
	jobs := batchv1.SchemeGroupVersion.WithResource("jobs")
	create(l, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tidy"}, Spec: batchv1.JobSpec{Template: template("tidy", func(p *corev1.PodSpec) { p.RestartPolicy = corev1.RestartPolicyNever })}}
	create(l, jobs, job)
	p := l.ready("tidy", 1)[0]
	modify(l, pods, "shop", p.Name, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	l.eventually(func() string {
		u, err := l.store.Get(jobs, "shop", "tidy")
		if err != nil {
			return err.Error()
		}
		if j, err := apiserver.As[batchv1.Job](u); err != nil || j.Status.Succeeded != 1 || j.Status.CompletionTime == nil || len(j.Status.Conditions) != 1 {
			return fmt.Sprint(u, err)
		}
		return ""
	})
	if n := len(l.podsOf("tidy")); n != 1 {
		t.Errorf("%d pods of a job that is done", n)
	}
	if err := l.store.Delete(namespaces, "", "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := apiserver.Create(l.store, deployments, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "late"}}); err == nil {
		t.Error("something was made in a namespace that goes")
	}
	l.eventually(func() string {
		if _, err := l.store.Get(namespaces, "", "shop"); !apierrors.IsNotFound(err) {
			return fmt.Sprintf("namespace shop is there: %v", err)
		}
		return ""
	})
	l.ready("tidy", 0)
}

// Without an API server the controllers do nothing, and go on when there is one.
func TestControllersNeedTheAPI(t *testing.T) {
	s := apiserver.NewStore()
	var able atomic.Bool
	asked := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		controllers.Run(ctx, s, controllers.Options{Pace: 0.001, Able: func() bool {
			select {
			case asked <- struct{}{}:
			default:
			}
			return able.Load()
		}})
	})
	defer running.Wait()
	defer cancel()
	l := &lab{t: t, store: s}
	create(l, deployments, deployment("web", 2))
	for range 5 {
		<-asked
	}
	if n := len(l.podsOf("web")); n != 0 {
		t.Errorf("%d pods without an API server", n)
	}
	able.Store(true)
	l.eventually(func() string {
		if n := len(l.podsOf("web")); n != 2 {
			return fmt.Sprintf("%d pods", n)
		}
		return ""
	})
}

func resourceVersion(t *testing.T, p *corev1.Pod) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(p.ResourceVersion, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
