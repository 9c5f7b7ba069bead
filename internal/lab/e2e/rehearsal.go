package e2e

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/drain"

	"github.com/kup-project/kup/internal/lab/node"
)

const (
	quiet        = 10 * time.Second
	drainTimeout = 3 * time.Minute
)

// runRehearsal is the harness without kup. A failure of its first half says that
// lab or harness, not kup, loses requests; one of its second half says that the
// zeros of the other scenarios prove nothing.
func runRehearsal(ctx context.Context, e *env) error {
	if err := e.deploy(ctx, "not-a-secret", "not-a-canary"); err != nil {
		return err
	}
	if err := e.settled(ctx, settleTimeout); err != nil {
		return err
	}
	if err := e.politely(ctx); err != nil {
		return err
	}
	return e.sabotage(ctx)
}

// politely drains every worker the way an upgrade does and restarts its
// kubelet; all instruments must read zero.
func (e *env) politely(ctx context.Context) error {
	objects, err := takeSnapshot(ctx, e.client.Discovery(), e.dynamic, nil)
	if err != nil {
		return err
	}
	t, err := e.startTraffic(ctx)
	if err != nil {
		return err
	}
	wait(ctx, quiet)
	var doErr error
	for _, n := range e.lab.Nodes() {
		if doErr == nil && n.Role == node.RoleWorker {
			doErr = e.drainByHand(ctx, n)
		}
	}
	if doErr == nil {
		doErr = e.settled(ctx, settleTimeout)
	}
	wait(ctx, quiet)
	m, err := t.end(ctx, e)
	if err != nil {
		return err
	}
	if doErr != nil {
		return doErr
	}
	h := &hop{env: e, objects: objects}
	if err := h.judgeObjects(ctx); err != nil {
		return err
	}
	e.judgeTraffic(m, false)
	return nil
}

// drainByHand cordons, drains, restarts the kubelet, uncordons.
func (e *env) drainByHand(ctx context.Context, n node.Node) error {
	began := time.Now()
	d := &drain.Helper{
		Ctx: ctx, Client: e.client, GracePeriodSeconds: -1, Timeout: drainTimeout,
		IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, Out: io.Discard, ErrOut: io.Discard,
	}
	live, err := e.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := drain.RunCordonOrUncordon(d, live, true); err != nil {
		return fmt.Errorf("cordon %s: %w", n.Name, err)
	}
	if err := drain.RunNodeDrain(d, n.Name); err != nil {
		return fmt.Errorf("drain %s: %w", n.Name, err)
	}
	e.printf("%s drained in %s", n.Name, seconds(time.Since(began)))
	if _, err := e.lab.Exec(ctx, n.Name, "systemctl", "restart", "kubelet"); err != nil {
		return err
	}
	wait(ctx, quiet)
	err = poll(ctx, time.Second, func(ctx context.Context) error {
		var err error
		if live, err = e.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !nodeReady(live) {
			return fmt.Errorf("node %s is not Ready", n.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return uncordon(d, live)
}

func uncordon(d *drain.Helper, n *corev1.Node) error {
	if err := drain.RunCordonOrUncordon(d, n, false); err != nil {
		return fmt.Errorf("uncordon %s: %w", n.Name, err)
	}
	return nil
}
