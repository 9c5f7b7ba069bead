//go:build stories

package hollow_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// A complete hop goes back: what was written since stays, everything but etcd is what
// it was, and an object that the older minor would cut down keeps the hop from it.
func TestRollbackOfAHop(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.34"})
	before, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	kup(t, c, 0, "apply", "--to", "v1.35", "--yes", "--accept-notices")
	client := client(t, c)
	ctx := t.Context()
	since, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "since"}, Data: map[string]string{"a": "b"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	driver := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "vault"}, Spec: storagev1.CSIDriverSpec{ServiceAccountTokenInSecrets: &yes}}
	if _, err := client.StorageV1().CSIDrivers().Create(ctx, driver, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	out := kup(t, c, 2, "rollback", "--yes", "--accept-notices")
	if !strings.Contains(out, "vault") || !strings.Contains(out, "spec.serviceAccountTokenInSecrets") || !strings.Contains(out, "--accept-data-loss") {
		t.Errorf("the field of 1.35 is not named:\n%s", out)
	}
	if err := client.StorageV1().CSIDrivers().Delete(ctx, "vault", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	out = kup(t, c, 5, "rollback", "--yes", "--accept-notices")
	if !strings.Contains(out, "not supported upstream") {
		t.Errorf("the plan does not say that it is not supported:\n%s", out)
	}
	kept, err := client.CoreV1().ConfigMaps("default").Get(ctx, "since", metav1.GetOptions{})
	if err != nil || kept.UID != since.UID || kept.ResourceVersion != since.ResourceVersion {
		t.Errorf("written meanwhile: %+v, %v", kept, err)
	}
	if err := client.CoreV1().ConfigMaps("default").Delete(ctx, "since", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	if after.Etcd["cp-1"] == before.Etcd["cp-1"] {
		t.Error("etcd went back too, or never moved: the hop says nothing of what stays")
	}
	same(t, "after the rollback", withoutEtcd(after), withoutEtcd(before))
	if out = kup(t, c, 0, "plan", "--to", "v1.35"); !strings.Contains(out, "kubeadm upgrade apply v1.35") {
		t.Errorf("no plan again:\n%s", out)
	}
	kup(t, c, 2, "rollback", "--yes") // it was taken back already
}

// TestRollbackOfAHopGoesOn: kup that ends on the way back, a node's kubelet being stopped
// or not, is gone on with by kup rollback, to the same end.
func TestRollbackOfAHopGoesOn(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.34"})
	before, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	kup(t, c, 0, "apply", "--to", "v1.35", "--yes", "--accept-notices")
	ended := &endings{}
	args := []string{"rollback", "--scope", "hop", "--yes", "--accept-notices"}
	for _, at := range []journal.Record{
		{Kind: journal.StepBefore, Step: "1.34/addons/coredns"},
		{Kind: journal.StepBefore, Step: "1.34/workers/w-1/kubelet-packages"},
		{Kind: journal.StepAfter, Step: "1.34/control-plane/cp-2/kubelet-packages"},
		{Kind: journal.StepBefore, Step: "1.34/control-plane/cp-1/components"},
	} {
		ended.at = append(ended.at, at)
		code, out := kupEnding(t, c, ended, args...)
		if code == 5 || len(ended.at) > 0 {
			t.Fatalf("%s of %s: kup was to end early: exit code %d, still to end at %v\n%s", at.Kind, at.Step, code, ended.at, out)
		}
		args = []string{"rollback", "--yes"}
	}
	if code, out := kupEnding(t, c, ended, args...); code != 5 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	after, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "after the rollback", withoutEtcd(after), withoutEtcd(before))
}

// withoutEtcd are the facts that a rollback which keeps data brings back: neither
// etcd's, nor what is in the runtimes besides, nor certificates that were renewed.
func withoutEtcd(f *hollow.Facts) *hollow.Facts {
	f.Etcd = nil
	for owner := range f.Pods {
		if strings.HasPrefix(owner, "Pod kube-system/etcd-") {
			delete(f.Pods, owner)
		}
	}
	for i := range f.Hosts {
		h := &f.Hosts[i]
		h.Images, h.Renewed = nil, nil
		delete(h.Runs, "etcd")
		for file := range h.Files {
			if strings.HasSuffix(file, "/etcd.yaml") || strings.Contains(file, "/pki/") {
				delete(h.Files, file)
			}
		}
	}
	return f
}
