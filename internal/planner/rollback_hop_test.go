package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

var recordedBefore = []string{
	"ConfigMap/kube-system/coredns", "ConfigMap/kube-system/kube-proxy", "ConfigMap/kube-system/kubeadm-config",
	"ConfigMap/kube-system/kubelet-config", "DaemonSet/kube-system/kube-proxy", "Deployment/kube-system/coredns",
}

// stoppedHop is a run from v1.34.4 that recorded what a way back of the hop needs.
func stoppedHop(t testing.TB, c *catalog.Catalog, top topology, change func(*Policy), failing string) (Undone, Evidence, Policy) {
	t.Helper()
	p, policy := upgradePlan(t, c, top, change, "v1.35.4")
	u, now := stopped(t, p, failing)
	return u, Evidence{Facts: &now, Recorded: recordedBefore, Stored: &cluster.Stored{}}, policy
}

func TestRollbackOfAHopGolden(t *testing.T) {
	c := load(t)
	balanced := func(p *Policy) {
		p.LoadBalancer = LoadBalancer{Drain: []string{"lbctl", "drain", "{node}"}, Restore: []string{"lbctl", "restore", "{address}"}}
	}
	for name, tc := range map[string]struct {
		failing string
		top     topology
		change  func(*Policy)
	}{
		"hop-complete":     {"", topology{3, 2, "v1.34.4", ""}, balanced},
		"hop-half-way":     {"1.35/control-plane/cp-2/kubelet", topology{3, 2, "v1.34.4", ""}, nil},
		"hop-one-and-one":  {"1.35/workers/w-1/kubelet", topology{1, 1, "v1.34.4", ""}, nil},
		"hop-first-server": {"1.35/control-plane/cp-1/apply", topology{3, 1, "v1.34.4", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			u, e, policy := stoppedHop(t, c, tc.top, tc.change, tc.failing)
			e.Losses = map[plan.Scope][]plan.Loss{plan.ScopeHop: {{Kind: plan.LossField, Resource: "CSIDriver.storage.k8s.io", Name: "vault", Detail: "spec.serviceAccountTokenInSecrets"}}}
			back := takeHopBack(t, u, e, c, policy)
			if len(back.Rollback.Losses) != 1 {
				t.Errorf("losses %v", back.Rollback.Losses)
			}
			golden(t, "rollback-"+name+".plan.txt", []byte(outline(back)+arguments(back)))
		})
	}
}

func takeHopBack(t testing.TB, u Undone, e Evidence, c *catalog.Catalog, policy Policy) plan.Plan {
	t.Helper()
	w := wayOf(Ways(u, e, c), plan.ScopeHop)
	back, err := Rollback(u, e, w, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Verify(&back); err != nil {
		t.Error(err)
	}
	checkBack(t, &back, u)
	checkHopBack(t, &back, u)
	return back
}

// checkHopBack plays a way back of a hop and holds every moment of it to the laws.
func checkHopBack(t testing.TB, p *plan.Plan, u Undone) {
	t.Helper()
	kubelets, servers := map[string]cluster.Version{}, map[string]cluster.Version{}
	for _, n := range newState(&p.Facts).nodes {
		kubelets[n.Name] = n.Kubelet
		if n.Role == cluster.ControlPlane {
			servers[n.Name] = n.control
		}
	}
	started := map[string]cluster.Version{}
	for _, n := range newState(&u.Plan.Facts).nodes {
		started[n.Name] = n.kubelet
	}
	configs, fetched, looked := false, map[string]bool{}, 0
	p.Steps(func(h *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		switch {
		case s.Kind == plan.KindObjects:
			configs = configs || strings.Contains(s.Args["objects"], "kubeadm-config") && strings.Contains(s.Args["objects"], "kubelet-config")
			if !configs {
				t.Errorf("%s comes before kubeadm's and the kubelets' configuration", s.ID)
			}
		case s.Kind == plan.KindFetch:
			fetched[s.Node] = true
		case s.Kind == plan.KindPackages:
			if !configs || !fetched[s.Node] {
				t.Errorf("%s runs before the configuration went back (%v) or without a download (%v)", s.ID, configs, fetched[s.Node])
			}
		case st.Name == plan.EtcdStage, s.Args["component"] == plan.ComponentEtcd, s.Kind == plan.KindRejoin:
			t.Errorf("%s touches etcd", s.ID)
		}
		if k, v, moves := effect(h, s); moves {
			switch k.what {
			case effectKubelet:
				kubelets[k.node] = v
			case effectControlPlane:
				servers[k.node] = v
			}
			if s.Mutates && !configs {
				t.Errorf("%s runs before the configuration went back", s.ID)
			}
		}
		if slices.Contains(s.Before, gate("objects-kept", "", u.Line())) {
			looked++
		}
		if s.Args["component"] == plan.ComponentControlPlane && looked != 1 {
			t.Errorf("%s: objects were looked through %d times before it", s.ID, looked)
		}
		for node, kubelet := range kubelets {
			for of, server := range servers {
				if server.Line().Less(kubelet.Line()) {
					t.Errorf("after %s the kubelet of %s is at %s and the API server of %s at %s", s.ID, node, kubelet, of, server)
				}
			}
		}
		return true
	})
	if looked > 1 || p.Rollback.Schema == nil || p.Rollback.Schema.Hop != u.Line() {
		t.Errorf("objects are looked through %d times, held against %+v", looked, p.Rollback.Schema)
	}
	for node, v := range kubelets {
		if v != started[node] {
			t.Errorf("the kubelet of %s ends at %s, before it was at %s", node, v, started[node])
		}
	}
	for node, v := range servers {
		if v != p.Hops[0].To {
			t.Errorf("the API server of %s ends at %s", node, v)
		}
	}
	if !slices.ContainsFunc(p.Notices, func(n plan.Notice) bool { return strings.Contains(n.Text, "not supported upstream") }) {
		t.Error("the plan does not say that this is not supported upstream")
	}
}

// without takes what a run recorded under a name away.
func without(name string) func(*Undone, *Evidence) {
	return func(u *Undone, _ *Evidence) {
		u.State.Artefacts = slices.DeleteFunc(u.State.Artefacts, func(a journal.Artefact) bool { return a.Name == name })
	}
}

func TestWaysOfAHop(t *testing.T) {
	c := load(t)
	three := topology{3, 2, "v1.34.4", ""}
	for name, tc := range map[string]struct {
		change func(*Undone, *Evidence)
		why    string
	}{
		"complete":     {nil, ""},
		"no API":       {func(_ *Undone, e *Evidence) { e.Facts = nil }, "the API does not answer"},
		"single nodes": {func(_ *Undone, e *Evidence) { e.Wanted = []string{"w-1"} }, "single nodes were asked for"},
		"another CA":   {func(_ *Undone, e *Evidence) { e.Facts.Identity.CA = "sha256:ff" }, "CA was replaced"},
		"etcd's minor": {func(_ *Undone, e *Evidence) { e.Facts.Etcd.Members[1].Version = cluster.MustParseVersion("3.7.0") }, "etcd on cp-2 is at 3.7 and was at 3.6"},
		"etcd agreed":  {func(_ *Undone, e *Evidence) { e.EtcdCluster = cluster.MustParseVersion("3.7.0") }, "agreed on 3.7"},
		"not recorded": {without(ArtefactObjects), "did not record kubeadm's configuration"},
		"no schema":    {without(ArtefactSchema), "did not record what the API served before hop 1.35"},
		"no config":    {func(_ *Undone, e *Evidence) { e.Recorded = e.Recorded[:2] }, "no configuration of kubeadm"},
		"no backup":    {without(ArtefactBackup), "no backup of node"},
		"unknown pins": {func(u *Undone, _ *Evidence) { u.Plan.Facts.Node("w-2").Host = nil }, "which kubeadm node w-2 had"},
		"the edges": {func(_ *Undone, e *Evidence) {
			e.Refused = map[plan.Scope]string{plan.ScopeHop: "etcd has what cannot be read"}
		}, "cannot be read"},
		"store unseen": {func(_ *Undone, e *Evidence) { e.Stored = nil }, "could not be looked at"},
		"store of 1.35": {func(_ *Undone, e *Evidence) {
			e.Stored.Kinds = []cluster.StoredKind{{StoredPath: cluster.StoredPath{Count: 2, Examples: []string{"vac"}}, Group: "scheduling.k8s.io", Version: "v1alpha1", Kind: "Workload"}}
		}, "etcd has 2 objects as scheduling.k8s.io/v1alpha1 Workload (vac), which API servers of v1.34.4 cannot read"},
		"a custom resource of that name": {func(_ *Undone, e *Evidence) {
			e.Stored.Kinds = []cluster.StoredKind{{StoredPath: cluster.StoredPath{Count: 2}, Group: "scheduling.k8s.io", Version: "v1alpha1", Kind: "Workload"}}
			e.Stored.Definitions = []cluster.StoredDefinition{{Group: "scheduling.k8s.io", Kind: "Workload"}}
		}, ""},
		"a node joined": {func(_ *Undone, e *Evidence) {
			n := *e.Facts.Node("w-1")
			n.Name = "w-9"
			e.Facts.Nodes = append(e.Facts.Nodes, n)
		}, "the kubelet of node w-9 is at v1.35.4"},
		"an old node joined": {func(_ *Undone, e *Evidence) {
			n := *e.Facts.Node("w-1")
			host := *n.Host
			host.Kubelet = cluster.MustParseVersion("v1.34.4")
			n.Name, n.Kubelet, n.Host = "w-9", host.Kubelet, &host
			e.Facts.Nodes = append(e.Facts.Nodes, n)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u, e, _ := stoppedHop(t, c, three, nil, "")
			if tc.change != nil {
				tc.change(&u, &e)
			}
			w := wayOf(Ways(u, e, c), plan.ScopeHop)
			if (tc.why == "") != w.Open() || !strings.Contains(w.Why, tc.why) {
				t.Errorf("why %q, want %q", w.Why, tc.why)
			}
		})
	}
}

// A hop that brought another minor of etcd does not go back this way.
func TestAHopWithANewEtcdKeepsNoData(t *testing.T) {
	c := load(t)
	p, _ := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	u, now := stopped(t, p, "")
	for i := range now.Etcd.Members {
		now.Etcd.Members[i].Version = cluster.MustParseVersion("3.6.5")
	}
	if w := wayOf(Ways(u, Evidence{Facts: &now, Recorded: recordedBefore, Stored: &cluster.Stored{}}, c), plan.ScopeHop); w.Open() || !strings.Contains(w.Why, "was at 3.5") {
		t.Errorf("%+v", w)
	}
}

// From wherever a hop stops, its way back keeps the laws.
func FuzzRollbackOfAHop(f *testing.F) {
	c := load(f)
	f.Add(uint16(0), uint8(3), uint8(2))
	f.Add(uint16(30), uint8(1), uint8(4))
	f.Add(uint16(65535), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, at uint16, controlPlanes, workers uint8) {
		top := topology{int(controlPlanes)%3 + 1, int(workers) % 5, "v1.34.4", ""}
		p, _ := upgradePlan(t, c, top, nil, "v1.35.4")
		var mutating []string
		p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
			if s.Mutates && st.Name != plan.WorkloadStage {
				mutating = append(mutating, s.ID)
			}
			return true
		})
		u, e, policy := stoppedHop(t, c, top, nil, mutating[int(at)%len(mutating)])
		takeHopBack(t, u, e, c, policy)
	})
}

// Etcd stays when a hop goes back: the plan says the version that it stays at.
func TestEtcdOfAHopThatGoesBack(t *testing.T) {
	c := load(t)
	u, e, policy := stoppedHop(t, c, topology{3, 2, "v1.34.4", "v3.6.5"}, nil, "")
	stays := cluster.MustParseVersion("v3.6.6")
	for i := range e.Facts.Etcd.Members {
		e.Facts.Etcd.Members[i].Version = stays
	}
	if back := takeHopBack(t, u, e, c, policy); back.Hops[0].Etcd != stays {
		t.Errorf("etcd %s, which stays at %s", back.Hops[0].Etcd, stays)
	}
}
