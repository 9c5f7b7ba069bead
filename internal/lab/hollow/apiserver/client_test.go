package apiserver_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

func TestObjectsOverHTTPS(t *testing.T) {
	l := start(t)
	maps := l.client.CoreV1().ConfigMaps("default")
	made, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Data: map[string]string{"a": "1"}}, metav1.CreateOptions{})
	if err != nil || made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.Data["a"] != "1" {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := maps.Create(t.Context(), made.DeepCopy(), metav1.CreateOptions{}); !apierrors.IsBadRequest(err) {
		t.Errorf("created with a resource version: %v", err)
	}
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("made twice: %v", err)
	}
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an impossible name: %v", err)
	}
	if _, err := l.client.CoreV1().ConfigMaps("nowhere").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("made in no namespace: %v", err)
	}
	stale := made.DeepCopy()
	made.Data["a"] = "2"
	changed, err := maps.Update(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || changed.ResourceVersion == made.ResourceVersion || changed.UID != made.UID {
		t.Fatalf("%+v %v", changed, err)
	}
	if _, err := maps.Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of what has changed meanwhile: %v", err)
	}
	again, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{})
	if err != nil || again.ResourceVersion != changed.ResourceVersion {
		t.Errorf("an update that changes nothing made version %s of %s: %v", again.ResourceVersion, changed.ResourceVersion, err)
	}
	dry, err := maps.Patch(t.Context(), "one", types.MergePatchType, []byte(`{"data":{"a":"3"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || dry.Data["a"] != "3" {
		t.Errorf("%+v %v", dry, err)
	}
	if err := maps.Delete(t.Context(), "one", metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("other")}); !apierrors.IsConflict(err) {
		t.Errorf("deleted another one: %v", err)
	}
	if kept, err := maps.Get(t.Context(), "one", metav1.GetOptions{}); err != nil || kept.Data["a"] != "2" {
		t.Errorf("%+v %v", kept, err)
	}
	if err := maps.Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	_, err = maps.Get(t.Context(), "one", metav1.GetOptions{})
	if status := new(apierrors.StatusError); !apierrors.IsNotFound(err) || err.Error() != `configmaps "one" not found` {
		t.Errorf("%v %v", err, status)
	}
}

func TestPatches(t *testing.T) {
	l := start(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w-1", Labels: map[string]string{"a": "1"}}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}, {Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse}},
	}}
	nodes := l.client.CoreV1().Nodes()
	must[*corev1.Node](t)(nodes.Create(t.Context(), node, metav1.CreateOptions{}))
	patch := func(kind types.PatchType, text string, sub ...string) *corev1.Node {
		t.Helper()
		return must[*corev1.Node](t)(nodes.Patch(t.Context(), "w-1", kind, []byte(text), metav1.PatchOptions{}, sub...))
	}
	if n := patch(types.MergePatchType, `{"spec":{"unschedulable":true},"metadata":{"labels":{"a":null,"b":"2"}}}`); !n.Spec.Unschedulable || len(n.Labels) != 1 || n.Labels["b"] != "2" {
		t.Errorf("%+v", n)
	}
	if n := patch(types.JSONPatchType, `[{"op":"replace","path":"/spec/unschedulable","value":false}]`); n.Spec.Unschedulable {
		t.Errorf("%+v", n.Spec)
	}
	n := patch(types.StrategicMergePatchType, `{"status":{"conditions":[{"type":"Ready","status":"True"}]},"spec":{"podCIDR":"10.0.0.0/24"}}`, "status")
	if len(n.Status.Conditions) != 2 || n.Status.Conditions[0].Status != corev1.ConditionTrue || n.Spec.PodCIDR != "" {
		t.Errorf("the status' patch: %+v %+v", n.Status.Conditions, n.Spec)
	}
	if _, err := nodes.Patch(t.Context(), "w-1", types.JSONPatchType, []byte(`[{"op":"test","path":"/spec/podCIDR","value":"x"}]`), metav1.PatchOptions{}); err == nil {
		t.Error("a test of a JSON patch that fails was taken")
	}
	if _, err := nodes.Patch(t.Context(), "w-1", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"}}`), metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a patch of an old version: %v", err)
	}
	if _, err := nodes.Patch(t.Context(), "w-1", types.MergePatchType, []byte(`{"spec":{"unschedulable":"yes"}}`), metav1.PatchOptions{}); !apierrors.IsBadRequest(err) {
		t.Errorf("a field of the wrong type: %v", err)
	}
}

const web = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"app":"web"}},
"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"},{"name":"side","image":"side:1"}]}}}}`

func TestApplyAndDefaults(t *testing.T) {
	l := start(t)
	deployments := l.client.AppsV1().Deployments("default")
	apply := func(text string) *appsv1.Deployment {
		t.Helper()
		return must[*appsv1.Deployment](t)(deployments.Patch(t.Context(), "web", types.ApplyPatchType, []byte(text), metav1.PatchOptions{FieldManager: "test", Force: new(true)}))
	}
	first := apply(web)
	if *first.Spec.Replicas != 1 || first.Generation != 1 || first.Spec.Strategy.RollingUpdate.MaxSurge.String() != "25%" || first.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		t.Errorf("%+v", first.Spec)
	}
	if second := apply(web); second.ResourceVersion != first.ResourceVersion {
		t.Errorf("the same applied again made version %s of %s", second.ResourceVersion, first.ResourceVersion)
	}
	third := apply(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:2"}]}}}}`)
	if c := third.Spec.Template.Spec.Containers; third.Generation != 2 || len(c) != 2 || c[0].Image != "web:1" || c[1].Image != "side:2" {
		t.Errorf("generation %d, %+v", third.Generation, c)
	}
	third.Status.Replicas = 7
	status := must[*appsv1.Deployment](t)(deployments.UpdateStatus(t.Context(), third, metav1.UpdateOptions{}))
	if status.Status.Replicas != 7 || status.Generation != 2 {
		t.Errorf("%+v", status)
	}
	scale, err := deployments.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Replicas != 7 || scale.Status.Selector != "app=web" {
		t.Fatalf("%+v %v", scale, err)
	}
	scale.Spec.Replicas = 3
	if scale, err = deployments.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 3 {
		t.Errorf("%+v %v", scale, err)
	}
	if d := must[*appsv1.Deployment](t)(deployments.Get(t.Context(), "web", metav1.GetOptions{})); *d.Spec.Replicas != 3 || d.Generation != 3 || d.Status.Replicas != 7 {
		t.Errorf("generation %d, %+v", d.Generation, d.Spec)
	}
}

func TestLists(t *testing.T) {
	l := start(t)
	for _, name := range []string{"e", "d", "c", "b", "a"} {
		p := pod("default", name, "w-"+name)
		p.Labels = map[string]string{"name": name, "odd": map[bool]string{true: "yes"}[name == "a" || name == "c"]}
		must[*corev1.Pod](t)(apiserver.Create(l.store, podsResource, p))
	}
	list := func(o metav1.ListOptions) []string {
		t.Helper()
		var out []string
		for _, p := range must[*corev1.PodList](t)(l.client.CoreV1().Pods("").List(t.Context(), o)).Items {
			out = append(out, p.Name)
		}
		return out
	}
	for _, tc := range []struct {
		labels, fields string
		want           []string
	}{
		{"", "", []string{"a", "b", "c", "d", "e"}},
		{"odd=yes", "", []string{"a", "c"}},
		{"odd=yes,name notin (a)", "", []string{"c"}},
		{"", "spec.nodeName=w-d", []string{"d"}},
		{"", "metadata.name!=a,status.phase=Pending", []string{"b", "c", "d", "e"}},
	} {
		if got := list(metav1.ListOptions{LabelSelector: tc.labels, FieldSelector: tc.fields}); !slices.Equal(got, tc.want) {
			t.Errorf("%q %q: %q, want %q", tc.labels, tc.fields, got, tc.want)
		}
	}
	if _, err := l.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.colour=red"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a field that cannot be selected by: %v", err)
	}
	first := must[*corev1.PodList](t)(l.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 2}))
	must[*corev1.Pod](t)(apiserver.Create(l.store, podsResource, pod("default", "bb", "")))
	rest := must[*corev1.PodList](t)(l.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 10, Continue: first.Continue}))
	if len(first.Items) != 2 || *first.RemainingItemCount != 3 || len(rest.Items) != 3 || rest.Continue != "" || rest.ResourceVersion != first.ResourceVersion {
		t.Errorf("pages of %d and %d", len(first.Items), len(rest.Items))
	}
	for range 40 {
		must[*corev1.PodList](t)(l.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 1}))
	}
	if _, err := l.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 10, Continue: first.Continue}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a list that was left long ago: %v", err)
	}
}

func TestDiscovery(t *testing.T) {
	l := start(t)
	disco := must[*discovery.DiscoveryClient](t)(discovery.NewDiscoveryClientForConfig(l.config))
	if v, err := disco.ServerVersion(); err != nil || v.GitVersion != "v1.34.4" || v.Minor != "34" {
		t.Errorf("%+v %v", v, err)
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "orders.shop.example"},
		"spec": map[string]any{
			"group": "shop.example", "scope": "Namespaced", "names": map[string]any{"kind": "Order", "plural": "orders"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}}}},
		},
	}}
	client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(l.config))
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	must[*unstructured.Unstructured](t)(definitions.Apply(t.Context(), definition.GetName(), definition, metav1.ApplyOptions{FieldManager: "test"}))
	groups := must[[]*restmapper.APIGroupResources](t)(restmapper.GetAPIGroupResources(disco))
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for kind, want := range map[schema.GroupKind]string{
		{Kind: "Pod"}: "pods", {Group: "apps", Kind: "Deployment"}: "deployments", {Group: "policy", Kind: "PodDisruptionBudget"}: "poddisruptionbudgets",
		{Group: "shop.example", Kind: "Order"}: "orders", {Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}: "validatingwebhookconfigurations",
	} {
		if m, err := mapper.RESTMapping(kind); err != nil || m.Resource.Resource != want {
			t.Errorf("%s: %v %v", kind, m, err)
		}
	}
	order := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "shop.example/v1", "kind": "Order", "metadata": map[string]any{"name": "tea"}, "spec": map[string]any{"amount": int64(3)}}}
	orders := client.Resource(schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "orders"}).Namespace("default")
	made := must[*unstructured.Unstructured](t)(orders.Apply(t.Context(), "tea", order, metav1.ApplyOptions{FieldManager: "test", Force: true}))
	if made.GetGeneration() != 1 {
		t.Errorf("%v", made)
	}
	if err := definitions.Delete(t.Context(), definition.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := orders.Get(t.Context(), "tea", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a resource that is defined no longer: %v", err)
	}
}

func TestWhoMayAsk(t *testing.T) {
	l := start(t)
	expired := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(l.as(t, "late", time.Now().Add(-time.Minute))))
	if _, err := expired.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("an expired certificate: %v", err)
	}
	nobody := l.as(t, "", time.Now().Add(time.Hour))
	nobody.CertData, nobody.KeyData = nil, nil
	anonymous := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(nobody))
	if _, err := anonymous.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("no certificate: %v", err)
	}
	for _, path := range []string{"/readyz", "/livez", "/healthz", "/version"} {
		if _, err := anonymous.RESTClient().Get().AbsPath(path).DoRaw(t.Context()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestHooks(t *testing.T) {
	var told []apiserver.Request
	fail := false
	l := start(t, func(c *apiserver.Config) {
		c.Audit = func(r apiserver.Request) { told = append(told, r) }
		c.Before = func(*http.Request) error {
			if fail {
				return context.DeadlineExceeded
			}
			return nil
		}
	})
	must[*corev1.Node](t)(l.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w-1"}}, metav1.CreateOptions{}))
	must[*corev1.Node](t)(l.client.CoreV1().Nodes().Get(t.Context(), "w-1", metav1.GetOptions{}))
	if _, err := l.client.CoreV1().Nodes().Patch(t.Context(), "w-2", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	l.server.Stop(t.Context())
	if len(told) != 2 || told[0].Verb != "create" || told[0].Code != 201 || told[0].User != "kubernetes-admin" || told[0].Agent != "lab-test/1" || told[1].Code != 404 || told[1].Name != "w-2" {
		t.Errorf("%+v", told)
	}
	fail = true
	if err := l.server.Start(t.Context(), "v1.34.4"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.client.CoreV1().Nodes().Get(t.Context(), "w-1", metav1.GetOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("a fault: %v", err)
	}
}

// pod is one that runs and is ready, where it has a node.
func pod(namespace, name, node string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "registry.k8s.io/pause:3.10"}},
	}}
	return p
}
