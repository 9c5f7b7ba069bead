package controllers

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// settled is a store with 8 nodes, 20 Deployments of three pods, and as many other
// objects, at which the controllers have nothing left to do.
func settled(t testing.TB) (*apiserver.Store, *controllers) {
	t.Helper()
	c := &controllers{store: apiserver.NewStore()}
	made := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n-%d", i)}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err := apiserver.Create(c.store, nodes, n)
		made(err)
	}
	for i := range 20 {
		labels := map[string]string{"app": fmt.Sprintf("a-%d", i)}
		meta := metav1.ObjectMeta{Namespace: "default", Name: labels["app"]}
		_, err := apiserver.Create(c.store, deployments, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i:1"}}}},
		}})
		made(err)
		_, err = apiserver.Create(c.store, services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}}})
		made(err)
	}
	for range 10 {
		made(c.pass())
	}
	return c.store, c
}

// A pass over a cluster in which nothing is to be done writes nothing: otherwise
// the controllers would wake themselves for ever.
func TestPassOfASettledClusterWritesNothing(t *testing.T) {
	store, c := settled(t)
	before := store.Revision()
	if err := c.pass(); err != nil {
		t.Fatal(err)
	}
	if after := store.Revision(); after != before {
		t.Errorf("%d changes", after-before)
	}
}

func BenchmarkPass(b *testing.B) {
	_, c := settled(b)
	for b.Loop() {
		if err := c.pass(); err != nil {
			b.Fatal(err)
		}
	}
}
