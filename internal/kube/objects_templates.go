package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The labels and taints of control planes are named alike.
const (
	oldControlPlane = "node-role.kubernetes.io/master"
	newControlPlane = "node-role.kubernetes.io/control-plane"
)

// templates reads DaemonSets, Deployments, StatefulSets and CronJobs. A list that
// fails does not keep the others from being read.
func (r *objectReader) templates(ctx context.Context) error {
	apps := r.client.clientset.AppsV1()
	_, daemons := collect(ctx, r, metav1.ListOptions{}, apps.DaemonSets(metav1.NamespaceAll).List, func(l *appsv1.DaemonSetList) []struct{} {
		for i := range l.Items {
			d := &l.Items[i]
			r.template("DaemonSet", &d.ObjectMeta, d.Status.DesiredNumberScheduled, &d.Spec.Template.Spec)
		}
		return nil
	})
	_, deployments := collect(ctx, r, metav1.ListOptions{}, apps.Deployments(metav1.NamespaceAll).List, func(l *appsv1.DeploymentList) []struct{} {
		for i := range l.Items {
			d := &l.Items[i]
			r.template("Deployment", &d.ObjectMeta, replicas(d.Spec.Replicas), &d.Spec.Template.Spec)
		}
		return nil
	})
	_, sets := collect(ctx, r, metav1.ListOptions{}, apps.StatefulSets(metav1.NamespaceAll).List, func(l *appsv1.StatefulSetList) []struct{} {
		for i := range l.Items {
			s := &l.Items[i]
			r.template("StatefulSet", &s.ObjectMeta, replicas(s.Spec.Replicas), &s.Spec.Template.Spec)
		}
		return nil
	})
	return errors.Join(named("DaemonSets", daemons), named("Deployments", deployments), named("StatefulSets", sets), r.cronJobs(ctx))
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("list %s: %w", what, err)
}

// cronJobs asks for batch/v1 and, of servers before 1.21, for batch/v1beta1: what
// is needed of them has the same form.
func (r *objectReader) cronJobs(ctx context.Context) error {
	var err error
	for _, version := range []string{"v1", "v1beta1"} {
		resource := r.client.dynamic.Resource(schema.GroupVersionResource{Group: "batch", Version: version, Resource: "cronjobs"})
		_, err = collect(ctx, r, metav1.ListOptions{}, resource.List, func(l *unstructured.UnstructuredList) []struct{} {
			for i := range l.Items {
				var job batchv1.CronJob
				if runtime.DefaultUnstructuredConverter.FromUnstructured(l.Items[i].Object, &job) == nil {
					r.template("CronJob", &job.ObjectMeta, 0, &job.Spec.JobTemplate.Spec.Template.Spec)
				}
			}
			return nil
		})
		if !apierrors.IsNotFound(err) {
			break
		}
	}
	return named("CronJobs", err)
}

// template keeps one workload's template, and what its record says of versions.
func (r *objectReader) template(kind string, meta *metav1.ObjectMeta, desired int32, pod *corev1.PodSpec) {
	t := cluster.Template{
		Kind: kind, Namespace: meta.Namespace, Name: meta.Name, Desired: desired,
		NeedsMaster: needsMaster(pod), ToleratesOnlyMaster: tolerates(pod, oldControlPlane) && !tolerates(pod, newControlPlane),
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if !slices.Contains(t.Images, c.Image) {
			t.Images = append(t.Images, c.Image)
		}
	}
	r.keep(func(o *cluster.Objects) {
		o.Templates = append(o.Templates, t)
		o.Written = append(o.Written, records(kind, meta)...)
	})
}

// needsMaster tells whether the pods only run where the old label is: by their
// nodeSelector, or in every term of their required affinity, of which one is
// enough.
func needsMaster(pod *corev1.PodSpec) bool {
	if _, selected := pod.NodeSelector[oldControlPlane]; selected {
		return true
	}
	if pod.Affinity == nil || pod.Affinity.NodeAffinity == nil || pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool { return !requires(term, oldControlPlane) })
}

func requires(term corev1.NodeSelectorTerm, label string) bool {
	return slices.ContainsFunc(term.MatchExpressions, func(e corev1.NodeSelectorRequirement) bool {
		return e.Key == label && (e.Operator == corev1.NodeSelectorOpExists || e.Operator == corev1.NodeSelectorOpIn)
	})
}

// tolerates tells whether the pods may be scheduled in spite of a taint NoSchedule
// of that key, which has no value.
func tolerates(pod *corev1.PodSpec, key string) bool {
	return slices.ContainsFunc(pod.Tolerations, func(t corev1.Toleration) bool {
		if t.Effect != "" && t.Effect != corev1.TaintEffectNoSchedule {
			return false
		}
		if t.Key == "" {
			return t.Operator == corev1.TolerationOpExists
		}
		return t.Key == key && (t.Operator == corev1.TolerationOpExists || t.Value == "")
	})
}
