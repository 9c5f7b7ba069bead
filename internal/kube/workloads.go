package kube

import (
	"context"
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Workloads lists DaemonSets, Deployments and StatefulSets.
func (c *Client) Workloads(ctx context.Context) ([]cluster.Workload, error) {
	list, _, err := c.workloads(ctx)
	return list, err
}

// workload is one, with the add-on of kubeadm's that it is, if any.
type workload struct {
	cluster.Workload
	addon []cluster.Addon
}

// workloads also recognises kubeadm's add-ons among them. Of each page nothing else is
// kept.
func (c *Client) workloads(ctx context.Context) ([]cluster.Workload, []cluster.Addon, error) {
	apps := c.clientset.AppsV1()
	daemons, err := all(ctx, metav1.ListOptions{}, apps.DaemonSets(metav1.NamespaceAll).List, func(l *appsv1.DaemonSetList) (out []workload) {
		for i := range l.Items {
			d := &l.Items[i]
			w := cluster.Workload{Kind: "DaemonSet", Namespace: d.Namespace, Name: d.Name, Desired: d.Status.DesiredNumberScheduled, Ready: d.Status.NumberReady, RollingOut: daemonRollingOut(d)}
			out = append(out, workload{w, addon(w, "kube-proxy", &d.Spec.Template)})
		}
		return out
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list DaemonSets: %w", err)
	}
	deployments, err := all(ctx, metav1.ListOptions{}, apps.Deployments(metav1.NamespaceAll).List, func(l *appsv1.DeploymentList) (out []workload) {
		for i := range l.Items {
			d := &l.Items[i]
			w := cluster.Workload{Kind: "Deployment", Namespace: d.Namespace, Name: d.Name, Desired: replicas(d.Spec.Replicas), Ready: d.Status.ReadyReplicas, RollingOut: deploymentRollingOut(d)}
			out = append(out, workload{w, addon(w, "coredns", &d.Spec.Template)})
		}
		return out
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list Deployments: %w", err)
	}
	sets, err := all(ctx, metav1.ListOptions{}, apps.StatefulSets(metav1.NamespaceAll).List, func(l *appsv1.StatefulSetList) (out []workload) {
		for i := range l.Items {
			s := &l.Items[i]
			out = append(out, workload{Workload: cluster.Workload{Kind: "StatefulSet", Namespace: s.Namespace, Name: s.Name, Desired: replicas(s.Spec.Replicas), Ready: s.Status.ReadyReplicas}})
		}
		return out
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	var out []cluster.Workload
	var addons []cluster.Addon
	for _, w := range slices.Concat(daemons, deployments, sets) {
		out, addons = append(out, w.Workload), append(addons, w.addon...)
	}
	return out, addons, nil
}

// daemonRollingOut leaves out DaemonSets whose pods are only replaced when someone
// deletes them.
// Source: https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
func daemonRollingOut(d *appsv1.DaemonSet) bool {
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		return false
	}
	return d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled
}

// deploymentRollingOut leaves out paused ones: their owner wants the old pods kept.
// Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#complete-deployment
func deploymentRollingOut(d *appsv1.Deployment) bool {
	if d.Spec.Paused {
		return false
	}
	return d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < replicas(d.Spec.Replicas) || d.Status.Replicas > d.Status.UpdatedReplicas
}

// addon gives the workload as an add-on when it is the one of that name.
func addon(w cluster.Workload, name string, template *corev1.PodTemplateSpec) []cluster.Addon {
	if w.Namespace != metav1.NamespaceSystem || w.Name != name || len(template.Spec.Containers) == 0 {
		return nil
	}
	return []cluster.Addon{{Name: name, Image: template.Spec.Containers[0].Image, Ready: w.Ready >= w.Desired && !w.RollingOut}}
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
