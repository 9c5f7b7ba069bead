package step

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

func TestCompare(t *testing.T) {
	old, fresh := cluster.MustParseVersion("v1.33.13"), cluster.MustParseVersion("v1.34.4")
	pod := func(name, uid, node, owner string, restarts int32, ready bool) Pod {
		return Pod{Namespace: "shop", Name: name, UID: uid, Node: node, Owner: owner, Restarts: restarts, Ready: ready, Phase: "Running"}
	}
	before := Observation{
		Kubelets: map[string]cluster.Version{"cp-1": old, "w-1": old, "w-2": old, "w-3": old},
		Pods: []Pod{
			pod("api", "1", "cp-1", "Node/cp-1", 0, true),
			pod("stays", "2", "w-1", "DaemonSet/log", 1, true),
			pod("crashes", "3", "w-3", "ReplicaSet/app-1", 0, true),
			pod("drained", "4", "w-1", "ReplicaSet/app-1", 0, true),
			pod("evicted", "5", "w-3", "ReplicaSet/app-1", 0, true),
			pod("rolled", "6", "w-3", "ReplicaSet/web-1", 0, true),
			pod("lonely", "7", "w-1", "", 0, true),
			pod("job", "8", "w-1", "Job/once", 0, true),
			pod("log-w3", "9", "w-3", "DaemonSet/log", 0, true),
			pod("bad", "10", "w-3", "ReplicaSet/bad-1", 5, false),
			{Namespace: "shop", Name: "ended", UID: "11", Node: "w-3", Owner: "ReplicaSet/x", Phase: "Succeeded"},
		},
		Workloads: []cluster.Workload{{Kind: "Deployment", Namespace: "shop", Name: "web"}, {Kind: "Deployment", Namespace: "shop", Name: "app"}},
	}
	now := Observation{
		Hop: "1.34", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Kubelets: map[string]cluster.Version{"cp-1": fresh, "w-1": fresh, "w-2": fresh, "w-3": old},
		Pods: []Pod{
			pod("api", "1", "cp-1", "Node/cp-1", 2, true),
			pod("stays", "2", "w-1", "DaemonSet/log", 2, true),
			pod("crashes", "3", "w-3", "ReplicaSet/app-1", 4, false),
			pod("new", "20", "w-2", "ReplicaSet/app-1", 0, false),
			pod("bad", "10", "w-3", "ReplicaSet/bad-1", 5, false),
		},
		Workloads:  []cluster.Workload{{Kind: "Deployment", Namespace: "shop", Name: "app"}},
		Deprecated: []cluster.DeprecatedRequest{{Group: "flowcontrol.apiserver.k8s.io", Version: "v1beta3", Resource: "flowschemas", RemovedRelease: "1.32"}, {Version: "v1", Resource: "componentstatuses"}},
	}
	r := Compare(before, now, func(node string) bool { return node == "w-1" || node == "cp-1" })
	var text string
	for _, s := range append(r.Workloads(), r.DeprecatedUses()...) {
		text += s + "\n"
	}
	golden(t, "compare.txt", text)
	if same := Compare(before, before, func(string) bool { return false }); len(same.Restarts)+len(same.Moved)+len(same.Gone) != 0 {
		t.Errorf("nothing happened, but %+v", same)
	}
}

type fakeCluster struct {
	facts cluster.Facts
	pods  []Pod
	err   error
}

func (f *fakeCluster) Observe(context.Context) (cluster.Facts, error) { return f.facts, f.err }
func (f *fakeCluster) Pods(context.Context) ([]Pod, error)            { return f.pods, f.err }

type fakeCertificates struct{ err error }

func (f fakeCertificates) Certificates(_ context.Context, node string) ([]cluster.Certificate, error) {
	return []cluster.Certificate{{Name: "apiserver", NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}}, f.err
}

func TestBaselineAndCompare(t *testing.T) {
	ctx := t.Context()
	base := plan.Step{ID: "1.34/prepare/baseline", Kind: plan.KindBaseline, Args: map[string]string{"hop": "1.34"}}
	comp := plan.Step{ID: "1.34/workloads/compare", Kind: plan.KindCompare, Args: map[string]string{"hop": "1.34"}}
	w := newWorld(t, nil)
	c := &fakeCluster{
		facts: cluster.Facts{
			Nodes:    []cluster.Node{{Name: "cp-1", Role: cluster.ControlPlane}, {Name: "w-1", Role: cluster.Worker}},
			Workload: []cluster.Workload{{Kind: "Deployment", Namespace: "shop", Name: "web", Desired: 1, Ready: 1}},
		},
		pods: []Pod{{Namespace: "shop", Name: "web-1", UID: "1", Node: "w-1", Owner: "ReplicaSet/web", Ready: true, Phase: "Running"}},
	}
	w.Cluster, w.Certificates = c, fakeCertificates{err: errors.New("permission denied")}
	w.Recorder = newFakeAPI()
	store := Baselines{Artefacts: w.artefacts}

	if err := w.runner(plan.KindBaseline).Run(ctx, base, attempt(base, 1)); err == nil || len(w.artefacts.all) != 0 {
		t.Fatalf("a baseline without certificates: %v, %v", err, w.artefacts.all)
	}
	if _, err := store.Workloads("1.34"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no baseline yet: %v", err)
	}
	if err := w.runner(plan.KindCompare).Run(ctx, comp, attempt(comp, 1)); err != nil || len(w.observer.notes) != 1 {
		t.Errorf("nothing to compare with: %v, %v", err, w.observer.notes)
	}
	w.Certificates = fakeCertificates{}
	for range 2 {
		if err := w.runner(plan.KindBaseline).Run(ctx, base, attempt(base, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.artefacts.all) != 3 { // with the objects and the schema
		t.Fatalf("recorded %v", w.artefacts.all)
	}
	certs, err := store.Certificates("1.34")
	if err != nil || len(certs) != 1 || len(certs["cp-1"]) != 1 {
		t.Errorf("certificates %v, %v", certs, err)
	}

	c.pods = []Pod{{Namespace: "shop", Name: "web-1", UID: "1", Node: "w-1", Owner: "ReplicaSet/web", Ready: true, Phase: "Running", Restarts: 3}}
	w.observer.notes = nil
	if err := w.runner(plan.KindCompare).Run(ctx, comp, attempt(comp, 1)); err != nil {
		t.Fatal(err)
	}
	result, ok, err := store.Result("1.34")
	if err != nil || !ok || len(result.Restarts) != 1 || result.Restarts[0].Count != 3 {
		t.Errorf("result %+v, %t, %v", result, ok, err)
	}
	if len(w.observer.notes) != 1 {
		t.Errorf("notes %q", w.observer.notes)
	}
	if done, err := w.runner(plan.KindCompare).Done(ctx, comp); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}

	path := w.artefacts.all[0].Path
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	var o Observation
	b, _ := os.ReadFile(path)
	if err := json.Unmarshal(b, &o); err != nil || len(o.Pods) != 1 {
		t.Errorf("%v, %s", err, b)
	}
	if err := os.WriteFile(path, append(b, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := store.Workloads("1.34"); !errors.As(err, &damaged) {
		t.Errorf("a changed baseline: %v", err)
	}
}

func TestRestartsThatARestoreAnnounced(t *testing.T) {
	r := Result{Restarts: []Finding{{Pod: "shop/set-0", Cause: "nothing"}, {Pod: "shop/set-1", Cause: "nothing"}}}
	r.announced([]string{"shop/set-0", "shop/other"})
	if !strings.Contains(r.Restarts[0].Cause, "with the snapshot") || r.Restarts[1].Cause != "nothing" {
		t.Errorf("got %+v", r.Restarts)
	}
}
