package e2e

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	lookEvery   = 500 * time.Millisecond
	lookTimeout = 3 * time.Second
)

// watcher looks at nodes and pods twice a second and keeps both books. It polls:
// a watch that hangs on a stopped API server would learn of a drain too late.
type watcher struct {
	client kubernetes.Interface
	drains *drains
	pods   *pods
	away   *away
	// addresses of the nodes, by name; they do not change in a lab.
	addresses map[string]string
	// blind is the longest time between two looks that succeeded.
	blind time.Duration
}

func newWatcher(ctx context.Context, client kubernetes.Interface) (*watcher, error) {
	w := &watcher{client: client, drains: newDrains(), pods: newPods(), away: &away{}, addresses: map[string]string{}}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				w.addresses[n.Name] = a.Address
			}
		}
	}
	return w, w.look(ctx)
}

// run looks until ctx is done, then once more.
func (w *watcher) run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			final, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
			defer cancel()
			return w.look(final)
		case <-tick.C:
		}
		if w.look(ctx) == nil {
			w.blind = max(w.blind, time.Since(last))
			last = time.Now()
		}
	}
}

func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	// What is listed is at least as new as the moment before the request.
	at := time.Now()
	nodes, err := w.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	out := make(map[string]bool, len(nodes.Items))
	for _, n := range nodes.Items {
		out[n.Name] = n.Spec.Unschedulable
	}
	w.drains.observe(at, out)
	list, err := w.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	w.pods.observe(time.Now(), list.Items)
	return nil
}

// targets are host:port of a node port on every node that may be scheduled to and
// was not taken away by the scenario.
func (w *watcher) targets(port int) []string {
	var out []string
	for _, name := range w.drains.schedulable() {
		if !w.away.has(name) {
			out = append(out, fmt.Sprintf("%s:%d", w.addresses[name], port))
		}
	}
	return out
}
