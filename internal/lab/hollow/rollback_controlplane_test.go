//go:build stories

package hollow_test

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// hostFacts gives what a rollback has to bring back of a host. Images that were pulled
// may stay.
func hostFacts(t *testing.T, c *hollow.Cluster, node string) string {
	t.Helper()
	settle(t, c)
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range facts.Hosts {
		if h.Name == node {
			h.Images = nil
			b, err := json.MarshalIndent(h, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	t.Fatalf("no host %s", node)
	return ""
}

// sameHost wants a host to be what it was.
func sameHost(t *testing.T, c *hollow.Cluster, node, was string) {
	t.Helper()
	is, before := strings.Split(hostFacts(t, c, node), "\n"), strings.Split(was, "\n")
	for i := range min(len(is), len(before)) {
		if is[i] != before[i] {
			t.Errorf("%s: %s, before: %s", node, strings.TrimSpace(is[i]), strings.TrimSpace(before[i]))
		}
	}
	if len(is) != len(before) {
		t.Errorf("%s: %d lines, before: %d", node, len(is), len(before))
	}
}

// crash has a program of a host end as soon as it starts, until the function given back
// is called.
func crash(t *testing.T, c *hollow.Cluster, host, program, version string) (over func()) {
	t.Helper()
	r := hollow.Dial(c.Dir())
	f := hollow.Fault{Name: "crash", Host: host, Args: map[string]string{"program": program, "version": version}}
	inject(t, r, f)
	return func() {
		f.Name = "crash-over"
		inject(t, r, f)
	}
}

// TestRollbackOfAControlPlane: the API server of the second control plane ends again
// and again at the new version. It goes back; the first one stays ahead; when the cause
// is gone the same run goes on. Then a kubelet of the third one cannot start, and kup
// takes it back by itself.
func TestRollbackOfAControlPlane(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	was := hostFacts(t, c, "cp-2")
	over := crash(t, c, "cp-2", "kube-apiserver", "v1.34.4")
	kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	if out := kup(t, c, 5, "rollback", "--yes"); !strings.Contains(out, "Rolled back") {
		t.Errorf("the rollback does not say that it is one:\n%s", out)
	}
	sameHost(t, c, "cp-2", was)
	kup(t, c, 0, "plan", "--to", "v1.34")
	over()
	over = crash(t, c, "cp-3", "kubelet", "v1.34.4")
	if out := kup(t, c, 5, "apply", "--resume", "--yes"); !strings.Contains(out, "was rolled back on cp-3") {
		t.Errorf("kup did not take the node back by itself:\n%s", out)
	}
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
	judge(t, c)
}

// TestRollbackOfTheFirstControlPlane: no API server is left at the new version, so what
// kubeadm uploaded to the API goes back with the first one.
func TestRollbackOfTheFirstControlPlane(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	configs := client(t, c).CoreV1().ConfigMaps("kube-system")
	was, err := configs.Get(t.Context(), "kubeadm-config", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	over := crash(t, c, "cp-1", "kube-apiserver", "v1.34.4")
	kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	wantSays(t, kup(t, c, 5, "rollback", "--yes"), "no API server stays at v1.34.4", "make kubeadm's and the kubelets' configuration what it was")
	now, err := configs.Get(t.Context(), "kubeadm-config", metav1.GetOptions{})
	if err != nil || now.Data["ClusterConfiguration"] != was.Data["ClusterConfiguration"] || now.ResourceVersion == was.ResourceVersion {
		t.Errorf("kubeadm-config is %v, was %v; %v", now, was, err)
	}
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
}
