package apiserver

import (
	"encoding/base64"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// prepare reads an object into its Go type, which refuses what has the wrong type
// and loses what is unknown, and fills in what a real server fills in. The lock is
// held.
func (s *Store) prepare(r *resource, o *unstructured.Unstructured, fresh bool) error {
	if r.GroupVersionResource == definitionsResource {
		establish(o)
		return nil
	}
	typed := r.empty()
	if typed == nil {
		return nil
	}
	if r.Resource == "secrets" {
		revealStrings(o)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", r.kind, r.Version, r.kind, err))
	}
	if service, ok := typed.(*corev1.Service); ok {
		s.serviceDefaults(service)
	}
	fillIn(typed, fresh)
	u, err := untyped(typed, r.gvk())
	if err != nil {
		return err
	}
	o.Object = u.Object
	return nil
}

// revealStrings moves a secret's stringData where it belongs. Texts that are
// moved are lost by nobody but those who gave them.
func revealStrings(o *unstructured.Unstructured) {
	texts, _, _ := unstructured.NestedStringMap(o.Object, "stringData") //nolint:errcheck // reading the secret refuses it
	if len(texts) == 0 {
		return
	}
	data, _, _ := unstructured.NestedMap(o.Object, "data") //nolint:errcheck // as above
	if data == nil {
		data = map[string]any{}
	}
	for name, text := range texts {
		data[name] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	o.Object["data"] = maps.Clone(data)
	delete(o.Object, "stringData")
}

// fillIn has the defaults of those kinds that somebody looks at.
func fillIn(typed runtime.Object, fresh bool) {
	switch o := typed.(type) {
	case *corev1.Pod:
		podDefaults(&o.Spec)
		if fresh {
			newPod(o)
		}
	case *corev1.Namespace:
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[corev1.LabelMetadataName] = o.Name
		if fresh {
			o.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
			o.Status.Phase = corev1.NamespaceActive
		}
	case *corev1.Secret:
		setDefault(&o.Type, corev1.SecretTypeOpaque)
	case *appsv1.Deployment:
		deploymentDefaults(o)
	case *appsv1.ReplicaSet:
		setPointer(&o.Spec.Replicas, 1)
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		statefulSetDefaults(o)
	case *appsv1.DaemonSet:
		daemonSetDefaults(o)
	case *batchv1.Job:
		podDefaults(&o.Spec.Template.Spec)
		setPointer(&o.Spec.Parallelism, 1)
		setPointer(&o.Spec.Completions, 1)
		setPointer(&o.Spec.BackoffLimit, 6)
	case *batchv1.CronJob:
		podDefaults(&o.Spec.JobTemplate.Spec.Template.Spec)
		setDefault(&o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		setPointer(&o.Spec.Suspend, false)
		setPointer(&o.Spec.SuccessfulJobsHistoryLimit, 3)
		setPointer(&o.Spec.FailedJobsHistoryLimit, 1)
	default:
		webhookDefaults(typed)
	}
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
