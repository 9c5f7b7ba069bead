//go:build stories

package hollow_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// impatient lets gates fail soon: what is broken on purpose does not mend itself.
func impatient(t *testing.T, c *hollow.Cluster) {
	t.Helper()
	path := filepath.Join(c.Dir(), "kup.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "\ngates:") {
		t.Fatal("kup.yaml has gates already")
	}
	if err := os.WriteFile(path, append(content, "gates: {timeout: 11s}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stands wants a node's kubelet at a minor, and the node as it was found.
func stands(t *testing.T, c *hollow.Cluster, node, kubelet string) {
	t.Helper()
	settle(t, c)
	if out := kup(t, c, 0, "plan", "--to", "v1.34", "-o", "json"); !strings.Contains(out, `"kubelet": "`+kubelet) || strings.Contains(out, `"cordoned": true`) {
		t.Errorf("%s is not back at %s, or a node is cordoned", node, kubelet)
	}
}

// TestRollbackOfAWorker: a worker whose new kubelet never becomes ready goes back, asked
// for and by itself; when the cause is mended the same run goes on to its end.
func TestRollbackOfAWorker(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 3, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	r := hollow.Dial(c.Dir())
	sick := hollow.Fault{Name: "kubelet-sick", Host: "w-1", Args: map[string]string{"version": "v1.34.4"}}
	inject(t, r, sick)
	out := kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	if !strings.Contains(out, "kup rollback") {
		t.Errorf("kup does not tell of the way back:\n%s", out)
	}
	if out = kup(t, c, 2, "rollback", "--scope", "some"); !strings.Contains(out, "want auto") {
		t.Errorf("a scope that there is not:\n%s", out)
	}
	if out = kup(t, c, 2, "rollback"); !strings.Contains(out, "scope node: w-1") || !strings.Contains(out, "--yes") {
		t.Errorf("the plan of the rollback is not shown, or not asked for:\n%s", out)
	}
	kup(t, c, 0, "rollback", "--out", filepath.Join(c.Dir(), "back.json"))
	out = kup(t, c, 5, "rollback", "--yes")
	if !strings.Contains(out, "Rolled back") || !strings.Contains(out, "kup apply --resume") {
		t.Errorf("the rollback does not say that it is one:\n%s", out)
	}
	stands(t, c, "w-1", "v1.33")
	if out = kup(t, c, 0, "status"); !strings.Contains(out, "takes back run") || !strings.Contains(out, "kup apply --resume") {
		t.Errorf("status:\n%s", out)
	}
	if out = kup(t, c, 0, "history"); !strings.Contains(out, "rolled-back") || !strings.Contains(out, "TAKES BACK") {
		t.Errorf("history:\n%s", out)
	}
	if out = kup(t, c, 3, "rollback", "--scope", "node", "--yes"); !strings.Contains(out, "no node is in the middle") {
		t.Errorf("taken back twice:\n%s", out)
	}
	// It is sick still: this time kup takes it back by itself.
	if out = kup(t, c, 5, "apply", "--resume", "--yes"); !strings.Contains(out, "was rolled back on w-1") {
		t.Errorf("kup did not take the node back by itself:\n%s", out)
	}
	stands(t, c, "w-1", "v1.33")
	sick.Name = "kubelet-well"
	inject(t, r, sick)
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
	judge(t, c)
	if out = kup(t, c, 0, "status"); !strings.Contains(out, "done") {
		t.Errorf("status:\n%s", out)
	}
}

// TestRollbackOfWorkersThatFailTogether: of three workers that go side by side two never
// become ready: both go back by themselves, and the third does not. The same run comes to its end with all of them.
func TestRollbackOfWorkersThatFailTogether(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 4, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	path := filepath.Join(c.Dir(), "kup.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(content), "maxUnavailable: 2", "maxUnavailable: 3", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := hollow.Dial(c.Dir())
	sick := func(name, host string) hollow.Fault {
		return hollow.Fault{Name: name, Host: host, Args: map[string]string{"version": "v1.34.4"}}
	}
	inject(t, r, sick("kubelet-sick", "w-1"), sick("kubelet-sick", "w-2"))
	out := kup(t, c, 5, "apply", "--to", "v1.34", "--yes", "--accept-notices")
	if !strings.Contains(out, "was rolled back on w-1, w-2;") {
		t.Errorf("not both of them went back, or another did:\n%s", out)
	}
	settle(t, c)
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range facts.Hosts {
		if back := strings.HasPrefix(h.Kubelet, "v1.33"); (h.Name == "w-1" || h.Name == "w-2") && (!back || h.Cordoned) {
			t.Errorf("%s is at %s, cordoned: %t", h.Name, h.Kubelet, h.Cordoned)
		}
	}
	inject(t, r, sick("kubelet-well", "w-1"), sick("kubelet-well", "w-2"))
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
	judge(t, c)
}

// TestRollbackOfControlPlanes: a second control plane whose API server crashes at the new
// version, and a second etcd member that does, go back by themselves; the member on its
// own data. The rest of the hop stands, and the same run comes to its end.
func TestRollbackOfControlPlanes(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	r := hollow.Dial(c.Dir())
	fault := func(name, host, program, version string) hollow.Fault {
		return hollow.Fault{Name: name, Host: host, Args: map[string]string{"program": program, "version": version}}
	}
	// The leader's turn is the last one, from which there may be no way back.
	second := members(t, c)[1]
	first := []string{"apply", "--to", "v1.34", "--yes", "--accept-notices"}
	for _, broken := range []struct{ host, program, version string }{
		{"cp-2", "kube-apiserver", "v1.34.4"}, {second, "etcd", "v3.6.5"},
	} {
		inject(t, r, fault("crash", broken.host, broken.program, broken.version))
		out := kup(t, c, 5, first...)
		if !strings.Contains(out, "was rolled back on "+broken.host) {
			t.Errorf("%s did not go back:\n%s", broken.program, out)
		}
		settle(t, c)
		facts, err := c.Facts()
		if err != nil {
			t.Fatal(err)
		}
		if etcd := facts.Etcd[broken.host]; etcd != "3.5.33" {
			t.Errorf("etcd on %s is %s", broken.host, etcd)
		}
		inject(t, r, fault("crash-over", broken.host, broken.program, broken.version))
		first = []string{"apply", "--resume", "--yes"}
	}
	kup(t, c, 0, first...)
	settle(t, c)
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for node, v := range facts.Etcd {
		if v != "3.6.5" {
			t.Errorf("etcd on %s is %s", node, v)
		}
	}
}
