//go:build stories

package hollow_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// cutDown creates an object with a field that API servers of 1.34 do not keep.
func cutDown(t *testing.T, api kubernetes.Interface, name string) {
	t.Helper()
	yes := true
	driver := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSIDriverSpec{ServiceAccountTokenInSecrets: &yes}}
	if _, err := api.StorageV1().CSIDrivers().Create(t.Context(), driver, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestRollbackOfAHopLooksAgain: what older API servers do not keep and was written after
// the plan stops the rollback before the first of them goes back. What was accepted
// stays accepted, and what is new can be.
func TestRollbackOfAHopLooksAgain(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.34"})
	kup(t, c, 0, "apply", "--to", "v1.35", "--yes", "--accept-notices")
	api := client(t, c)
	cutDown(t, api, "vault")
	ended := &endings{at: []journal.Record{{Kind: journal.StepAfter, Step: "1.34/addons/kube-proxy"}}}
	if code, out := kupEnding(t, c, ended, "rollback", "--scope", "hop", "--accept-data-loss", "--yes", "--accept-notices"); code == 5 || len(ended.at) > 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	cutDown(t, api, "late")
	out := kup(t, c, 4, "rollback", "--yes")
	wantSays(t, out, "CSIDriver.storage.k8s.io late (spec.serviceAccountTokenInSecrets)", "step 1.34/control-plane/cp-1/components", "--accept-data-loss")
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range facts.Hosts {
		if v := h.Runs["kube-apiserver"]; v != "" && !strings.Contains(v, ":v1.35") {
			t.Errorf("%s runs an API server of %s already", h.Name, v)
		}
	}
	out = kup(t, c, 4, "rollback", "--yes")
	wantSays(t, out, "late (spec.serviceAccountTokenInSecrets)")
	out = kup(t, c, 5, "rollback", "--yes", "--accept-data-loss")
	wantSays(t, out, "late (spec.serviceAccountTokenInSecrets)")
	settle(t, c)
}

// TestRollbackOfTheDataListsAnew: what was written since the losses of a restore were
// listed is listed when it goes on, and lost only when that is accepted too.
func TestRollbackOfTheDataListsAnew(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	kup(t, c, 0, "apply", "--to", "v1.34", "--yes", "--accept-notices")
	api := client(t, c)
	written(t, api)
	before := revision(t, api)
	ended := &endings{at: []journal.Record{{Kind: journal.StepAfter, Step: "1.33/prepare/cp-2/snapshot"}}}
	if code, out := kupEnding(t, c, ended, "rollback", "--scope", "data", "--accept-data-loss", "--yes", "--accept-notices"); code == 5 || len(ended.at) > 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if _, err := api.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wantSays(t, kup(t, c, 2, "rollback", "--yes"), "ConfigMap", "later", "would lose more by now than was agreed to (1, listed above)", "--accept-data-loss")
	if now := revision(t, api); now >= 1_000_000_000 {
		t.Fatalf("revision %d: it was restored", now)
	}
	// Agreed to once, and ended again: it need not be agreed to twice.
	ended.at = []journal.Record{{Kind: journal.StepAfter, Step: "1.33/prepare/cp-3/snapshot"}}
	if code, out := kupEnding(t, c, ended, "rollback", "--yes", "--accept-data-loss"); code == 5 || len(ended.at) > 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	kup(t, c, 5, "rollback", "--yes")
	back(t, c, before)
}
