package apiserver_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

func TestPodsEndWithGrace(t *testing.T) {
	l := start(t)
	client := l.client.CoreV1().Pods("default")
	for name, node := range map[string]string{"waiting": "", "running": "w-1", "done": "w-1", "held": ""} {
		p := pod("default", name, node)
		if name == "held" {
			p.Finalizers = []string{"example.com/hold"}
		}
		must[*corev1.Pod](t)(client.Create(t.Context(), p, metav1.CreateOptions{}))
	}
	status := must[*corev1.Pod](t)(client.Get(t.Context(), "done", metav1.GetOptions{}))
	status.Status.Phase = corev1.PodSucceeded
	must[*corev1.Pod](t)(client.UpdateStatus(t.Context(), status, metav1.UpdateOptions{}))
	uid := string(must[*corev1.Pod](t)(client.Get(t.Context(), "running", metav1.GetOptions{})).UID)
	for _, name := range []string{"waiting", "running", "done", "held"} {
		if err := client.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	ending := must[*corev1.Pod](t)(client.Get(t.Context(), "running", metav1.GetOptions{}))
	if ending.DeletionTimestamp == nil || *ending.DeletionGracePeriodSeconds != 30 {
		t.Errorf("%+v", ending.ObjectMeta)
	}
	if err := client.Delete(t.Context(), "running", metav1.DeleteOptions{GracePeriodSeconds: new(int64(60))}); err != nil {
		t.Error(err)
	}
	if p := must[*corev1.Pod](t)(client.Get(t.Context(), "running", metav1.GetOptions{})); p.ResourceVersion != ending.ResourceVersion {
		t.Errorf("grace became longer: %+v", p.ObjectMeta)
	}
	var left []string
	for _, p := range must[*corev1.PodList](t)(client.List(t.Context(), metav1.ListOptions{})).Items {
		left = append(left, p.Name)
	}
	if !slices.Equal(left, []string{"held", "running"}) {
		t.Errorf("%q are left", left)
	}
	if err := l.store.Remove(podsResource, "default", "running", "another"); !apierrors.IsConflict(err) {
		t.Errorf("removed another pod: %v", err)
	}
	if err := l.store.Remove(podsResource, "default", "running", uid); err != nil {
		t.Error(err)
	}
	if err := apiserver.Modify(l.store, podsResource, "default", "held", func(p *corev1.Pod) error { p.Finalizers = nil; return nil }); err != nil {
		t.Error(err)
	}
	if list := must[*corev1.PodList](t)(client.List(t.Context(), metav1.ListOptions{})); len(list.Items) != 0 {
		t.Errorf("%d pods are left", len(list.Items))
	}
}

func TestEviction(t *testing.T) {
	l := start(t)
	budgets := policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	for _, name := range []string{"a", "b"} {
		p := pod("default", name, "w-1")
		p.Labels = map[string]string{"app": "web"}
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		must[*corev1.Pod](t)(apiserver.Create(l.store, podsResource, p))
	}
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	must[*policyv1.PodDisruptionBudget](t)(apiserver.Create(l.store, budgets, b))
	evict := func(name string, dry ...string) error {
		return l.client.PolicyV1().Evictions("default").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, DeleteOptions: &metav1.DeleteOptions{DryRun: dry}})
	}
	refused := func(text string) {
		t.Helper()
		err := evict("a")
		if cause, ok := apierrors.StatusCause(err, policyv1.DisruptionBudgetCause); !apierrors.IsTooManyRequests(err) || !ok || cause.Message != text {
			t.Errorf("%v: %q, want %q", err, cause.Message, text)
		}
	}
	allow := func(allowed, healthy, desired int32) {
		t.Helper()
		if err := apiserver.Modify(l.store, budgets, "default", "web", func(b *policyv1.PodDisruptionBudget) error {
			b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: allowed, CurrentHealthy: healthy, DesiredHealthy: desired}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	refused("The disruption budget web is still being processed by the server.")
	allow(0, 2, 2)
	refused("The disruption budget web needs 2 healthy pods and has 2 currently")
	allow(1, 2, 1)
	if err := evict("a", metav1.DryRunAll); err != nil {
		t.Error(err)
	}
	if p := must[*corev1.Pod](t)(l.client.CoreV1().Pods("default").Get(t.Context(), "a", metav1.GetOptions{})); p.DeletionTimestamp != nil || len(p.Status.Conditions) != 1 {
		t.Errorf("a dry run left its marks: %+v", p)
	}
	if err := evict("a"); err != nil {
		t.Error(err)
	}
	p := must[*corev1.Pod](t)(l.client.CoreV1().Pods("default").Get(t.Context(), "a", metav1.GetOptions{}))
	if p.DeletionTimestamp == nil || len(p.Status.Conditions) != 2 || p.Status.Conditions[1].Reason != "EvictionByEvictionAPI" {
		t.Errorf("%+v", p.Status.Conditions)
	}
	if err := evict("a"); err != nil {
		t.Errorf("one that ends already: %v", err)
	}
	spent := must[*policyv1.PodDisruptionBudget](t)(l.client.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), "web", metav1.GetOptions{}))
	if spent.Status.DisruptionsAllowed != 0 || len(spent.Status.DisruptedPods) != 1 || spent.Generation != 1 {
		t.Errorf("%+v", spent.Status)
	}
	if err := evict("b"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("more than the budget: %v", err)
	}
	if err := evict("none"); !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

func TestMirrorHasEverything(t *testing.T) {
	s := apiserver.NewStore()
	etcd := map[string]string{}
	s.Mirror(func(key string, value []byte) {
		if value == nil {
			delete(etcd, key)
		} else {
			etcd[key] = string(value)
		}
	})
	put(t, s, "a", "1", nil)
	put(t, s, "a", "2", nil)
	put(t, s, "b", "1", nil)
	must[*corev1.Node](t)(apiserver.Create(s, nodesResource, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w-1"}}))
	must[*corev1.Service](t)(apiserver.Create(s, corev1.SchemeGroupVersion.WithResource("services"), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}))
	if err := s.Delete(mapsResource, "default", "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/registry/configmaps/default/a", "/registry/minions/w-1", "/registry/namespaces/default", "/registry/namespaces/kube-node-lease",
		"/registry/namespaces/kube-public", "/registry/namespaces/kube-system", "/registry/services/specs/default/web",
	}
	if got := slices.Sorted(maps.Keys(etcd)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var m corev1.ConfigMap
	if err := json.Unmarshal([]byte(etcd["/registry/configmaps/default/a"]), &m); err != nil || m.Data["n"] != "2" {
		t.Errorf("%+v %v", m, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	s := apiserver.NewStore()
	put(t, s, "a", "1", nil)
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	orders := schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "orders"}
	definition := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "orders.shop.example"}, "spec": map[string]any{
		"group": "shop.example", "scope": "Namespaced", "names": map[string]any{"kind": "Order", "plural": "orders"},
		"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true}},
	}}}
	must[*unstructured.Unstructured](t)(s.Create(definitions, definition))
	order := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": "default", "name": "tea"}, "spec": map[string]any{"amount": float64(3)}}}
	must[*unstructured.Unstructured](t)(s.Create(orders, order))
	raw := must[[]byte](t)(json.Marshal(s))
	loaded := apiserver.NewStore()
	if err := json.Unmarshal(raw, loaded); err != nil {
		t.Fatal(err)
	}
	if again := must[[]byte](t)(json.Marshal(loaded)); string(again) != string(raw) {
		t.Errorf("saved again it differs:\n%s\n%s", raw, again)
	}
	before, after := must[*unstructured.Unstructured](t)(s.Get(orders, "default", "tea")), must[*unstructured.Unstructured](t)(loaded.Get(orders, "default", "tea"))
	if before.GetUID() != after.GetUID() || before.GetResourceVersion() != after.GetResourceVersion() {
		t.Errorf("%v %v", before, after)
	}
	if n, _, err := unstructured.NestedInt64(after.Object, "spec", "amount"); n != 3 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if put(t, loaded, "a", "2", nil) == put(t, s, "a", "1", nil) || loaded.Revision() != s.Revision()+1 {
		t.Errorf("revision %d after %d", loaded.Revision(), s.Revision())
	}
	if err := json.Unmarshal([]byte(`{"objects":[{"apiVersion":"v9","kind":"Thing","metadata":{"name":"x","resourceVersion":"1"}}]}`), loaded); err == nil {
		t.Error("a kind that nobody knows was loaded")
	}
	if _, err := loaded.Get(orders, "default", "tea"); err != nil {
		t.Errorf("what could not be loaded has changed the store: %v", err)
	}
}

// What one may change is not what the store keeps, and what is shared stays as it was.
func TestObjectsAreTheCallers(t *testing.T) {
	s := apiserver.NewStore()
	put(t, s, "a", "1", map[string]string{"x": "y"})
	o := must[*unstructured.Unstructured](t)(s.Get(mapsResource, "default", "a"))
	o.SetLabels(map[string]string{"x": "z"})
	_ = unstructured.SetNestedField(o.Object, "9", "data", "n")
	all := must[[]*unstructured.Unstructured](t)(s.List(mapsResource, "default"))
	if err := s.Modify(mapsResource, "default", "a", func(u *unstructured.Unstructured) error {
		_ = unstructured.SetNestedField(u.Object, "9", "data", "n")
		return fmt.Errorf("no")
	}); err == nil {
		t.Error("the error is lost")
	}
	if err := s.Modify(mapsResource, "default", "a", func(u *unstructured.Unstructured) error {
		_ = unstructured.SetNestedField(u.Object, "9", "data", "n")
		return apiserver.ErrUnchanged
	}); err != nil {
		t.Error(err)
	}
	typed := must[[]*corev1.ConfigMap](t)(apiserver.Typed[corev1.ConfigMap](s, mapsResource, "default"))
	if len(typed) != 1 || typed[0].Data["n"] != "1" || typed[0].Labels["x"] != "y" {
		t.Errorf("%+v", typed)
	}
	if _, err := s.Update(mapsResource, o); err != nil {
		t.Error(err)
	}
	if n, _, _ := unstructured.NestedString(all[0].Object, "data", "n"); n != "1" || all[0].GetLabels()["x"] != "y" {
		t.Errorf("the listing of before has changed: %v", all[0].Object)
	}
	if _, err := s.Update(mapsResource, o); !apierrors.IsConflict(err) {
		t.Errorf("an update of what has changed: %v", err)
	}
}
