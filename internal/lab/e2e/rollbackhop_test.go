package e2e

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kup-project/kup/internal/lab/node"
)

// A kup that goes on does not show the plan again: what the killed one printed counts.
func TestAllThatWasPrintedOnTheWayBackCounts(t *testing.T) {
	b, _ := fakeKup(t, `[ ! -e "$HOME/again" ] || { echo "going on"; exit 5; }
touch "$HOME/again"
run="$XDG_STATE_HOME/kup/uid/20261122-000000-bbbbbb"
mkdir -p "$run"
echo "not supported upstream"
echo '{"kind":"step-before","step":"1.34/addons/coredns","attempt":1}' >"$run/journal.jsonl"
exec sleep 600
`)
	c := &crash{hop: newHop(testEnv(t, b))}
	k := kill{
		name:    "an add-on",
		moments: []moment{{step: "addons/coredns"}},
		look:    func(context.Context, string) (string, error) { return "nothing", nil },
	}
	o, err := c.rollAndResume(t.Context(), []string{"rollback"}, []kill{k})
	if err != nil || o.code != exitRolledBack || c.dead != 1 || len(c.failed) > 0 {
		t.Fatalf("code %d, dead %d, failed %v: %v", o.code, c.dead, c.failed, err)
	}
	if got, want := o.output(), "not supported upstream\ngoing on\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(b.home, "again")); err != nil {
		t.Error(err)
	}
}

// systemObjects are those that a look at a way back asks for, at a version.
func systemObjects(version string) []runtime.Object {
	at := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: systemNamespace, Name: name}
	}
	pod := corev1.PodSpec{NodeName: "cp-1", Containers: []corev1.Container{{Name: "it", Image: "it:" + version}}}
	server := &corev1.Pod{ObjectMeta: at("kube-apiserver-cp-1"), Spec: pod}
	server.Labels = map[string]string{"component": "kube-apiserver"}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp-1"}}
	node.Status.NodeInfo.KubeletVersion = version
	out := []runtime.Object{
		server, node,
		&appsv1.DaemonSet{ObjectMeta: at("kube-proxy"), Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: pod}}},
		&appsv1.Deployment{ObjectMeta: at("coredns"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod}}},
	}
	for _, name := range []string{"kubeadm-config", "kubelet-config", "coredns", "kube-proxy"} {
		out = append(out, &corev1.ConfigMap{ObjectMeta: at(name), Data: map[string]string{"version": version}})
	}
	return out
}

// Whatever changes between two questions of one look, what is told of fits the order of a
// way back: a thing that went back is never seen without one that went before it.
func TestALookDoesNotTurnTheOrderRound(t *testing.T) {
	const newer, older = "v1.35.4", "v1.34.4"
	for questions := range 9 {
		client, back := fake.NewClientset(systemObjects(newer)...), fake.NewClientset(systemObjects(older)...)
		asked := 0
		client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if asked++; asked <= questions {
				return false, nil, nil
			}
			// All of it goes back in this moment.
			o, err := back.Invokes(a, nil)
			return true, o, err
		})
		b := newHopBack(&env{client: client, lab: &node.Lab{}})
		now, err := b.versionsNow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(now) != 8 {
			t.Fatalf("%d things are looked at: %v", len(now), now)
		}
		last := -1
		for _, what := range slices.SortedFunc(maps.Keys(now), func(one, other string) int { return b.rank(one) - b.rank(other) }) {
			if strings.Contains(now[what], newer) { // not back yet
				last = b.rank(what)
			} else if last >= 0 && last < b.rank(what) {
				t.Errorf("after %d questions: %s is back before what goes before it: %v", questions, what, now)
			}
		}
	}
}

func TestChangedFiles(t *testing.T) {
	const etcd, server, flags = "/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/var/lib/kubelet/kubeadm-flags.env"
	was := map[string]map[string]string{"cp-1": {etcd: "a", server: "b", flags: "c", "/etc/kubernetes/pki/etcd/peer.crt": "d"}}
	for name, tt := range map[string]struct {
		is   map[string]string
		want string
	}{
		"etcd stays":     {map[string]string{etcd: "x", server: "b", flags: "c", "/etc/kubernetes/pki/etcd/peer.crt": "y"}, ""},
		"one differs":    {map[string]string{etcd: "a", server: "x", flags: "c"}, "cp-1: " + server + " is not what it was before the hop"},
		"one is gone":    {map[string]string{etcd: "a", server: "b"}, "cp-1: " + flags + " is not what it was before the hop"},
		"one more":       {map[string]string{server: "b", flags: "c", "/var/lib/kubelet/instance-config.yaml": "n"}, "cp-1: /var/lib/kubelet/instance-config.yaml was not there before the hop"},
		"nothing at all": {nil, "cp-1: " + server + " is not what it was before the hop; cp-1: " + flags + " is not what it was before the hop"},
	} {
		if got := strings.Join(changedFiles(was, map[string]map[string]string{"cp-1": tt.is}), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if got := changedFiles(map[string]map[string]string{"w-1": {}}, nil); len(got) != 1 {
		t.Errorf("no file of before: %q", got)
	}
}

// A kill waits for steps by their names: a plan that goes back has them.
func TestStepsOfAWayBackAreThere(t *testing.T) {
	raw, err := os.ReadFile("../../planner/testdata/rollback-hop-complete.plan.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range (&crash{hop: newHop(&env{})}).killsBack() {
		for _, m := range k.moments {
			if !strings.Contains(string(raw), "*1.34/"+m.step+" ") {
				t.Errorf("%s: a way back has no step %s", k.name, m.step)
			}
		}
	}
}
