//go:build stories

package hollow_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// written is what a test writes behind the snapshot.
func written(t *testing.T, api *kubernetes.Clientset) {
	t.Helper()
	for i := range 3 {
		_, err := api.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("since-%d", i)}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// revision is the API's, as a client sees it.
func revision(t *testing.T, api *kubernetes.Clientset) int64 {
	t.Helper()
	list, err := api.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(list.ResourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// back wants the cluster as it was before the hop.
func back(t *testing.T, c *hollow.Cluster, before int64) {
	t.Helper()
	settle(t, c)
	api := client(t, c)
	for i := range 3 {
		if _, err := api.CoreV1().ConfigMaps("default").Get(t.Context(), fmt.Sprintf("since-%d", i), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("since-%d is still there: %v", i, err)
		}
	}
	if now := revision(t, api); now < max(before, 1_000_000_000) {
		t.Errorf("revision %d, was %d: it was not raised", now, before)
	}
	f, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.Hosts {
		for _, lack := range h.Lacks(c.Version().Line()) {
			t.Error(lack)
		}
	}
	for name, v := range f.Etcd {
		if !strings.HasPrefix(v, "3.5.") {
			t.Errorf("etcd of %s is at %s", name, v)
		}
	}
	if out := kup(t, c, 0, "plan", "--to", "v1.34"); !strings.Contains(out, "v1.34") {
		t.Errorf("kup plan after it:\n%s", out)
	}
}

// TestRollbackOfTheData: after a complete hop everything goes back and the snapshot is
// restored. What it costs is said before, and is not done unasked.
func TestRollbackOfTheData(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	kup(t, c, 0, "apply", "--to", "v1.34", "--yes", "--accept-notices")
	api := client(t, c)
	written(t, api)
	before := revision(t, api)
	out := kup(t, c, 2, "rollback", "--scope", "data", "--yes", "--accept-notices")
	for _, want := range []string{"since-0", "--accept-data-loss", "created since", "pods that stop"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not tell of %q", want)
		}
	}
	out = kup(t, c, 5, "rollback", "--scope", "data", "--accept-data-loss", "--yes", "--accept-notices")
	t.Log(out)
	back(t, c, before)
}

// TestRollbackWithoutTheAPI: the same from SSH alone, with every API server dead, of a hop
// that was stopped before the worker's turn: what runs there does not notice.
func TestRollbackWithoutTheAPI(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	api := client(t, c)
	r := hollow.Dial(c.Dir())
	inject(t, r, hollow.Fault{Name: "kubelet-sick", Host: "w-1", Args: map[string]string{"version": "v1.34.4"}})
	kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	written(t, api)
	before := revision(t, api)
	for _, host := range []string{"cp-1", "cp-2", "cp-3"} {
		inject(t, r, hollow.Fault{Name: "apiserver-gone", Host: host})
	}
	out := kup(t, c, 2, "rollback", "--scope", "data", "--yes", "--accept-notices")
	if !strings.Contains(out, "since-0") || !strings.Contains(out, "the API does not answer") {
		t.Errorf("the cost is not told:\n%s", out)
	}
	// What kept it from answering is over when it is started anew.
	for _, host := range []string{"cp-1", "cp-2", "cp-3"} {
		inject(t, r, hollow.Fault{Name: "apiserver-dead", Host: host})
	}
	out = kup(t, c, 5, "rollback", "--scope", "data", "--accept-data-loss", "--yes", "--accept-notices")
	t.Log(out)
	back(t, c, before)
}
