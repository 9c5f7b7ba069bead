package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/pkg/cluster"
)

// Standing gives what a plan must still be true of before it goes on: identity,
// nodes with their versions, kubeadm's configuration. It is Observe without all
// that may change freely, cheap enough to ask again and again.
func (c *Client) Standing(ctx context.Context) (cluster.Facts, error) {
	f := cluster.Facts{Identity: c.identity}
	namespace, err := c.clientset.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return f, fmt.Errorf("ask the cluster who it is: %w", err)
	}
	f.Identity.UID = string(namespace.UID)
	if f.Nodes, err = c.nodes(ctx); err != nil {
		return f, err
	}
	f.Kubeadm, _, err = c.kubeadm(ctx)
	return f, err
}
