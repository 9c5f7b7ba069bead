package apiserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/roundtrip"
	"github.com/kup-project/kup/pkg/cluster"
)

var (
	driversResource     = storagev1.SchemeGroupVersion.WithResource("csidrivers")
	deploymentsResource = appsv1.SchemeGroupVersion.WithResource("deployments")
	definitionsResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// Kup reads the schemas of both releases and finds the one object that the older
// would not keep as it is.
func TestKupFindsWhatTheOlderReleaseDrops(t *testing.T) {
	l := start(t)
	client := connect(t, l)
	must[*unstructured.Unstructured](t)(l.store.Create(definitionsResource, &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "things.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Cluster", "names": map[string]any{"plural": "things", "kind": "Thing"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true}},
		},
	}}))
	before := must[cluster.API](t)(client.API(t.Context()))
	if err := l.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.server.Start(t.Context(), "v1.35.4"); err != nil {
		t.Fatal(err)
	}
	now := must[cluster.API](t)(client.API(t.Context()))
	if before.Version.String() != "v1.34.4" || now.Version.String() != "v1.35.4" || len(now.Documents["api/v1"]) == 0 {
		t.Fatalf("%s, %s, %d documents", before.Version, now.Version, len(now.Documents))
	}
	yes := true
	must[*storagev1.CSIDriver](t)(apiserver.Create(l.store, driversResource, &storagev1.CSIDriver{
		ObjectMeta: metav1.ObjectMeta{Name: "vault"}, Spec: storagev1.CSIDriverSpec{ServiceAccountTokenInSecrets: &yes},
	}))
	for i := range 1200 { // more than one page
		must[*corev1.ConfigMap](t)(apiserver.Create(l.store, mapsResource, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("m-%d", i), Labels: map[string]string{"a/b": "c"}}, Data: map[string]string{"k": "v"},
		}))
	}
	check := must[*roundtrip.Check](t)(roundtrip.New(before, now))
	read, lost := map[string]int{}, []string{}
	for _, r := range check.Readings() {
		if r.Why != "" {
			t.Errorf("%s: %s", r.Resource.Called(), r.Why)
		}
		err := client.EachObject(t.Context(), r.Resource, func(o map[string]any) error {
			read[r.Resource.Called()]++
			for _, field := range check.Object(r.Resource, o) {
				lost = append(lost, r.Resource.Called()+" "+field)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"CSIDriver.storage.k8s.io spec.serviceAccountTokenInSecrets"}; !slices.Equal(lost, want) {
		t.Errorf("lost %v, want %v", lost, want)
	}
	if read["ConfigMap"] != 1200 || read["Thing.example.com"] > 0 || slices.ContainsFunc(check.Readings(), func(r roundtrip.Reading) bool { return r.Resource.Kind == "Thing" }) {
		t.Errorf("read %v", read)
	}
}

func TestKupPutsObjectsBack(t *testing.T) {
	l := start(t)
	client := connect(t, l)
	two, four := int32(2), int32(4)
	made := must[*appsv1.Deployment](t)(apiserver.Create(l.store, deploymentsResource, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}},
		Spec:       appsv1.DeploymentSpec{Replicas: &two, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "coredns", Image: "coredns:v1"}}}}},
	}))
	must[*corev1.ConfigMap](t)(apiserver.Create(l.store, mapsResource, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}, Data: map[string]string{"a": "b"}}))
	refs := []string{"Deployment/kube-system/coredns", "ConfigMap/kube-system/kubeadm-config"}
	recorded := map[string][]byte{}
	for _, ref := range refs {
		recorded[ref] = must[json.RawMessage](t)(client.Recorded(t.Context(), ref))
		if stands, err := client.Stands(t.Context(), ref, recorded[ref]); err != nil || !stands {
			t.Errorf("%s does not stand as it was just recorded: %v", ref, err)
		}
	}
	if err := apiserver.Modify(l.store, deploymentsResource, "kube-system", "coredns", func(d *appsv1.Deployment) error {
		d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image = &four, "coredns:v2"
		d.Annotations = map[string]string{"deployment.kubernetes.io/revision": "7", "new": "x"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.client.CoreV1().ConfigMaps("kube-system").Delete(t.Context(), "kubeadm-config", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		if stands, err := client.Stands(t.Context(), ref, recorded[ref]); err != nil || stands {
			t.Errorf("%s stands although it was changed: %v", ref, err)
		}
		for range 2 { // the second time nothing is to be done
			if err := client.PutBack(t.Context(), ref, recorded[ref]); err != nil {
				t.Fatal(err)
			}
		}
		if stands, err := client.Stands(t.Context(), ref, recorded[ref]); err != nil || !stands {
			t.Errorf("%s does not stand after it was put back: %v", ref, err)
		}
	}
	d := must[*appsv1.Deployment](t)(l.client.AppsV1().Deployments("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{}))
	if d.UID != made.UID || d.Spec.Template.Spec.Containers[0].Image != "coredns:v1" || *d.Spec.Replicas != 4 || d.Annotations["new"] != "" || d.Annotations["deployment.kubernetes.io/revision"] != "7" || d.Labels["k8s-app"] != "kube-dns" {
		t.Errorf("%s %+v %+v", d.UID, d.Annotations, d.Spec)
	}
	for _, ref := range []string{"Secret/kube-system/x", "ConfigMap/x"} {
		if _, err := client.Recorded(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "recorded") && !strings.Contains(err.Error(), "named") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if none, err := client.Recorded(t.Context(), "DaemonSet/kube-system/kube-proxy"); none != nil || err != nil {
		t.Errorf("%s, %v", none, err)
	}
}
