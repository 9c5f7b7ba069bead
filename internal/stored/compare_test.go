package stored

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func pod(t *testing.T, name, uid, node string, change ...func(*corev1.Pod)) (string, []byte) {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid), Annotations: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, c := range change {
		c(p)
	}
	return "/registry/pods/" + p.Namespace + "/" + name, inProtobuf(t, corev1.SchemeGroupVersion, p)
}

func configMap(t *testing.T, name, value, manager string) (string, []byte) {
	t.Helper()
	return "/registry/configmaps/shop/" + name, inProtobuf(t, corev1.SchemeGroupVersion, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: manager}}},
		Data:       map[string]string{"key": value},
	})
}

func claim(t *testing.T, name, volume string) (string, []byte) {
	t.Helper()
	return "/registry/persistentvolumeclaims/shop/" + name, inProtobuf(t, corev1.SchemeGroupVersion, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volume},
	})
}

// listed gives a difference as text.
func listed(d Difference) string {
	var b strings.Builder
	for _, list := range [][]Differs{d.Objects, d.Pods, d.Volumes} {
		for _, x := range list {
			fmt.Fprintf(&b, "%s %s %s/%s %s %s\n", x.Change, x.Resource, x.Namespace, x.Name, x.Node, x.Detail)
		}
	}
	resources := make([]string, 0, len(d.Rewritten))
	for r := range d.Rewritten {
		resources = append(resources, r)
	}
	slices.Sort(resources)
	for _, r := range resources {
		fmt.Fprintf(&b, "rewritten %s %+v\n", r, d.Rewritten[r])
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	s := newStore(t)
	over := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	static := func(p *corev1.Pod) { p.Annotations[mirrorAnnotation] = "hash" }
	ready := func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.9" }
	anywhere := func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }

	s.put(configMap(t, "same", "v", "m"))
	s.put(configMap(t, "rewritten-alike", "v", "m"))
	s.put(configMap(t, "changed", "v", "m"))
	s.put(configMap(t, "gone", "v", "m"))
	s.put(configMap(t, "again", "v", "m"))
	s.put("/registry/shop.example/widgets/shop/status", []byte(`{"apiVersion":"shop.example/v1","kind":"Widget","spec":{"a":1},"status":{"x":1}}`))
	s.put("/registry/secrets/shop/sealed", []byte("k8s:enc:aescbc:v1:key1:one"))
	s.put(pod(t, "stays", "u-stays", "w-1"))
	s.put(pod(t, "set-0", "u-old", "w-1"))
	s.put(pod(t, "web-1", "u-web-1", "w-1"))
	s.put(pod(t, "waiting", "u-waiting", "", anywhere))
	s.put(pod(t, "job", "u-job", "w-2"))
	s.put(pod(t, "finished", "u-finished", "w-2", over))
	s.put(pod(t, "etcd-cp-1", "u-static", "cp-1", static))
	s.put(claim(t, "kept", "pv-1"))
	s.put(claim(t, "dropped", "pv-2"))
	s.put(claim(t, "bound-later", ""))
	s.put("/registry/leases/kube-system/kup", []byte(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease"}`))
	earlier := s.snapshot()

	s.put(configMap(t, "rewritten-alike", "v", "another"))
	s.put(configMap(t, "changed", "w", "m"))
	s.drop("/registry/configmaps/shop/gone")
	s.drop("/registry/configmaps/shop/again")
	s.put(configMap(t, "again", "v", "m"))
	s.put(configMap(t, "new", "v", "m"))
	s.put("/registry/shop.example/widgets/shop/status", []byte(`{"apiVersion":"shop.example/v1","kind":"Widget","spec":{"a":1},"status":{"x":2}}`))
	s.put("/registry/secrets/shop/sealed", []byte("k8s:enc:aescbc:v1:key1:two"))
	s.put(pod(t, "stays", "u-stays", "w-1", ready))
	s.drop("/registry/pods/shop/set-0")
	s.put(pod(t, "set-0", "u-new", "w-2"))
	s.drop("/registry/pods/shop/web-1")
	s.put(pod(t, "web-2", "u-web-2", "w-2"))
	s.put(pod(t, "waiting", "u-waiting", "w-2"))
	s.put(pod(t, "job", "u-job", "w-2", over))
	s.drop("/registry/pods/shop/finished")
	s.drop("/registry/persistentvolumeclaims/shop/dropped")
	s.put(claim(t, "bound-later", "pv-3"))
	s.put("/registry/leases/kube-system/kup", []byte(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","spec":{}}`))
	s.put("/registry/leases/kube-node-lease/w-1", inProtobuf(t, coordinationv1.SchemeGroupVersion, &coordinationv1.Lease{}))
	s.put("/registry/events/shop/a", inProtobuf(t, corev1.SchemeGroupVersion, &corev1.Event{}))
	later := s.snapshot()

	d, err := Compare(t.Context(), earlier, later, "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/compare.txt", listed(d))
	if d.Live <= d.Revision {
		t.Errorf("revisions %d and %d", d.Revision, d.Live)
	}
	s.compact() // forgets the tombstones
	if again, err := Compare(t.Context(), earlier, s.snapshot(), ""); err != nil || listed(again) != listed(d) {
		t.Errorf("after a compaction: %v\n%s", err, listed(again))
	}
	same, err := Compare(t.Context(), later, later, "")
	if err != nil || listed(same) != "" {
		t.Errorf("the same copy differs from itself: %v\n%s", err, listed(same))
	}
	older := new(OlderError)
	if _, err := Compare(t.Context(), later, earlier, ""); !errors.As(err, &older) || older.Live >= older.Revision || !strings.Contains(err.Error(), "not the store") {
		t.Errorf("a later copy taken for the earlier one: %v", err)
	}
}

func TestPodsOfACopy(t *testing.T) {
	s := newStore(t)
	owned := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "Custom"}, {Kind: "StatefulSet", Controller: new(true)}}
		p.DeletionTimestamp = &metav1.Time{}
	}
	s.put(pod(t, "set-0", "u-1", "w-1", owned))
	s.put("/registry/pods/shop/json", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"uid":"u-2","ownerReferences":[{"kind":"Job","controller":true}],"annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"nodeName":"w-2"},"status":{"phase":"Failed"}}`))
	s.put("/registry/pods/shop/cbor", inCBOR(t, map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"uid": "u-3"}, "spec": map[string]any{"nodeName": "w-3"}}))
	var b strings.Builder
	see := func(o Object) error {
		if o.Pod == nil {
			fmt.Fprintf(&b, "%s/%s sealed %t\n", o.Namespace, o.Name, o.Sealed)
			return nil
		}
		fmt.Fprintf(&b, "%s/%s %+v\n", o.Namespace, o.Name, *o.Pod)
		return nil
	}
	s.put("/registry/pods/shop/sealed", []byte("k8s:enc:aescbc:v1:key1:x"))
	if _, err := Objects(t.Context(), s.snapshot(), "", see); err != nil {
		t.Fatal(err)
	}
	const want = `shop/sealed sealed true
shop/cbor {UID:u-3 Node:w-3 Phase: Static:false Leaving:false Owner:}
shop/json {UID:u-2 Node:w-2 Phase:Failed Static:true Leaving:false Owner:Job}
shop/set-0 {UID:u-1 Node:w-1 Phase:Running Static:false Leaving:true Owner:StatefulSet}
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
