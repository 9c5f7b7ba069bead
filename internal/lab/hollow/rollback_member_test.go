//go:build stories

package hollow_test

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// TestRollbackOfAMember: the second of three etcd members does not serve at the new
// version. It goes back to the old one on its own data; when the cause is gone the run
// goes on to its end.
func TestRollbackOfAMember(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	over := crash(t, c, "cp-2", "etcd", "3.6.5")
	kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	out := kup(t, c, 5, "rollback", "--yes")
	if !strings.Contains(out, "holds what the others hold") {
		t.Errorf("the member's data were not compared, or it did not stay as it was:\n%s", out)
	}
	wantEtcd(t, c, map[string]string{"cp-1": "3.5.33", "cp-2": "3.5.33"})
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	if err := c.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	judge(t, c)
}

// TestRollbackOfAMemberThatDiffers: the member that goes back stores something else than
// the others by then. It joins again, empty.
func TestRollbackOfAMemberThatDiffers(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	over := crash(t, c, "cp-2", "etcd", "3.6.5")
	kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	inject(t, hollow.Dial(c.Dir()), hollow.Fault{Name: "etcd-differs", Host: "cp-2"})
	out := kup(t, c, 5, "rollback", "--yes")
	if !strings.Contains(out, "joins again, empty") || !strings.Contains(out, "holds what the others hold") {
		t.Errorf("the member did not join again:\n%s", out)
	}
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	if err := c.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	judge(t, c)
}

// wantEtcd wants the given members, of which others may be elsewhere by now.
func wantEtcd(t *testing.T, c *hollow.Cluster, want map[string]string) {
	t.Helper()
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for node, version := range want {
		if facts.Etcd[node] != version {
			t.Errorf("etcd of %s is %s, want %s", node, facts.Etcd[node], version)
		}
	}
}
