package kube

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func owned(p *corev1.Pod, kind, name string) *corev1.Pod {
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, Controller: new(true)}}
	return p
}

func matching(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func requiring(key string, values ...string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}},
	}}}
}

// placementObjects are a bit of everything that decides where pods run.
func placementObjects() []apiruntime.Object {
	w1 := node("w-1", map[string]string{"zone": "a", "uninteresting": "x", "node-role.kubernetes.io/ingress": ""})
	w1.Status.Allocatable = amounts("cpu", "3900m", "memory", "8Gi", "ephemeral-storage", "20Gi", "pods", "110", "nvidia.com/gpu", "2", "hugepages-2Mi", "0")
	w1.Spec.Taints = []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}}
	w2 := node("w-2", nil)
	w2.Spec.Unschedulable = true
	w2.Status.Conditions[0].Status = corev1.ConditionUnknown

	web := owned(pod("shop", "web-5d9-abc", "w-1"), "ReplicaSet", "web-5d9")
	web.Labels = map[string]string{"app": "web", "pod-template-hash": "5d9", "noise": "1"}
	web.Spec.Affinity = &corev1.Affinity{
		NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: requiring("zone", "a")},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: "host", LabelSelector: matching("app", "web")},
			{TopologyKey: "host", LabelSelector: matching("app", "web"), NamespaceSelector: matching("team", "red")},
			{TopologyKey: "host", NamespaceSelector: &metav1.LabelSelector{}},
		}},
	}
	web.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
		{TopologyKey: "zone", MaxSkew: 2, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: matching("app", "web"), MatchLabelKeys: []string{"pod-template-hash"}},
		{TopologyKey: "zone", MaxSkew: 1, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: matching("app", "web")},
	}
	web.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}

	db := owned(pod("shop", "db-0", "w-1"), "StatefulSet", "db")
	db.Labels = map[string]string{"app": "db", "statefulset.kubernetes.io/pod-name": "db-0"}
	db.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"}}}}
	agent := owned(pod("kube-system", "agent-x", "w-2"), "DaemonSet", "agent")
	agent.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: requiring("metadata.name", "w-2")}}
	bare := pod("shop", "bare", "w-1")
	bare.OwnerReferences, bare.Status.Phase = nil, corev1.PodPending
	done := owned(pod("shop", "job-x", "w-1"), "Job", "job")
	done.Status.Phase = corev1.PodSucceeded
	ending := pod("shop", "ending", "w-1")
	ending.DeletionTimestamp, ending.Finalizers = &metav1.Time{}, []string{"x"}

	return []apiruntime.Object{
		w1, w2, web, db, agent, bare, done, ending, staticPod("etcd", "w-1", "e:1"),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "red", Labels: map[string]string{"team": "red"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "blue"}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}},
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "agent"},
			Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{NodeSelector: map[string]string{labelMaster: ""}}},
				UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2},
		},
		&corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "local"},
			Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data-db-0"}, NodeAffinity: &corev1.VolumeNodeAffinity{Required: requiring("zone", "a")}},
		},
		&policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: matching("app", "web"), MaxUnavailable: new(intstr.FromString("30%")), UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow)},
			Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3,
				Conditions: []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition, Reason: policyv1.SyncFailedReason, Message: "no scale"}}},
		},
	}
}

func TestPlacement(t *testing.T) {
	c, _ := fakeClient(placementObjects()...)
	p, err := c.Placement(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w1 := p.Nodes[0]
	if want := (cluster.Resources{MilliCPU: 3900, Memory: 8 << 30, Ephemeral: 20 << 30, Pods: 110, Extended: []int64{2}}); !reflect.DeepEqual(w1.Allocatable, want) || !reflect.DeepEqual(p.Extended, []string{"nvidia.com/gpu"}) {
		t.Errorf("allocatable %+v, want %+v; %q", w1.Allocatable, want, p.Extended)
	}
	if want := map[string]string{"zone": "a", "node-role.kubernetes.io/ingress": ""}; !reflect.DeepEqual(w1.Labels, want) || !w1.Ready || w1.Cordoned || w1.Taints[0] != (cluster.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}) {
		t.Errorf("w-1 is %+v", w1)
	}
	if w2 := p.Nodes[1]; w2.Ready || !w2.Cordoned {
		t.Errorf("w-2 is %+v", w2)
	}
	var got []string
	for _, x := range p.Pods {
		owner := "nobody"
		if x.Controller >= 0 {
			c := p.Controllers[x.Controller]
			owner = fmt.Sprintf("%s %s (%d)", c.Kind, c.Name, c.Desired)
		}
		got = append(got, fmt.Sprintf("%s/%s on %d of %s, volume %d, phase %d, ready %t, mirror %t, labels %v", x.Namespace, x.Name, x.Node, owner, x.Volume, x.Phase, x.Ready, x.Mirror, p.LabelSets[x.Labels]))
	}
	want := []string{
		"kube-system/agent-x on 1 of DaemonSet agent (2), volume -1, phase 0, ready true, mirror false, labels map[app:web]",
		"kube-system/etcd-w-1 on 0 of Node w-1 (-1), volume -1, phase 0, ready true, mirror true, labels map[]",
		"shop/bare on 0 of nobody, volume -1, phase 1, ready true, mirror false, labels map[app:web]",
		"shop/db-0 on 0 of StatefulSet db (1), volume 0, phase 0, ready true, mirror false, labels map[app:db]",
		"shop/job-x on 0 of Job job (-1), volume -1, phase 2, ready true, mirror false, labels map[app:web]",
		"shop/web-5d9-abc on 0 of Deployment web (3), volume -1, phase 0, ready true, mirror false, labels map[app:web pod-template-hash:5d9]",
	}
	if !slices.Equal(got, want) || p.Ending != 1 {
		t.Errorf("pods (%d ending)\n%s\nwant\n%s", p.Ending, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	web := p.Specs[p.Pods[5].Spec]
	if len(web.AntiAffinity) != 3 || !slices.Equal(web.AntiAffinity[0].Namespaces, []string{"shop"}) || !slices.Equal(web.AntiAffinity[1].Namespaces, []string{"red"}) ||
		!web.AntiAffinity[2].AllNamespaces || !web.AntiAffinity[2].Nothing || web.AntiAffinity[0].Nothing {
		t.Errorf("anti-affinity %+v", web.AntiAffinity)
	}
	if len(web.Spread) != 1 || web.Spread[0].MaxSkew != 2 || len(web.Spread[0].Selector) != 2 || web.NodeAffinity == nil || !web.EmptyDir || web.InMemory {
		t.Errorf("web asks for %+v", web)
	}
	if agent := p.Specs[p.Pods[0].Spec]; agent.NodeAffinity != nil {
		t.Errorf("the node's name is taken for a demand of the DaemonSet: %+v", agent.NodeAffinity)
	}
	i := slices.IndexFunc(p.Controllers, func(c cluster.PodController) bool { return c.Name == "agent" })
	if a := p.Controllers[i]; !a.OnDelete || p.Specs[a.Spec].NodeSelector[labelMaster] != "" || len(p.Specs[a.Spec].NodeSelector) != 1 {
		t.Errorf("the DaemonSet is %+v", a)
	}
	wantBudget := cluster.PlacedBudget{
		Namespace: "shop", Name: "web", Selector: cluster.Selector{{Key: "app", Operator: "In", Values: []string{"web"}}},
		MaxUnavailable: "30%", AlwaysAllow: true, Allowed: 1, Healthy: 3, Desired: 2, Expected: 3, Failing: "no scale",
	}
	if len(p.Budgets) != 1 || !reflect.DeepEqual(p.Budgets[0], wantBudget) {
		t.Errorf("budgets %+v", p.Budgets)
	}
}

func TestPlacementOfOldServers(t *testing.T) {
	c, set := fakeClient(
		&policyv1beta1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: policyv1beta1.PodDisruptionBudgetSpec{Selector: matching("app", "web"), MinAvailable: new(intstr.FromInt32(2))}},
		&policyv1beta1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "zero"}, Spec: policyv1beta1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}}},
	)
	set.PrependReactor("list", "poddisruptionbudgets", func(a clienttesting.Action) (bool, apiruntime.Object, error) {
		if a.GetResource().Version == "v1" {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		}
		return false, nil, nil
	})
	p, err := c.Placement(t.Context())
	if err != nil || len(p.Budgets) != 2 || p.Budgets[0].Nothing || p.Budgets[0].MinAvailable != "2" || !p.Budgets[1].Nothing {
		t.Errorf("%+v %v", p.Budgets, err)
	}
	set.PrependReactor("list", "persistentvolumes", func(clienttesting.Action) (bool, apiruntime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumes"}, "", nil)
	})
	if _, err := c.Placement(t.Context()); err == nil || !strings.Contains(err.Error(), "list persistent volumes") {
		t.Errorf("what may not be read: %v", err)
	}
}

func TestRequests(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	container := func(pairs ...string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: amounts(pairs...)}}
	}
	sidecar := container("cpu", "50m", "memory", "10Mi")
	sidecar.RestartPolicy = &always
	const mebi = 1 << 20
	for name, tc := range map[string]struct {
		spec corev1.PodSpec
		want cluster.Resources
	}{
		"nothing":            {corev1.PodSpec{Containers: []corev1.Container{container()}}, cluster.Resources{}},
		"containers add up":  {corev1.PodSpec{Containers: []corev1.Container{container("cpu", "100m"), container("cpu", "1", "memory", "1Mi")}}, cluster.Resources{MilliCPU: 1100, Memory: mebi}},
		"a larger init":      {corev1.PodSpec{InitContainers: []corev1.Container{container("cpu", "2"), container("cpu", "1")}, Containers: []corev1.Container{container("cpu", "100m", "memory", "5Mi")}}, cluster.Resources{MilliCPU: 2000, Memory: 5 * mebi}},
		"a sidecar":          {corev1.PodSpec{InitContainers: []corev1.Container{sidecar}, Containers: []corev1.Container{container("cpu", "100m")}}, cluster.Resources{MilliCPU: 150, Memory: 10 * mebi}},
		"init after sidecar": {corev1.PodSpec{InitContainers: []corev1.Container{sidecar, container("cpu", "1")}, Containers: []corev1.Container{container("cpu", "100m")}}, cluster.Resources{MilliCPU: 1050, Memory: 10 * mebi}},
		"overhead":           {corev1.PodSpec{Overhead: amounts("cpu", "250m"), Containers: []corev1.Container{container("cpu", "100m")}}, cluster.Resources{MilliCPU: 350}},
		"the pod as a whole": {corev1.PodSpec{Resources: &corev1.ResourceRequirements{Requests: amounts("cpu", "300m")}, Containers: []corev1.Container{container("cpu", "100m", "memory", "1Mi")}}, cluster.Resources{MilliCPU: 300, Memory: mebi}},
		"other resources":    {corev1.PodSpec{Containers: []corev1.Container{container("example.com/a", "1"), container("example.com/a", "2", "example.com/b", "1")}}, cluster.Resources{Extended: []int64{3, 1}}},
	} {
		if got := newPlacing(nil).requests(&tc.spec); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// store answers lists, those of pods in one piece where no limit is given. Pods are as
// many as given, three in each StatefulSet, with what pods usually carry besides.
type store struct {
	pods     int
	expire   int  // the page after it is answered with 410, offering another token; 0: none
	plain    bool // it knows no protobuf
	breaks   int  // after how many bytes an answer in one piece breaks off; 0: never
	requests atomic.Int64
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kinds := map[string]string{
		"/api/v1/nodes": "NodeList", "/api/v1/persistentvolumes": "PersistentVolumeList", "/apis/apps/v1/deployments": "DeploymentList",
		"/apis/apps/v1/statefulsets": "StatefulSetList", "/apis/apps/v1/daemonsets": "DaemonSetList", "/apis/policy/v1/poddisruptionbudgets": "PodDisruptionBudgetList",
	}
	s.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if kind := kinds[r.URL.Path]; kind != "" {
		fmt.Fprintf(w, `{"kind":%q,"items":[]}`, kind)
		return
	}
	token, accept := r.URL.Query().Get("continue"), r.Header.Get("Accept")
	if s.expire > 0 && token == strconv.Itoa(s.expire) {
		w.WriteHeader(http.StatusGone)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"metadata":{"continue":"new-%d"}}`, s.expire)
		return
	}
	if s.plain && !strings.Contains(accept, apiruntime.ContentTypeJSON) {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(token, "new-"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	to := s.pods
	if limit > 0 {
		to = min(from+limit, s.pods)
	}
	next := ""
	if to < s.pods {
		next = strconv.Itoa(to)
	}
	list := &corev1.PodList{ListMeta: metav1.ListMeta{Continue: next, ResourceVersion: "7"}}
	ballast := strings.Repeat("x", 3000)
	for i := from; i < to; i++ {
		list.Items = append(list.Items, numbered(i, ballast))
	}
	media := apiruntime.ContentTypeJSON
	if strings.Contains(accept, apiruntime.ContentTypeProtobuf) && !s.plain {
		media = apiruntime.ContentTypeProtobuf
	}
	info, _ := apiruntime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media)
	var body bytes.Buffer
	_ = scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion).Encode(list, &body)
	if limit == 0 && s.breaks > 0 {
		body.Truncate(s.breaks)
	}
	_, _ = w.Write(body.Bytes())
}

// connected is a client of the store.
func connected(tb testing.TB, s *store) *Client {
	tb.Helper()
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	c, err := newClient(&rest.Config{Host: server.URL}, new(atomic.Int64))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// TestPodsOfEveryServer: in one piece or in pages, in protobuf or not, each pod is there
// once.
func TestPodsOfEveryServer(t *testing.T) {
	const pods, others = 1700, 6
	for name, tc := range map[string]struct {
		store    *store
		requests int64
	}{
		"in one piece":             {&store{}, 1},
		"no protobuf":              {&store{plain: true}, 1 + 4},
		"breaks off":               {&store{breaks: 100_000}, 1 + 4},
		"breaks off before a list": {&store{breaks: 4}, 1 + 4},
		"a page is gone":           {&store{breaks: 100_000, expire: 500}, 1 + 4 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			tc.store.pods = pods
			p, err := connected(t, tc.store).Placement(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, pod := range p.Pods {
				names[pod.Namespace+"/"+pod.Name] = true
				if pod.Controller < 0 || !pod.Ready || p.Specs[pod.Spec].Requests.MilliCPU != 100 {
					t.Fatalf("%+v", pod)
				}
			}
			if len(names) != pods || len(p.Pods) != pods {
				t.Errorf("%d pods, %d names, want %d", len(p.Pods), len(names), pods)
			}
			if got := tc.store.requests.Load() - others; got != tc.requests {
				t.Errorf("%d requests for pods, want %d", got, tc.requests)
			}
		})
	}
}

// numbered is one of the pods of paged.
func numbered(i int, ballast string) corev1.Pod {
	app := fmt.Sprintf("app-%d", i/3)
	name := fmt.Sprintf("%s-%d", app, i%3)
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: fmt.Sprintf("ns-%d", i%50), Labels: map[string]string{"app": app, "statefulset.kubernetes.io/pod-name": name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: app, Controller: new(true)}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(`{"f":"` + ballast + `"}`)}},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("w-%d", i%50),
			Containers: []corev1.Container{{
				Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: amounts("cpu", "100m")}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}},
			}},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// BenchmarkPlacement reads 50,000 pods of about 4 KiB.
func BenchmarkPlacement(b *testing.B) {
	s := &store{pods: 50000}
	c := connected(b, s)
	for b.Loop() {
		p, err := c.Placement(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-kept")
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(s.requests.Swap(0)), "requests")
		runtime.KeepAlive(p)
	}
}
