package controllers

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
)

// hashOf names a template as the real controllers name theirs, if not with the
// same name.
func hashOf(t *corev1.PodTemplateSpec) string {
	raw, _ := json.Marshal(t) //nolint:errcheck // a pod template is always JSON
	h := fnv.New32a()
	_, _ = h.Write(raw) // never fails
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// fromTemplate is a new pod of a controller, without a name.
func fromTemplate(t *corev1.PodTemplateSpec, owner metav1.Object, kind schema.GroupVersionKind) *corev1.Pod {
	t = t.DeepCopy()
	p := &corev1.Pod{Spec: t.Spec}
	p.Namespace, p.Labels, p.Annotations, p.Finalizers = owner.GetNamespace(), t.Labels, t.Annotations, t.Finalizers
	p.GenerateName = owner.GetName() + "-"
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)}
	return p
}

var (
	kindDeployment  = appsv1.SchemeGroupVersion.WithKind("Deployment")
	kindReplicaSet  = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
	kindStatefulSet = appsv1.SchemeGroupVersion.WithKind("StatefulSet")
	kindDaemonSet   = appsv1.SchemeGroupVersion.WithKind("DaemonSet")
)

// sameTemplate compares two templates but for the label that a controller adds.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	x, y := *a, *b
	for _, t := range []*corev1.PodTemplateSpec{&x, &y} {
		if _, there := t.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; there {
			t.Labels = maps.Clone(t.Labels)
			delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		}
	}
	return equality.Semantic.DeepEqual(&x, &y)
}

// with adds a label to a copy of the labels.
func with(labels map[string]string, key, value string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[key] = value
	return out
}
