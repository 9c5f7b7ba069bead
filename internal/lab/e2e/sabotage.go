package e2e

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/internal/lab/workload"
)

// frozen is for how long the API server is stopped: longer than a request and
// its second try may take.
const frozen = 14 * time.Second

// sabotage breaks, one after the other, everything the instruments watch, and
// asserts that each of them noticed.
func (e *env) sabotage(ctx context.Context) error {
	objects, err := takeSnapshot(ctx, e.client.Discovery(), e.dynamic, nil)
	if err != nil {
		return err
	}
	t, err := e.startTraffic(ctx)
	if err != nil {
		return err
	}
	doErr := e.breakThings(ctx)
	m, err := t.end(ctx, e)
	if doErr != nil {
		return fmt.Errorf("sabotage: %w", doErr)
	}
	if err != nil {
		return err
	}
	c, _, err := e.comparedWith(ctx, objects)
	if err != nil {
		return err
	}
	away := outage(m.api.Failures)
	e.printTable("Sabotage, as the instruments saw it", [][]string{
		{"instrument", "reading"},
		{"web requests failed, outside", fmt.Sprint(m.outside.Total().Failed)},
		{"web requests failed, inside", fmt.Sprint(m.inside.Total().Failed)},
		{"API requests failed, second try included", fmt.Sprint(m.api.Total().Failed)},
		{"API outage", seconds(away)},
		{"containers restarted", fmt.Sprint(len(m.pods.Restarts))},
		{"pods moved without a drain", fmt.Sprint(len(m.pods.Unexplained))},
		{"objects changed", fmt.Sprint(c.Objects())},
	})
	e.check(m.outside.Total().Failed > 0, "sabotage: no web request failed outside while there was no web server")
	e.check(m.inside.Total().Failed > 0, "sabotage: no web request failed inside while there was no web server")
	e.check(m.api.Total().Failed > 0, "sabotage: no API request failed while the API server was stopped")
	e.check(away >= frozen/2 && away <= 2*frozen, "sabotage: the API server was stopped for %s, the outage measured is %s", frozen, away)
	e.check(len(m.pods.Restarts) == 1, "sabotage: one container was restarted, seen: %v", m.pods.Restarts)
	e.check(len(m.pods.Unexplained) == 3, "sabotage: three pods were deleted, seen: %v", m.pods.Unexplained)
	want := Key{Resource: "configmaps", Namespace: workload.Namespace, Name: workload.CanaryConfigMap}
	e.check(len(c.Differences) == 1 && c.Differences[0].Key == want && c.Differences[0].Path == "data.currency",
		"sabotage: one field of %s was changed, seen: %v", want, c.Differences)
	return nil
}

func (e *env) breakThings(ctx context.Context) error {
	wait(ctx, quiet)
	e.printf("sabotage: a container is stopped, a ConfigMap edited, all web pods deleted at once")
	if err := e.restartAgent(ctx); err != nil {
		return err
	}
	_, err := e.client.CoreV1().ConfigMaps(workload.Namespace).Patch(ctx, workload.CanaryConfigMap,
		types.MergePatchType, []byte(`{"data":{"currency":"USD"}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	now := int64(0)
	err = e.client.CoreV1().Pods(workload.Namespace).DeleteCollection(ctx,
		metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		return err
	}
	wait(ctx, quiet)
	if err := e.settled(ctx, settleTimeout); err != nil {
		return err
	}
	e.printf("sabotage: the API server is stopped for %s", frozen)
	const script = `kill -STOP "$(pidof kube-apiserver)" && sleep "$1"; kill -CONT "$(pidof kube-apiserver)"`
	if _, err := e.lab.Exec(ctx, e.lab.Nodes()[0].Name, "sh", "-c", script, "sh", fmt.Sprint(frozen.Seconds())); err != nil {
		return err
	}
	wait(ctx, quiet)
	return e.settled(ctx, settleTimeout)
}

// restartAgent stops one container of the agent DaemonSet; its kubelet starts it
// again.
func (e *env) restartAgent(ctx context.Context) error {
	last := e.lab.Nodes()[len(e.lab.Nodes())-1]
	const script = `crictl stop "$(crictl ps -q --state running --name '^agent$' | head -n 1)"`
	_, err := e.lab.Exec(ctx, last.Name, "sh", "-c", script)
	return err
}
