package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// That somebody else wrote in between is no answer to whether an object stands, and no
// reason to stop a rollback that goes on.
func TestStandsInSpiteOfOtherWriters(t *testing.T) {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Data: map[string]string{"Corefile": "."}}
	set := dynamicfake.NewSimpleDynamicClient(scheme.Scheme, config)
	c := &Client{dynamic: set}
	recorded, err := c.Recorded(t.Context(), "ConfigMap/kube-system/coredns")
	if err != nil || recorded == nil {
		t.Fatalf("%s, %v", recorded, err)
	}
	asked := 0
	set.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		asked++
		return asked == 1, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "coredns", nil)
	})
	if stands, err := c.Stands(t.Context(), "ConfigMap/kube-system/coredns", recorded); err != nil || !stands || asked != 2 {
		t.Errorf("stands: %t, %v, asked %d times", stands, err, asked)
	}
	if stands, err := c.Stands(t.Context(), "ConfigMap/kube-system/absent", recorded); err != nil || stands {
		t.Errorf("one that is gone: %t, %v", stands, err)
	}
}
