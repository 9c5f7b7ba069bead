package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod is a pod as far as a baseline compares it.
type Pod struct {
	Namespace string
	Name      string
	UID       string
	Node      string
	// Owner is the controller, "ReplicaSet/web-5d9"; "Node/cp-1" for static
	// pods; empty for a pod of its own.
	Owner    string
	Restarts int32 // of all its containers
	Ready    bool
	Phase    string // Running, Succeeded, …
}

// Pods lists all pods.
func (c *Client) Pods(ctx context.Context) ([]Pod, error) {
	list, err := c.pods(ctx, metav1.NamespaceAll, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := make([]Pod, 0, len(list))
	for i := range list {
		p := &list[i]
		pod := Pod{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, Ready: podReady(p), Phase: string(p.Status.Phase)}
		if owner := metav1.GetControllerOf(p); owner != nil {
			pod.Owner = owner.Kind + "/" + owner.Name
		}
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, s := range statuses {
				pod.Restarts += s.RestartCount
			}
		}
		out = append(out, pod)
	}
	return out, nil
}

func (c *Client) pods(ctx context.Context, namespace string, o metav1.ListOptions) ([]corev1.Pod, error) {
	return all(ctx, o, c.clientset.CoreV1().Pods(namespace).List, func(l *corev1.PodList) []corev1.Pod { return l.Items })
}

func podReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// CoreDNS gives the pod addresses of the cluster's DNS servers that are ready,
// and the address of their Service.
func (c *Client) CoreDNS(ctx context.Context) (addresses []string, serviceIP string, err error) {
	pods, err := c.pods(ctx, metav1.NamespaceSystem, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return nil, "", fmt.Errorf("list the pods of the cluster's DNS (k8s-app=kube-dns): %w", err)
	}
	for i := range pods {
		if podReady(&pods[i]) && pods[i].Status.PodIP != "" {
			addresses = append(addresses, pods[i].Status.PodIP)
		}
	}
	service, err := c.clientset.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, "kube-dns", metav1.GetOptions{})
	if err != nil {
		return nil, "", fmt.Errorf("service kube-system/kube-dns: %w", err)
	}
	return addresses, service.Spec.ClusterIP, nil
}
