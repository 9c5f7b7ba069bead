package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// stopped plays a plan until the step of that id, which fails, and gives the run as its
// journal tells of it and the cluster as it then is. An empty id: all of it is done.
func stopped(t testing.TB, p plan.Plan, failing string) (Undone, cluster.Facts) {
	t.Helper()
	u := Undone{Run: "20261121-090000-abcdef", Plan: &p, State: journal.State{Steps: map[string]journal.StepState{}}}
	now := copyFacts(t, p.Facts)
	over := false
	p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		st := journal.StepState{Attempt: 1, Outcome: journal.Done}
		if s.ID == failing {
			st.Outcome, over = journal.Failed, true
		} else {
			play(&now, h, s)
		}
		u.State.Steps[s.ID] = st
		if s.Kind == plan.KindBackup && !over {
			u.State.Artefacts = append(u.State.Artefacts, journal.Artefact{
				Name: ArtefactBackup, Hop: s.Args["hop"], Node: s.Node, Digest: "sha256:" + strings.Repeat("0", 64),
				Path: "/var/lib/kup/" + u.Run + "/backup/" + s.Args["hop"] + ".tar",
			})
		}
		if s.Kind == plan.KindBaseline && !over {
			u.State.Artefacts = append(u.State.Artefacts, journal.Artefact{
				Name: ArtefactObjects, Hop: s.Args["hop"], Path: "/state/" + u.Run + "/objects-" + s.Args["hop"] + ".json", Digest: "sha256:0b",
			}, journal.Artefact{
				Name: ArtefactSchema, Hop: s.Args["hop"], Path: "/state/" + u.Run + "/schema-" + s.Args["hop"] + ".json.gz", Digest: "sha256:0c",
			})
		}
		if s.Kind == plan.KindCordon {
			now.Node(s.Node).Cordoned = true
		}
		if s.Kind == plan.KindUncordon {
			now.Node(s.Node).Cordoned = false
		}
		return !over
	})
	if failing != "" && !over {
		t.Fatalf("the plan has no step %s", failing)
	}
	return u, now
}

func upgradePlan(t testing.TB, c *catalog.Catalog, top topology, change func(*Policy), target ...string) (plan.Plan, Policy) {
	t.Helper()
	targets := versions(target...)
	policy := testPolicy(targets...)
	if change != nil {
		change(&policy)
	}
	p, err := Build(top.facts(c), targets, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	return p, policy
}

func wayOf(ways []Way, scope plan.Scope) Way {
	for _, w := range ways {
		if w.Scope == scope {
			return w
		}
	}
	return Way{Scope: scope, Why: "not offered"}
}

func TestRollbackGolden(t *testing.T) {
	c := load(t)
	three := topology{3, 2, "v1.33.13", "v3.5.26"}
	balanced := func(p *Policy) {
		p.LoadBalancer = LoadBalancer{Drain: []string{"lbctl", "drain", "{node}"}, Restore: []string{"lbctl", "restore", "{address}"}}
	}
	for _, tc := range []struct {
		name, failing string
		top           topology
		change        func(*Policy)
	}{
		{"node-worker-kubelet", "1.34/workers/w-1/kubelet", three, nil},
		{"node-worker-drain", "1.34/workers/w-2/drain", three, nil},
		{"node-components", "1.34/control-plane/cp-2/node", three, balanced},
		{"node-only-control-plane", "1.34/control-plane/cp-1/apply", topology{1, 1, "v1.33.13", "v3.5.26"}, nil},
		{"node-control-plane-kubelet", "1.34/control-plane/cp-3/kubelet", three, balanced},
		{"node-etcd-member", "1.34/etcd/cp-3/etcd", three, balanced},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, policy := upgradePlan(t, c, tc.top, tc.change, "v1.34.4")
			u, now := stopped(t, p, tc.failing)
			e := Evidence{Facts: &now, Recorded: recordedBefore}
			w := wayOf(Ways(u, e, c), plan.ScopeNode)
			back, err := Rollback(u, e, w, c, policy)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Verify(&back); err != nil {
				t.Error(err)
			}
			checkBack(t, &back, u)
			golden(t, "rollback-"+tc.name+".plan.txt", []byte(outline(back)+arguments(back)))
		})
	}
}

// arguments are the args of the steps that only a rollback has.
func arguments(p plan.Plan) string {
	var b strings.Builder
	b.WriteString("\narguments\n")
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		switch s.Kind {
		case plan.KindFiles, plan.KindUnit, plan.KindRejoin, plan.KindReopen, plan.KindPackages, plan.KindCordon, plan.KindObjects:
			for _, k := range slices.Sorted(func(yield func(string) bool) {
				for k := range s.Args {
					if !yield(k) {
						return
					}
				}
			}) {
				fmt.Fprintf(&b, "  %s %s=%s\n", s.ID, k, strings.ReplaceAll(s.Args[k], "\n", " "))
			}
		default:
		}
		return true
	})
	return b.String()
}

func TestWaysOfANode(t *testing.T) {
	c := load(t)
	three := topology{3, 2, "v1.33.13", "v3.5.26"}
	old, newer := cluster.MustParseVersion("3.5.0"), cluster.MustParseVersion("3.6.0")
	for name, tc := range map[string]struct {
		failing string
		top     topology
		change  func(*Undone, *Evidence)
		nodes   string
		why     string // a part of it
	}{
		"a worker in the middle":       {"1.34/workers/w-1/kubelet", three, nil, "w-1", ""},
		"done":                         {"", three, nil, "", "no node is in the middle"},
		"an add-on":                    {"1.34/addons/cp-1/coredns", three, nil, "", "no node is in the middle"},
		"the first API server":         {"1.34/control-plane/cp-1/apply", three, nil, "cp-1", ""},
		"the first, nothing recorded":  {"1.34/control-plane/cp-1/apply", three, func(_ *Undone, e *Evidence) { e.Recorded = nil }, "cp-1", "has no configuration of kubeadm"},
		"the second, nothing recorded": {"1.34/control-plane/cp-2/node", three, func(_ *Undone, e *Evidence) { e.Recorded = nil }, "cp-2", ""},
		"all that have moved":          {"1.34/control-plane/cp-2/node", three, func(_ *Undone, e *Evidence) { e.Wanted = []string{"cp-1", "cp-2"} }, "cp-1 cp-2", "that of node cp-1 served at it"},
		"a member, others of before":   {"1.34/etcd/cp-2/etcd", three, nil, "cp-2", ""},
		"the last member, unknown":     {"1.34/etcd/cp-1/etcd", three, nil, "cp-1", "no member of before is left"},
		"the last member, agreed new":  {"1.34/etcd/cp-1/etcd", three, func(_ *Undone, e *Evidence) { e.EtcdCluster = newer }, "cp-1", "no member of before is left"},
		"the last member, never there": {"1.34/etcd/cp-1/etcd", three, func(_ *Undone, e *Evidence) { e.EtcdCluster = old }, "cp-1", ""},
		"the only member":              {"1.34/etcd/cp-1/etcd", topology{1, 1, "v1.33.13", "v3.5.26"}, nil, "cp-1", "no member of before is left"},
		"no backup":                    {"1.34/workers/w-1/kubelet", three, func(u *Undone, _ *Evidence) { u.State.Artefacts = nil }, "w-1", "no backup of node w-1"},
		"no backup is needed":          {"1.34/workers/w-1/drain", three, func(u *Undone, _ *Evidence) { u.State.Artefacts = nil }, "w-1", ""},
		"the node is gone": {"1.34/workers/w-2/kubelet", three, func(_ *Undone, e *Evidence) {
			e.Facts.Nodes = e.Facts.Nodes[:4]
		}, "w-2", "not in the cluster"},
		"packages were not seen": {"1.34/workers/w-1/kubelet", three, func(u *Undone, _ *Evidence) { u.Plan.Facts.Node("w-1").Host = nil }, "w-1", "which kubeadm node w-1 had"},
		"another CA":             {"1.34/workers/w-1/kubelet", three, func(_ *Undone, e *Evidence) { e.Facts.Identity.CA = "sha256:ff" }, "w-1", "CA was replaced"},
		"the edges refuse": {"1.34/workers/w-1/kubelet", three, func(_ *Undone, e *Evidence) {
			e.Refused = map[plan.Scope]string{plan.ScopeNode: "w-1 does not answer"}
		}, "", "w-1 does not answer"},
		"asked for a node that is done":                {"1.34/workers/w-2/kubelet", three, func(_ *Undone, e *Evidence) { e.Wanted = []string{"w-1"} }, "w-1", ""},
		"asked for an untouched node":                  {"1.34/control-plane/cp-2/node", three, func(_ *Undone, e *Evidence) { e.Wanted = []string{"w-1"} }, "", "changed nothing on node w-1"},
		"asked for an API server below newer kubelets": {"1.34/workers/w-1/kubelet", three, func(_ *Undone, e *Evidence) { e.Wanted = []string{"cp-2"} }, "cp-2", "must not be newer than the API server of node cp-2"},
		"an API server below a node that joined": {"1.34/control-plane/cp-2/node", three, func(_ *Undone, e *Evidence) {
			joined := *e.Facts.Node("w-1")
			joined.Name, joined.Kubelet = "w-9", cluster.MustParseVersion("v1.34.4")
			e.Facts.Nodes = append(e.Facts.Nodes, joined)
		}, "cp-2", "the kubelet of node w-9 is at v1.34.4 already"},
		"asked for one before kubelets moved": {"1.34/control-plane/cp-3/node", three, func(_ *Undone, e *Evidence) { e.Wanted = []string{"cp-2"} }, "cp-2", ""},
		"no API, a worker":                    {"1.34/workers/w-1/kubelet", three, func(_ *Undone, e *Evidence) { e.Facts = nil }, "w-1", "the API does not answer"},
		"no API, its only server":             {"1.34/control-plane/cp-1/apply", topology{1, 1, "v1.33.13", "v3.5.26"}, func(_ *Undone, e *Evidence) { e.Facts = nil }, "cp-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, policy := upgradePlan(t, c, tc.top, nil, "v1.34.4")
			u, now := stopped(t, p, tc.failing)
			e := Evidence{Facts: &now, Recorded: recordedBefore}
			if tc.change != nil {
				tc.change(&u, &e)
			}
			w := wayOf(Ways(u, e, c), plan.ScopeNode)
			if got := strings.Join(w.Nodes, " "); got != tc.nodes {
				t.Errorf("nodes %q, want %q", got, tc.nodes)
			}
			if (tc.why == "") != w.Open() || !strings.Contains(w.Why, tc.why) {
				t.Errorf("why %q, want %q", w.Why, tc.why)
			}
			back, err := Rollback(u, e, w, c, policy)
			var refused *RollbackError
			if w.Open() {
				if err != nil {
					t.Fatal(err)
				}
				checkBack(t, &back, u)
			} else if !errors.As(err, &refused) || !strings.Contains(refused.Detail, tc.why) {
				t.Errorf("a way that is closed was laid out: %v", err)
			}
		})
	}
}

// Where workers go side by side and several fail, those go back whose steps failed; one that
// only stopped at a step boundary beside them stays, and is named.
func TestOnlyFailedNodesGoBack(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 4, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	for _, tt := range []struct{ failed, want, stay string }{
		{"", "w-1 w-2 w-3", ""},
		{"w-3", "w-3", "stay w-1, w-2:"},
		{"w-1 w-3", "w-1 w-3", "stay w-2:"},
		{"w-4", "", ""}, // its first step was not begun
	} {
		u, now := stopped(t, p, "1.34/workers/w-3/kubelet")
		for _, node := range []string{"w-1", "w-2"} {
			u.leaves(node, "1.34/workers/"+node+"/kubeadm")
		}
		e := Evidence{Facts: &now, Failed: strings.Fields(tt.failed)}
		w := wayOf(Ways(u, e, c), plan.ScopeNode)
		if got := strings.Join(w.Nodes, " "); got != tt.want || w.Open() != (tt.want != "") {
			t.Errorf("%q failed: %q go back (%s), want %q", tt.failed, got, w.Why, tt.want)
		}
		if !w.Open() {
			continue
		}
		back, err := Rollback(u, e, w, c, policy)
		if err != nil {
			t.Fatal(err)
		}
		checkBack(t, &back, u)
		for _, id := range reopened(&back) {
			if node := strings.Split(id, "/")[2]; !slices.Contains(w.Nodes, node) {
				t.Errorf("%q failed: step %s no longer stands", tt.failed, id)
			}
		}
		said := fmt.Sprint(back.Notices)
		if (tt.stay == "") == strings.Contains(said, "stay ") || !strings.Contains(said, tt.stay) {
			t.Errorf("%q failed: %s", tt.failed, said)
		}
	}
}

// leaves makes a lane one that stopped before a step.
func (u Undone) leaves(node, before string) {
	over := false
	u.Plan.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if over = over || s.ID == before; over && s.Node == node && st.Name == plan.Workers {
			delete(u.State.Steps, s.ID)
		}
		return true
	})
}

// What was before a later hop is what the hop before it brought, and a worker's hop of
// before may be several minors away.
func TestWhatWasBeforeALaterHop(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, func(p *Policy) { p.Workers = Fewest }, "v1.34.4", "v1.35.4", "v1.36.3")
	u, now := stopped(t, p, "1.36/workers/w-1/kubelet")
	e := Evidence{Facts: &now, Recorded: recordedBefore}
	back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeNode), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	checkBack(t, &back, u)
	if h := back.Hops[0]; h.From.String() != "v1.36.3" || h.To.String() != "v1.35.4" || h.Etcd.String() != "v3.6.6" {
		t.Errorf("the hop goes from %s to %s, etcd %s", h.From, h.To, h.Etcd)
	}
	pins := map[string]string{}
	back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindPackages {
			pins[s.Args["version"]] = s.Args["packages"] + " " + s.Args["repository"]
		}
		if s.Kind == plan.KindFiles && !strings.HasSuffix(s.Args["archive"], "/1.36.tar") {
			t.Errorf("%s puts back %s", s.ID, s.Args["archive"])
		}
		return true
	})
	for v, want := range map[string]string{"v1.35.4": "kubeadm=1.35.4-1.1", "v1.33.13": "kubelet=1.33.13-1.1"} {
		if !strings.HasPrefix(pins[v], want) {
			t.Errorf("at %s: %q, want %q; all: %q", v, pins[v], want, pins)
		}
	}
}

func TestNothingToTakeBack(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	u, now := stopped(t, p, "1.34/prepare/w-1/images")
	e := Evidence{Facts: &now, Recorded: recordedBefore}
	if ways := Ways(u, e, c); len(ways) > 0 {
		t.Errorf("a run that only prepared has ways back: %v", ways)
	}
	var refused *RollbackError
	if _, err := Rollback(u, e, Way{Scope: plan.ScopeNode}, c, policy); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

// kubeadm 1.34 moves what it notes of a node's runtime from an annotation to a file: its
// predecessor finds it in the annotation only.
func TestTheRuntimeIsNotedWhereItWas(t *testing.T) {
	c := load(t)
	for failing, want := range map[string]string{
		"1.34/workers/w-1/kubelet":        "/etc/kubernetes/kubelet.conf",
		"1.34/workers/w-1/node":           "/etc/kubernetes/kubelet.conf",
		"1.34/control-plane/cp-2/kubelet": "/etc/kubernetes/admin.conf",
		"1.34/control-plane/cp-2/node":    "/etc/kubernetes/admin.conf",
		"1.34/workers/w-1/kubeadm":        "",
		"1.35/workers/w-1/kubelet":        "", // 1.34 has the file too
	} {
		p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4", "v1.35.4")
		u, now := stopped(t, p, failing)
		e := Evidence{Facts: &now, Recorded: recordedBefore}
		back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeNode), c, policy)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			if argv := plan.SplitArgv(s.Args["argv"]); s.Kind == plan.KindCommand {
				got = argv[2]
				if last := argv[len(argv)-1]; last != "kubeadm.alpha.kubernetes.io/cri-socket=unix:///run/containerd/containerd.sock" {
					t.Errorf("%s: %s", s.ID, last)
				}
			}
			return true
		})
		if got != want {
			t.Errorf("%s: with %q, want %q", failing, got, want)
		}
	}
}

// A node that was taken back is not taken back again.
func TestWhatWasReopenedIsNotTakenBackAgain(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	u, now := stopped(t, p, "1.34/workers/w-1/kubelet")
	e := Evidence{Facts: &now, Recorded: recordedBefore}
	back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeNode), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	u.State.Apply(journal.Record{Kind: journal.StepReopened, Run: "r", Steps: reopened(&back)})
	if w := wayOf(Ways(u, e, c), plan.ScopeNode); w.Open() || len(w.Nodes) > 0 {
		t.Errorf("the way is open again: %+v", w)
	}
}

func reopened(p *plan.Plan) []string {
	var out []string
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindReopen {
			out = strings.Split(s.Args["steps"], "\n")
		}
		return true
	})
	return out
}

// checkBack holds every plan of a rollback to its laws.
func checkBack(t testing.TB, p *plan.Plan, u Undone) {
	t.Helper()
	if err := plan.Validate(p); err != nil {
		t.Error(err)
	}
	checkAgreed(t, p, u)
	last := ""
	stopped := map[string]bool{}  // kubelets
	drained := map[string]bool{}  // nodes
	cordoned := map[string]bool{} // nodes
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		last = s.ID
		if len(p.Rollback.Nodes) > 0 && s.Node != "" && !slices.Contains(p.Rollback.Nodes, s.Node) {
			t.Errorf("%s touches a node that does not go back", s.ID)
		}
		switch s.Kind {
		case plan.KindCordon:
			cordoned[s.Node] = true
			if s.Args["found"] == "" {
				t.Errorf("%s takes the undone run's cordon for the owner's", s.ID)
			}
		case plan.KindUncordon:
			delete(cordoned, s.Node)
		case plan.KindDrain:
			drained[s.Node] = true
		case plan.KindUnit:
			stopped[s.Node] = s.Args["want"] == plan.UnitStopped
			if stopped[s.Node] && !drained[s.Node] {
				t.Errorf("%s stops the kubelet of a node that was not drained", s.ID)
			}
		case plan.KindPackages:
			if s.Args["downgrade"] != "true" || s.Args["restart"] != "" {
				t.Errorf("%s does not go back quietly: %v", s.ID, s.Args)
			}
			if strings.Contains(s.Args["packages"], "kubelet=") && !stopped[s.Node] {
				t.Errorf("%s replaces the kubelet while it runs", s.ID)
			}
		case plan.KindFiles:
			if s.Args["archive"] == "" || s.Args["digest"] == "" {
				t.Errorf("%s has no backup to put back: %v", s.ID, s.Args)
			}
			if strings.Contains(s.Args["paths"], etcdData) {
				t.Errorf("%s puts etcd's data back", s.ID)
			}
		case plan.KindReopen:
			for _, id := range strings.Split(s.Args["steps"], "\n") {
				if id != "" && !u.Begun(id) {
					t.Errorf("%s reopens %s, which was never begun", s.ID, id)
				}
			}
		default:
		}
		return true
	})
	if !strings.HasSuffix(last, "/reopen") {
		t.Errorf("the last step is %s", last)
	}
	for node := range cordoned {
		if u.Plan.Facts.Node(node) == nil || !u.Plan.Facts.Node(node).Cordoned {
			t.Errorf("%s is left cordoned", node)
		}
	}
	for node, still := range stopped {
		if still {
			t.Errorf("the kubelet of %s is left stopped", node)
		}
	}
}
