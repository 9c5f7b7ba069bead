package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	labelControlPlane = "node-role.kubernetes.io/control-plane"
	labelMaster       = "node-role.kubernetes.io/master" // until 1.24
	annotationSocket  = "kubeadm.alpha.kubernetes.io/cri-socket"
	annotationMirror  = "kubernetes.io/config.mirror"
	// annotationEndpoint is kubeadm's on API servers: address:port.
	annotationEndpoint = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
	labelComponent     = "component"
)

// Node observes one node with its static pods.
func (c *Client) Node(ctx context.Context, name string) (cluster.Node, error) {
	found, err := c.clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return cluster.Node{}, fmt.Errorf("node %s: %w", name, err)
	}
	n := nodeFacts(found)
	if n.Role != cluster.ControlPlane {
		return n, nil
	}
	pods, err := c.staticPods(ctx, "spec.nodeName="+name)
	if err != nil {
		return cluster.Node{}, fmt.Errorf("static pods of node %s: %w", name, err)
	}
	n.StaticPods = pods[name]
	return n, nil
}

// nodes lists every node with its static pods, control planes first.
func (c *Client) nodes(ctx context.Context) ([]cluster.Node, error) {
	out, err := all(ctx, metav1.ListOptions{}, c.lean.Nodes().List, func(l *corev1.NodeList) []cluster.Node {
		facts := make([]cluster.Node, len(l.Items))
		for i := range l.Items {
			facts[i] = nodeFacts(&l.Items[i])
		}
		return facts
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	pods, err := c.staticPods(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list static pods: %w", err)
	}
	for i := range out {
		out[i].StaticPods = pods[out[i].Name]
	}
	slices.SortFunc(out, func(a, b cluster.Node) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name)) // "control-plane" sorts before "worker"
	})
	return out, nil
}

// Cordon keeps new pods off the node. It may be repeated.
func (c *Client) Cordon(ctx context.Context, node string) error {
	return c.setUnschedulable(ctx, node, true)
}

// Uncordon lets new pods onto the node. It may be repeated.
func (c *Client) Uncordon(ctx context.Context, node string) error {
	return c.setUnschedulable(ctx, node, false)
}

func (c *Client) setUnschedulable(ctx context.Context, node string, value bool) error {
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, value)
	if _, err := c.clientset.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("set unschedulable=%t on node %s: %w", value, node, err)
	}
	return nil
}

func nodeFacts(n *corev1.Node) cluster.Node {
	out := cluster.Node{
		Name: n.Name, Role: cluster.Worker, InAPI: true, Cordoned: n.Spec.Unschedulable,
		Kubelet: looseVersion(n.Status.NodeInfo.KubeletVersion), Runtime: n.Status.NodeInfo.ContainerRuntimeVersion,
		OS: n.Status.NodeInfo.OSImage, Kernel: n.Status.NodeInfo.KernelVersion, Arch: n.Status.NodeInfo.Architecture,
		CRISocket: n.Annotations[annotationSocket],
	}
	for _, label := range []string{labelControlPlane, labelMaster} {
		if _, ok := n.Labels[label]; ok {
			out.Role = cluster.ControlPlane
		}
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && out.Address == "" {
			out.Address = a.Address
		}
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			out.Ready = condition.Status == corev1.ConditionTrue
		}
	}
	return out
}

// staticPods are the mirror pods of kubeadm's components, by node.
func (c *Client) staticPods(ctx context.Context, fieldSelector string) (map[string][]cluster.StaticPod, error) {
	pods, err := all(ctx, metav1.ListOptions{LabelSelector: labelComponent, FieldSelector: fieldSelector},
		c.lean.Pods(metav1.NamespaceSystem).List, func(l *corev1.PodList) []corev1.Pod { return l.Items })
	if err != nil {
		return nil, err
	}
	out := map[string][]cluster.StaticPod{}
	for i := range pods {
		p := &pods[i]
		if _, mirror := p.Annotations[annotationMirror]; !mirror || len(p.Spec.Containers) == 0 {
			continue
		}
		image := p.Spec.Containers[0].Image
		out[p.Spec.NodeName] = append(out[p.Spec.NodeName], cluster.StaticPod{
			Component: p.Labels[labelComponent], Version: imageVersion(image), Image: image, Ready: podReady(p),
			Endpoint: p.Annotations[annotationEndpoint],
		})
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b cluster.StaticPod) int { return cmp.Compare(a.Component, b.Component) })
	}
	return out, nil
}

// imageVersion reads the version from an image's tag: v1.34.4 from
// registry.k8s.io/kube-apiserver:v1.34.4, v3.5.24 from …/etcd:3.5.24-0. The
// zero version when there is none.
func imageVersion(image string) cluster.Version {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndex(image, "/")+1:]
	_, tag, _ := strings.Cut(image, ":")
	return looseVersion(tag)
}

// looseVersion reads a version and drops what a vendor added to it.
func looseVersion(s string) cluster.Version {
	if i := strings.IndexAny(s, "-_+"); i >= 0 {
		s = s[:i]
	}
	v, err := cluster.ParseVersion(s)
	if err != nil {
		return cluster.Version{}
	}
	return v
}
