//go:build stories

package hollow_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/pkg/plan"
)

// TestRollbackOfAMember: the second of three etcd members does not serve at the new
// version. It goes back to the old one on its own data; when the cause is gone the run
// goes on to its end.
func TestRollbackOfAMember(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	order := members(t, c)
	second := order[1]
	over := crash(t, c, second, "etcd", "3.6.5")
	kup(t, c, 4, "apply", "--plan", "plan.json", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	out := kup(t, c, 5, "rollback", "--yes")
	if !strings.Contains(out, "holds what the others hold") {
		t.Errorf("the member's data were not compared, or it did not stay as it was:\n%s", out)
	}
	wantEtcd(t, c, map[string]string{order[0]: "3.6.5", second: "3.5.33", order[2]: "3.5.33"})
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
	judge(t, c)
}

// TestRollbackOfAMemberThatDiffers: the member that goes back stores something else than
// the others by then. It joins again, empty.
func TestRollbackOfAMemberThatDiffers(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	impatient(t, c)
	second := members(t, c)[1]
	over := crash(t, c, second, "etcd", "3.6.5")
	kup(t, c, 4, "apply", "--plan", "plan.json", "--yes", "--accept-notices", "--rollback-on-failure", "never")
	inject(t, hollow.Dial(c.Dir()), hollow.Fault{Name: "etcd-differs", Host: second})
	out := kup(t, c, 5, "rollback", "--yes")
	if !strings.Contains(out, "joins again, empty") || !strings.Contains(out, "holds what the others hold") {
		t.Errorf("the member did not join again:\n%s", out)
	}
	over()
	kup(t, c, 0, "apply", "--resume", "--yes")
	settle(t, c)
	judge(t, c)
}

// members plans and gives the nodes of etcd's members, in the order in which they move:
// the leader comes last.
func members(t *testing.T, c *hollow.Cluster) []string {
	t.Helper()
	kup(t, c, 0, "plan", "--to", "v1.34", "--out", "plan.json")
	raw, err := os.ReadFile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if st.Name == plan.EtcdStage && s.Kind == plan.KindCommand && !slices.Contains(out, s.Node) {
			out = append(out, s.Node)
		}
		return true
	})
	if len(out) != 3 {
		t.Fatalf("members move on %v", out)
	}
	return out
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
