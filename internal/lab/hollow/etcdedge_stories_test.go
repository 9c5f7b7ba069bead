//go:build stories

package hollow_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/cli"
	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

// TestEtcdEdge takes a cluster over an edge that kubeadm does not know of: etcd 3.5.24
// into 3.6. The members are raised within 3.5 first, by the kubeadm of the minor that
// runs; kup that ends at any moment of it goes on, and the hop follows.
func TestEtcdEdge(t *testing.T) {
	for name, tc := range map[string]struct {
		defragment bool
		ends       []journal.Record
	}{
		"undisturbed": {defragment: true},
		"ended five times": {ends: []journal.Record{
			{Kind: journal.StepAfter, Step: "1.34/etcd/raise-pin"},
			{Kind: journal.StepBefore, Step: "1.34/etcd/cp-3/raise-etcd"},
			{Kind: journal.StepAfter, Step: "1.34/etcd/cp-1/raise-etcd"},
			{Kind: journal.StepBefore, Step: "1.34/etcd/raise-unpin"},
			{Kind: journal.StepAfter, Step: "1.34/etcd/raise-unpin"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33", Etcd: "3.5.24", Minors: []string{"1.34"}})
			if tc.defragment {
				appendInventory(t, c, "\netcd: {defragment: true}\n")
			}
			config := clusterConfiguration(t, c)
			edge := watchEdge(t, c)
			if out := kup(t, c, 0, "plan", "--to", "v1.34"); !strings.Contains(out, "etcd is brought to v3.5.33 before it goes to v3.6.5") || !strings.Contains(out, "raise-etcd") && !strings.Contains(out, "(etcd to v3.5.33)") {
				t.Errorf("plan:\n%s", out)
			}
			ended := &endings{at: slices.Clone(tc.ends)}
			const never = "--rollback-on-failure=never" // to end is no failure of a step
			args := []string{"apply", "--to", "v1.34", "--yes", "--accept-notices", never}
			for range tc.ends {
				code, out := kupEnding(t, c, ended, args...)
				if code == 0 {
					t.Fatalf("kup was to end early\n%s", out)
				}
				args = []string{"apply", "--resume", "--yes", never}
			}
			if code, out := kupEnding(t, c, ended, args...); code != 0 || len(ended.at) > 0 {
				t.Fatalf("exit code %d, still to end at %v\n%s", code, ended.at, out)
			}
			settle(t, c)
			edge.judge(t)
			if got, want := clusterConfiguration(t, c), strings.Replace(config, "kubernetesVersion: v1.33.13", "kubernetesVersion: v1.34.4", 1); got != want {
				t.Errorf("kubeadm's configuration is\n%s\nwant\n%s", got, want)
			}
			facts, err := c.Facts()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []string{"cp-1", "cp-2", "cp-3"} {
				if facts.Etcd[m] != "3.6.5" {
					t.Errorf("etcd of %s is at %s", m, facts.Etcd[m])
				}
			}
		})
	}
}

// edge is what was seen on the way.
type edge struct {
	cluster *hollow.Cluster
	mu      sync.Mutex
	// raised are the packages of kubeadm that did etcd's turns before `upgrade apply`;
	// applied are the members' versions when that began.
	raised  []string
	applied map[string]string
	turns   map[string]int // of etcd, by host
}

func watchEdge(t *testing.T, c *hollow.Cluster) *edge {
	t.Helper()
	e := &edge{cluster: c, turns: map[string]int{}}
	c.OnMutation(func(m hollow.Mutation) {
		line := strings.Join(m.Argv, " ")
		apply := strings.HasPrefix(line, "kubeadm upgrade apply")
		if m.Step != "" || !apply && !strings.HasPrefix(line, "kubeadm upgrade node phase control-plane") {
			return
		}
		facts, err := c.Facts()
		if err != nil {
			t.Errorf("facts at %s: %v", line, err)
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if apply {
			e.applied = facts.Etcd
			return
		}
		e.turns[m.Host]++
		for _, h := range facts.Hosts {
			if h.Name == m.Host && e.applied == nil {
				e.raised = append(e.raised, h.Packages["kubeadm"])
			}
		}
	})
	return e
}

func (e *edge) judge(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.raised) != 3 || slices.ContainsFunc(e.raised, func(v string) bool { return !strings.HasPrefix(v, "1.33.") }) {
		t.Errorf("etcd was raised by kubeadm %v, want that of 1.33, three times", e.raised)
	}
	for _, m := range []string{"cp-1", "cp-2", "cp-3"} {
		if e.applied[m] != "3.5.33" {
			t.Errorf("etcd of %s was at %q when the control plane began to move, want 3.5.33", m, e.applied[m])
		}
		if e.turns[m] != 2 {
			t.Errorf("etcd of %s had %d turns, want two", m, e.turns[m])
		}
	}
}

// endings are moments at which kup ends as if it was killed: what it wants to write
// down there never is.
type endings struct {
	mu sync.Mutex
	at []journal.Record
}

var errEnded = errors.New("ended by the test")

func (e *endings) journal(_ string, next engine.Journal) engine.Journal {
	return &ending{e, next, false}
}

type ending struct {
	*endings
	next  engine.Journal
	ended bool
}

func (e *ending) Append(r journal.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.IndexFunc(e.at, func(at journal.Record) bool { return at.Kind == r.Kind && at.Step == r.Step }); i >= 0 {
		e.at, e.ended = slices.Delete(e.at, i, i+1), true
	}
	if e.ended {
		return errEnded
	}
	return e.next.Append(r)
}

func kupEnding(t *testing.T, c *hollow.Cluster, e *endings, args ...string) (int, string) {
	t.Helper()
	return ran(t, c, cli.Seams{Journal: e.journal}, args...)
}

func appendInventory(t *testing.T, c *hollow.Cluster, text string) {
	t.Helper()
	file := filepath.Join(c.Dir(), "kup.yaml")
	content, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(content, text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// clusterConfiguration is kubeadm's, as the API has it.
func clusterConfiguration(t *testing.T, c *hollow.Cluster) string {
	t.Helper()
	m, err := client(t, c).CoreV1().ConfigMaps("kube-system").Get(t.Context(), "kubeadm-config", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Data["ClusterConfiguration"]
}
