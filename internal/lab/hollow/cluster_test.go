package hollow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/cli"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	testPace = 0.002
	patience = 5 * time.Minute  // for a computer that does much else
	hung     = 12 * time.Minute // one command of kup; a gate gives up after 10
)

func start(t *testing.T, c hollow.Config) *hollow.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.Dir, c.Pace = t.TempDir(), testPace
	up, err := hollow.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := up.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return up
}

// same compares facts as they are printed and shows the lines that differ.
func same(t *testing.T, what string, got, want *hollow.Facts) {
	t.Helper()
	lines := func(f *hollow.Facts) []string {
		b, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(b), "\n")
	}
	have, expected := lines(got), lines(want)
	for i := range min(len(have), len(expected)) {
		if have[i] != expected[i] {
			t.Errorf("%s: %s, want %s", what, have[i], expected[i])
		}
	}
	if len(have) != len(expected) {
		t.Errorf("%s: %d lines, want %d", what, len(have), len(expected))
	}
}

// settle waits until the cluster is at rest. One that never is fails the test.
func settle(t *testing.T, c *hollow.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Settle(ctx); err != nil {
		t.Fatalf("the cluster is not at rest after %s: %v", patience, err)
	}
}

// kup runs kup in the cluster's directory and gives its output.
func kup(t *testing.T, c *hollow.Cluster, wanted int, args ...string) string {
	t.Helper()
	code, out := ran(t, c, cli.Seams{}, args...)
	if code != wanted {
		t.Fatalf("kup %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, wanted, out)
	}
	return out
}

// ran runs kup in the cluster's directory. One that hangs fails the test, which tells
// what it was at.
func ran(t *testing.T, c *hollow.Cluster, seams cli.Seams, args ...string) (int, string) {
	t.Helper()
	t.Chdir(c.Dir())
	t.Setenv("XDG_STATE_HOME", filepath.Join(c.Dir(), "state"))
	var out said
	seams.Pace, seams.Stdin, seams.Stdout, seams.Stderr = c.Pace(), strings.NewReader(""), &out, &out
	code := make(chan int, 1)
	go func() { code <- cli.Run(args, seams) }()
	select {
	case n := <-code:
		return n, out.String()
	case <-time.After(hung):
		t.Fatalf("kup %s has not ended after %s:\n%s", strings.Join(args, " "), hung, out.String())
		return 0, ""
	}
}

// said is what kup says, readable while it does.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// client reaches the modelled API as any client does.
func client(t *testing.T, c *hollow.Cluster) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.Dir(), "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.Timeout = patience // of a call
	out, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestClusterIsReachedAsARealOne(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33"})
	client := client(t, c)
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 {
		t.Fatalf("nodes: %v, %v", nodes, err)
	}
	for _, name := range []string{"cp-1", "w-1"} {
		got, err := reach(t, c, name).Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "hostname; id -u"}, Sudo: true})
		if err != nil || string(got.Stdout) != name+"\n0\n" {
			t.Errorf("%s: %q, %v", name, got.Stdout, err)
		}
	}
	for _, wrong := range []hollow.Fault{{Name: "flood"}, {Name: "cut"}, {Name: "cut", Host: "cp-9"}, {Name: "etcd-pause", Host: "w-1"}, {Name: "slow", Host: "w-1"}, {Name: "cut-on", Host: "w-1"}} {
		if err := c.Inject(wrong); err == nil {
			t.Errorf("%+v was done", wrong)
		}
	}
}

// reach reaches a host as kup.yaml says.
func reach(t *testing.T, c *hollow.Cluster, name string) remote.Host {
	t.Helper()
	t.Chdir(c.Dir())
	inv, err := inventory.Load("kup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.LoadClientConfig("")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range inv.Nodes {
		if n.Name != name {
			continue
		}
		s := inv.SSHFor(n.Name)
		resolved, err := client.Resolve(ssh.Config{
			Name: n.Name, Address: n.Address, Port: s.Port, User: s.User, Identities: s.Identities, KnownHosts: s.KnownHosts,
			ConnectTimeout: patience, Keepalive: patience,
			Sudo: ssh.Sudo{Mode: string(s.Sudo.Mode), Password: func(context.Context) ([]byte, error) {
				b, err := os.ReadFile(s.Sudo.PasswordFile)
				return bytes.TrimSpace(b), err
			}},
		}, s.Bastion)
		if err != nil {
			t.Fatal(err)
		}
		h := ssh.New(resolved)
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		return h
	}
	t.Fatalf("kup.yaml does not name %s", name)
	return nil
}

func TestSavedClusterIsLoadedAgainAndBesideItself(t *testing.T) {
	first := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33"})
	before, err := first.Facts()
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if err := first.Save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"the same", "beside it"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := hollow.Load(ctx, saved, hollow.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer func() {
			if err := c.Close(context.Background()); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		}()
		after, err := c.Facts()
		if err != nil {
			t.Fatal(err)
		}
		same(t, name, after, before)
		kup(t, c, 0, "plan", "--to", "v1.34")
	}
}

// TestHop is the test of everything: kup takes a cluster up one minor. On the way
// the package repository goes, so that kup stops, and a worker restarts.
func TestHop(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	r := hollow.Dial(c.Dir())
	before, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	there, err := r.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "facts over the socket", there, before)
	if out := kup(t, c, 0, "plan", "--to", "v1.34"); !strings.Contains(out, "1 hop") {
		t.Errorf("plan:\n%s", out)
	}
	inject(t, r, hollow.Fault{Name: "repository-gone", Host: "w-1"})
	if out := kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices"); !strings.Contains(out, "w-1") || !strings.Contains(out, "--resume") {
		t.Errorf("kup does not say where and how:\n%s", out)
	}
	inject(t, r, hollow.Fault{Name: "repository-back", Host: "w-1"}, hollow.Fault{Name: "reboot", Host: "w-1"})
	out := kup(t, c, 0, "apply", "--resume", "--yes")
	if !strings.Contains(out, "snapshot: before v1.34.4 restored by etcd 3.5.33, image registry.k8s.io/etcd:3.5.33-0 on cp-1: revision ") {
		t.Errorf("the restore was not rehearsed with the cluster's own etcd:\n%s", out)
	}
	settle(t, c)
	judge(t, c)
	log, err := r.Mutations(t.Context())
	if err != nil || len(log) == 0 || len(log) != len(c.Mutations()) {
		t.Errorf("%d mutations over the socket, %d here: %v", len(log), len(c.Mutations()), err)
	}
	if len(c.Requests()) == 0 {
		t.Error("kup took its lock and is said to have asked the API nothing")
	}
	kup(t, c, 0, "status")
}

// judge wants one control plane at 1.34, got there by running kubeadm once.
func judge(t *testing.T, c *hollow.Cluster) {
	t.Helper()
	facts, err := c.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range facts.Hosts {
		for _, lack := range h.Lacks(cluster.Minor{Major: 1, Minor: 34}) {
			t.Error(lack)
		}
	}
	if facts.Etcd["cp-1"] != "3.6.5" {
		t.Errorf("etcd %v", facts.Etcd)
	}
	if renewed := facts.Hosts[0].Renewed; !slices.Contains(renewed, "pki/apiserver.crt") || !slices.Contains(renewed, "pki/etcd/server.crt") {
		t.Errorf("certificates renewed: %v", renewed)
	}
	applied := 0
	for _, m := range c.Mutations() {
		if strings.HasPrefix(strings.Join(m.Argv, " "), "kubeadm upgrade apply") && m.Step == "" {
			applied++
		}
	}
	if applied != 1 {
		t.Errorf("kubeadm upgrade apply ran %d times", applied)
	}
}

func inject(t *testing.T, r *hollow.Remote, faults ...hollow.Fault) {
	t.Helper()
	for _, f := range faults {
		if err := r.Inject(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFaultsAreDescribed: each fault's first word is its name, and no two are one.
func TestFaultsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range hollow.Faults() {
		name, _, _ := strings.Cut(f.Usage, " ")
		if seen[name] || f.What == "" {
			t.Errorf("fault %q", f.Usage)
		}
		seen[name] = true
	}
}
