package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/pkg/cluster"
)

// smallFleet is one of ten hosts that run.
func smallFleet(t *testing.T, pods int) *fleet {
	t.Helper()
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	claim, err := member.ClaimCluster(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = claim.Close() })
	l := &layout{claim: claim, known: known, start: cluster.MustParseVersion("v1.33.13"), etcd: cluster.MustParseVersion("v3.5.33")}
	if err := l.arrange(10, pods); err != nil {
		t.Fatal(err)
	}
	f, err := newFleet(l, cluster.MustParseVersion("v1.34.4"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	if err := f.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFleet(t *testing.T) {
	const pods = 300
	f := smallFleet(t, pods)
	t.Run("what is written is what was asked for", func(t *testing.T) { checkFilling(t, f, pods) })
	t.Run("a worker's replay says what its model says", func(t *testing.T) { checkReplay(t, f) })
	t.Run("its inventory is valid", func(t *testing.T) {
		dir := t.TempDir()
		if err := f.write(dir); err != nil {
			t.Fatal(err)
		}
		inv, err := inventory.Load(filepath.Join(dir, inventoryFile))
		if err != nil {
			t.Fatal(err)
		}
		if len(inv.Nodes) != len(f.hosts) {
			t.Errorf("%d nodes, want %d", len(inv.Nodes), len(f.hosts))
		}
	})
	t.Run("only control planes reach etcd", func(t *testing.T) {
		if _, err := f.hosts[controlPlanes].Dial(t.Context(), "127.0.0.1:2379"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a worker reached it: %v", err)
		}
		l, err := net.Listen("tcp", net.JoinHostPort(f.hosts[1].ip, clientPort))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := f.hosts[1].Dial(t.Context(), "127.0.0.1:2379")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	})
}

func checkFilling(t *testing.T, f *fleet, pods int) {
	var mu sync.Mutex
	found := map[string][]byte{}
	_, err := fill(t.Context(), f, func(_ context.Context, ops []clientv3.Op) error {
		mu.Lock()
		defer mu.Unlock()
		for _, op := range ops {
			if key := string(op.KeyBytes()); found[key] == nil {
				found[key] = op.ValueBytes()
			} else {
				t.Errorf("%s was written twice", key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	codec := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	counts, onNode := map[string]int{}, map[string]int{}
	for key, value := range found {
		o, _, err := codec.Decode(value, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		counts[kind(o)]++
		if p, ok := o.(*corev1.Pod); ok {
			onNode[p.Spec.NodeName]++
			if p.Status.Phase != corev1.PodRunning || p.UID == "" {
				t.Errorf("%s: phase %s, uid %q", key, p.Status.Phase, p.UID)
			}
		}
	}
	if counts["Pod"] != pods || counts["Node"] != len(f.hosts) || counts["Lease"] != len(f.hosts) {
		t.Errorf("%d pods, %d nodes, %d leases", counts["Pod"], counts["Node"], counts["Lease"])
	}
	for _, k := range []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "PodDisruptionBudget", "Service", "Secret", "PersistentVolume"} {
		if counts[k] == 0 {
			t.Errorf("no %s", k)
		}
	}
	for _, key := range []string{
		"/registry/minions/cp-1", "/registry/pods/kube-system/etcd-cp-3", "/registry/configmaps/kube-system/kubeadm-config",
		"/registry/services/specs/default/kubernetes", "/registry/deployments/kube-system/coredns", "/registry/daemonsets/kube-system/kube-proxy",
	} {
		if found[key] == nil {
			t.Errorf("no %s", key)
		}
	}
	for node, n := range onNode {
		if n > 110 {
			t.Errorf("%d pods on %s", n, node)
		}
	}
}

func kind(o runtime.Object) string { return o.GetObjectKind().GroupVersionKind().Kind }

func checkReplay(t *testing.T, f *fleet) {
	f.replies = newReplies()
	defer func() { f.replies = nil }()
	first, second, last := f.hosts[controlPlanes], f.hosts[controlPlanes+1], 0.0
	lines := []string{
		"cat /etc/hostname /etc/machine-id /proc/sys/kernel/random/boot_id",
		"sudo -n -- cat /etc/kubernetes/kubelet.conf | head -n 1; cat /var/lib/kubelet/kubeadm-flags.env",
		"cat; exit 3",
	}
	for _, line := range lines {
		var out [2]bytes.Buffer
		var code [2]int
		first.Exec(t.Context(), sshUser, line, strings.NewReader("w-0001\n"), new(bytes.Buffer), new(bytes.Buffer))
		code[0] = second.Exec(t.Context(), sshUser, line, strings.NewReader("w-0002\n"), &out[0], new(bytes.Buffer))
		code[1] = second.machine.Exec(t.Context(), sshUser, line, strings.NewReader("w-0002\n"), &out[1], new(bytes.Buffer))
		if out[0].String() != out[1].String() || code[0] != code[1] || out[0].Len() == 0 {
			t.Errorf("%s: replayed %d %q, its own %d %q", line, code[0], out[0].String(), code[1], out[1].String())
		}
	}
	if n := len(f.replies.known); n != len(lines) {
		t.Errorf("%d answers kept of %d questions", n, len(lines))
	}
	for _, h := range []*host{first, second} {
		var told bytes.Buffer
		h.Exec(t.Context(), sshUser, "sleep 0.01; date +%s.%N", strings.NewReader(""), &told, new(bytes.Buffer))
		var seconds float64
		if _, err := fmt.Sscan(told.String(), &seconds); err != nil || !clock.Match(told.Bytes()) {
			t.Errorf("%s: the time is %q: %v", h.name, told.String(), err)
		}
		// The second tells its own time, which is later than that of the first.
		if now := float64(time.Now().UnixMicro()) / 1e6; seconds > now || seconds < now-1 || seconds <= last {
			t.Errorf("%s: the time is %f, and was %f before; now is %f", h.name, seconds, last, now)
		}
		last = seconds
	}
}

func TestArrangement(t *testing.T) {
	l := &layout{claim: &member.Claim{Cluster: 7}}
	if err := l.arrange(1000, 50000); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range l.places {
		if seen[p.ip] || seen[p.pods.String()] || !p.pods.IsValid() {
			t.Errorf("%s: %s, %s", p.name, p.ip, p.pods)
		}
		seen[p.ip], seen[p.pods.String()] = true, true
	}
	for _, wrong := range [][2]int{{5, 100}, {10, 20}, {10, 100000}, {maxNodes + 1, 50000}} {
		if err := new(layout).arrange(wrong[0], wrong[1]); err == nil {
			t.Errorf("%d nodes with %d pods were taken", wrong[0], wrong[1])
		}
	}
}

func TestCountRequests(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	lines := `{"userAgent":"kup","verb":"list","requestURI":"/api/v1/pods?limit=500","objectRef":{"resource":"pods"}}
{"userAgent":"kup","verb":"list","requestURI":"/api/v1/pods?limit=500&continue=x","objectRef":{"resource":"pods"}}
{"userAgent":"kup","verb":"get","requestURI":"/metrics"}
{"userAgent":"kube-apiserver/v1.33.13","verb":"get","requestURI":"/api/v1/namespaces/x","objectRef":{"resource":"namespaces"}}
{"userAgent":"kup","verb":"get","requ`
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := countRequests(log, "kup")
	if err != nil {
		t.Fatal(err)
	}
	if r.Total != 3 || len(r.By) != 2 || r.By[0] != (RequestCount{"list pods", 2}) || r.By[1] != (RequestCount{"get /metrics", 1}) {
		t.Errorf("%+v", r)
	}
}

func TestPodNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range 5000 {
		if s := suffix(i); seen[s] || len(s) != 5 {
			t.Fatalf("suffix %d is %q", i, s)
		} else {
			seen[s] = true
		}
	}
}

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	p, err := start(t.Context(), dir, "sleeper", []string{"sleep", "60"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.failed(); err != nil {
		t.Error(err)
	}
	p.stop()
	if err := syscall.Kill(p.pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("it is still there: %v", err)
	}
	p, err = start(t.Context(), dir, "failing", []string{"sh", "-c", "echo no such luck; exit 7"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.waitFor(t.Context(), 5*time.Second, func(context.Context) error { return errors.New("no answer") })
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v", err)
	}
	p.stop()
	if _, err := start(t.Context(), dir, "absent", []string{"/no/such/program"}); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestMeasure(t *testing.T) {
	var out bytes.Buffer
	output := filepath.Join(t.TempDir(), "output")
	if err := Measure(t.Context(), []string{"sh", "-c", "echo said; exit 3"}, output, &out, os.Stderr); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(output)
	if err != nil || string(said) != "said\n" {
		t.Errorf("%q, %v", said, err)
	}
	if !strings.Contains(out.String(), `"Code":3`) || strings.Contains(out.String(), `"Memory":0,`) {
		t.Errorf("%s", out.String())
	}
}

func TestTableSaysWhatIsOver(t *testing.T) {
	good := Result{Kup: Usage{Wall: time.Second, Memory: 100 << 20}, Requests: Requests{Total: 299}, Parts: []Part{{Name: judging, Wall: time.Second}}}
	for _, c := range []struct {
		name   string
		change func(*Result)
		over   bool
	}{
		{"all kept", func(*Result) {}, false},
		{"wall", func(r *Result) { r.Kup.Wall = limitWall + 1 }, true},
		{"memory", func(r *Result) { r.Kup.Memory = limitMemory + 1 }, true},
		{"requests", func(r *Result) { r.Requests.Total = limitRequests + 1 }, true},
		{"preflight", func(r *Result) { r.Parts = []Part{{Name: judging, Wall: limitPreflight + 1}} }, true},
		{"preflight was not measured", func(r *Result) { r.Parts = nil }, true},
	} {
		r, out := good, new(bytes.Buffer)
		c.change(&r)
		b := &bench{Options: Options{Out: out, Nodes: 10}}
		if over := b.print(r); over != c.over || strings.Contains(out.String(), "OVER") != c.over {
			t.Errorf("%s: over %t\n%s", c.name, over, out)
		}
	}
}
