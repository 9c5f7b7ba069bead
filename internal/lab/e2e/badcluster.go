package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// applyPlan applies a changed copy of the good plan.
func applyPlan(change func(b *badInput, raw []byte) ([]byte, error)) func(*badInput, string) []string {
	return func(b *badInput, file string) []string {
		raw, err := os.ReadFile(b.plan)
		if err == nil {
			raw, err = change(b, raw)
		}
		path, writeErr := b.write("plan.json", string(raw))
		b.check(errors.Join(err, writeErr) == nil, "change the plan: %v", errors.Join(err, writeErr))
		return []string{"apply", "-f", file, "--plan", path, "--yes"}
	}
}

// resealed changes a plan and makes it look untouched.
func resealed(change func(p *plan.Plan)) func(*badInput, []byte) ([]byte, error) {
	return func(_ *badInput, raw []byte) ([]byte, error) {
		p, err := plan.Decode(raw)
		if err != nil {
			return nil, err
		}
		change(p)
		if err := plan.Seal(p); err != nil {
			return nil, err
		}
		return plan.Encode(p)
	}
}

func replaced(old, with string) func(*badInput, []byte) ([]byte, error) {
	return func(_ *badInput, raw []byte) ([]byte, error) {
		text := strings.Replace(string(raw), old, with, 1)
		if text == string(raw) {
			return nil, fmt.Errorf("the plan does not hold %q", old)
		}
		return []byte(text), nil
	}
}

func planFileCases() []badCase {
	return []badCase{
		{name: "plan file of an unknown format", code: exitUsage, text: "format", args: applyPlan(replaced(`"format": 1`, `"format": 9`))},
		{name: "plan file that is no plan", code: exitUsage, text: "plan", args: applyPlan(func(*badInput, []byte) ([]byte, error) {
			return []byte("apiVersion: v1\nkind: List\n"), nil
		})},
		{name: "plan file changed by hand", code: exitUsage, text: "changed", args: applyPlan(replaced(`"kupVersion": "`, `"kupVersion": "x`))},
		{name: "plan that skips a minor", code: exitUsage, text: "one minor", args: applyPlan(resealed(func(p *plan.Plan) {
			p.Hops[0].To.Minor++
		}))},
		{name: "plan of another cluster", code: exitDrifted, text: "another cluster", args: applyPlan(resealed(func(p *plan.Plan) {
			p.Facts.Identity = cluster.Identity{UID: "00000000-0000-0000-0000-000000000000", CA: p.Facts.Identity.CA, Name: "elsewhere", Endpoint: p.Facts.Identity.Endpoint}
		}))},
		{name: "cluster changed since the plan", code: exitDrifted, text: "kubeadm-config", arrange: func(ctx context.Context, b *badInput) (func(context.Context) error, error) {
			return b.editKubeadmConfig(ctx, func(text string) string {
				return text + "\nfeatureGates:\n  ControlPlaneKubeletLocalMode: true\n"
			})
		}, args: applyPlan(func(_ *badInput, raw []byte) ([]byte, error) { return raw, nil })},
	}
}

const kubeadmConfig = "kubeadm-config"

func (b *badInput) editKubeadmConfig(ctx context.Context, edit func(string) string) (func(context.Context) error, error) {
	maps := b.client.CoreV1().ConfigMaps(systemNamespace)
	m, err := maps.Get(ctx, kubeadmConfig, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	good := m.Data["ClusterConfiguration"]
	set := func(ctx context.Context, text string) error {
		m, err := maps.Get(ctx, kubeadmConfig, metav1.GetOptions{})
		if err != nil {
			return err
		}
		m.Data["ClusterConfiguration"] = text
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
		return err
	}
	return func(ctx context.Context) error { return set(ctx, good) }, set(ctx, edit(good))
}

func clusterCases() []badCase {
	return []badCase{
		{name: "another run holds the cluster", code: exitLocked, text: "somebody-else", arrange: holdLock},
		{name: "not made by kubeadm", code: exitBlocked, text: kubeadmConfig, arrange: removeKubeadmConfig},
		{name: "CA without its key where renewal is asked for", code: exitBlocked, text: "has no key", arrange: removeCAKey},
		{name: "node cordoned at the start", code: exitBlocked, text: "w-1", arrange: func(ctx context.Context, b *badInput) (func(context.Context) error, error) {
			return func(ctx context.Context) error { return b.cordon(ctx, false) }, b.cordon(ctx, true)
		}},
		{name: "node NotReady at the start", code: exitBlocked, text: "w-1", arrange: stopKubelet},
	}
}

func removeKubeadmConfig(ctx context.Context, b *badInput) (func(context.Context) error, error) {
	maps := b.client.CoreV1().ConfigMaps(systemNamespace)
	m, err := maps.Get(ctx, kubeadmConfig, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	again := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace}, Data: m.Data}
	return func(ctx context.Context) error {
		_, err := maps.Create(ctx, again, metav1.CreateOptions{})
		return err
	}, maps.Delete(ctx, kubeadmConfig, metav1.DeleteOptions{})
}

func removeCAKey(ctx context.Context, b *badInput) (func(context.Context) error, error) {
	const key, aside = "/etc/kubernetes/pki/ca.key", "/root/ca.key.aside"
	name := b.first().Name
	_, err := b.lab.Exec(ctx, name, "mv", key, aside)
	return func(ctx context.Context) error {
		_, err := b.lab.Exec(ctx, name, "mv", aside, key)
		return err
	}, err
}

func (b *badInput) cordon(ctx context.Context, on bool) error {
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, on)
	_, err := b.client.CoreV1().Nodes().Patch(ctx, b.last().Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func stopKubelet(ctx context.Context, b *badInput) (func(context.Context) error, error) {
	name := b.last().Name
	ready := func(ctx context.Context, want bool) error {
		return poll(ctx, time.Second, func(ctx context.Context) error {
			n, err := b.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if nodeReady(n) != want {
				return fmt.Errorf("node %s: Ready is %t, want %t", name, !want, want)
			}
			return nil
		})
	}
	undo := func(ctx context.Context) error {
		if _, err := b.lab.Exec(ctx, name, "systemctl", "start", "kubelet"); err != nil {
			return err
		}
		return ready(ctx, true)
	}
	if _, err := b.lab.Exec(ctx, name, "systemctl", "stop", "kubelet"); err != nil {
		return undo, err
	}
	return undo, ready(ctx, false)
}

const (
	lockName     = "kup"
	lockDuration = int32(60)
	lockRenew    = 3 * time.Second
)

// holdLock holds kup's Lease the way a living run does.
func holdLock(ctx context.Context, b *badInput) (func(context.Context) error, error) {
	leases := b.client.CoordinationV1().Leases(systemNamespace)
	holder, duration, transitions := "somebody-else@elsewhere", lockDuration, int32(1)
	now := metav1.NowMicro()
	_, err := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: lockName, Namespace: systemNamespace},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: &duration, LeaseTransitions: &transitions, AcquireTime: &now, RenewTime: &now,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lockRenew)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
			}
			patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
			// A renewal that fails is made up for by the next.
			_, _ = leases.Patch(renewing, lockName, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
	}()
	return func(ctx context.Context) error {
		stop()
		<-done
		return leases.Delete(ctx, lockName, metav1.DeleteOptions{})
	}, nil
}
