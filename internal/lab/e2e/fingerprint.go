package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fingerprints are the state of everything kup could touch: each node's own and
// the API's nodes, kubeadm objects and add-ons.
func (e *env) fingerprints(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, n := range e.lab.Nodes() {
		f, err := e.fingerprint(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("fingerprint of %s: %w", n.Name, err)
		}
		out["node "+n.Name] = f
	}
	nodes, err := e.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Items {
		// These taints are the node lifecycle controller's, which sets them one
		// after the other once a node is not ready.
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return strings.HasPrefix(t.Key, "node.kubernetes.io/")
		})
		raw, err := json.Marshal(map[string]any{"spec": n.Spec, "labels": n.Labels, "annotations": n.Annotations})
		if err != nil {
			return nil, err
		}
		out["API: node "+n.Name] = string(raw)
	}
	maps, err := e.client.CoreV1().ConfigMaps(systemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, m := range maps.Items {
		out["API: ConfigMap "+m.Name] = m.ResourceVersion
	}
	daemonSets, err := e.client.AppsV1().DaemonSets(systemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, d := range daemonSets.Items {
		out["API: DaemonSet "+d.Name] = fmt.Sprint(d.Generation)
	}
	deployments, err := e.client.AppsV1().Deployments(systemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, d := range deployments.Items {
		out["API: Deployment "+d.Name] = fmt.Sprint(d.Generation)
	}
	return out, nil
}

// changed names what differs, with the first line that does.
func changed(before, after map[string]string) []string {
	var out []string
	for _, name := range sortedNames(before) {
		if after[name] != before[name] {
			out = append(out, name+": "+firstChange(before[name], after[name]))
		}
	}
	for _, name := range sortedNames(after) {
		if _, ok := before[name]; !ok {
			out = append(out, name+": new")
		}
	}
	return out
}

func firstChange(before, after string) string {
	old := strings.Split(before, "\n")
	for line := range strings.SplitSeq(after, "\n") {
		if !slices.Contains(old, line) {
			return "now " + line
		}
	}
	return "lines are missing"
}
