package drainsim

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// situation is a small cluster and what its drains come to.
type situation struct {
	name  string
	world *world
	waves string // "w-1 w-2, w-3": two waves; empty: every node alone
	want  string
}

func three() *world { return new(world).nodes("w-1", "w-2", "w-3") }

func both(changes ...func(*cluster.PodSpec)) func(*cluster.PodSpec) {
	return func(s *cluster.PodSpec) {
		for _, change := range changes {
			change(s)
		}
	}
}

func TestSimulate(t *testing.T) {
	for _, list := range [][]situation{budgetSituations(), drainSituations(), roomSituations(), ruleSituations()} {
		for _, tc := range list {
			t.Run(tc.name, func(t *testing.T) {
				waves := tc.world.oneByOne()
				if tc.waves != "" {
					waves = nil
					for wave := range strings.SplitSeq(tc.waves, ", ") {
						waves = append(waves, strings.Fields(wave))
					}
				}
				r := Simulate(&tc.world.Placement, waves, Options{Drain: tc.world.drain, UnreadyGo: !tc.world.old})
				if got, want := tc.world.tell(r), strings.TrimSpace(tc.want); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

func budgetSituations() []situation {
	ready := func(name string) func(*world) {
		return func(w *world) { w.pod(name, func(p *cluster.PlacedPod) { p.Ready = false }) }
	}
	with := func(w *world, changes ...func(*world)) *world {
		for _, change := range changes {
			change(w)
		}
		return w
	}
	return []situation{
		{"no budget, pods move on", three().pods("Deployment", "web", nil, "w-1", "w-2"), "", "evicted 3"},
		{"a budget with one to spare", three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), "", "evicted 4"},
		{"a budget keeps two on one node apart in time", three().pods("Deployment", "web", nil, "w-1", "w-1").keeps("web", 1), "w-1", "evicted 2"},
		{"a budget that never allows", three().pods("Deployment", "web", nil, "w-1", "w-2").keeps("web", 2), "", `
web-0 stuck at w-1: never
web-1 stuck at w-2: never
evicted 0`},
		{"one pod, which must stay", three().pods("Deployment", "web", nil, "w-2").keeps("web", 1), "", "web-0 stuck at w-2: never\nevicted 0"},
		{"too few are ready", with(three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), ready("web-2")), "w-1", `
web-0 stuck at w-1: unready
evicted 0`},
		{"the one that is not ready may go", with(three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), ready("web-2")), "w-3", "evicted 1"},
		{"but not before 1.20", with(three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), ready("web-2"), func(w *world) { w.old = true }), "w-3", `
web-2 stuck at w-3: unready
evicted 0`},
		{"nor when the ready ones are too few", with(three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), ready("web-2"), ready("web-1")), "w-3", `
web-2 stuck at w-3: unready
evicted 0`},
		{"unless the budget always lets it", with(three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 2), ready("web-2"), ready("web-1"), func(w *world) { w.Budgets[0].AlwaysAllow = true }), "w-3", "evicted 1"},
		{"a pod that has not started may go", with(three().pods("Deployment", "web", nil, "w-1", "w-2").keeps("web", 2), ready("web-0"), func(w *world) { w.Pods[0].Phase = cluster.PodPending }), "w-1", "evicted 1"},
		{"two budgets for one pod", three().pods("Deployment", "web", nil, "w-1", "w-2", "w-3").keeps("web", 1).keeps("web", 1), "w-1", `
web-0 stuck at w-1: several budgets
evicted 0`},
		{"a budget that cannot be computed", with(three().pods("Deployment", "web", nil, "w-1", "w-2").keeps("web", 1), func(w *world) { w.Budgets[0].Failing = "no controllers found" }), "w-1", `
web-0 stuck at w-1: failing
evicted 0`},
		{"a budget for nothing", with(three().pods("Deployment", "web", nil, "w-1", "w-2").keeps("web", 2), func(w *world) { w.Budgets[0].Nothing = true }), "w-1", "evicted 1"},
		{"a budget of another namespace", with(three().pods("Deployment", "web", nil, "w-1", "w-2").keeps("web", 2), func(w *world) { w.Budgets[0].Namespace = "other" }), "w-1", "evicted 1"},
		{"a budget waits for what found no room", new(world).nodes("w-1", "w-2").pods("Deployment", "web", cores(1800), "w-1", "w-1", "w-2").pods("Deployment", "fill", cores(1000), "w-2").keeps("web", 2), "w-1", `
web-1 stuck at w-1: no place (of 2 nodes 1 is drained at the time, 1 is short of cpu)
web-0 of w-1 waits, back true: of 2 nodes 1 is drained at the time, 1 is short of cpu; 600m more cpu on w-2
evicted 1`},
		{"in one wave the second waits for the first", three().pods("StatefulSet", "db", apart("db", "host"), "w-1", "w-2", "w-3").keeps("db", 2), "w-1 w-2, w-3", `
db-0 of w-1 waits, back true: of 3 nodes 2 are drained at the time, 1 has pods it must not run beside
db-1 of w-2 waits, back true: of 3 nodes 2 are drained at the time, 1 has pods it must not run beside
db-2 of w-3 waits, back true: of 3 nodes 1 is drained at the time, 2 have pods it must not run beside
evicted 3`},
	}
}

func drainSituations() []situation {
	daemon := three().pods("DaemonSet", "agent", nil, "w-1", "w-2", "w-3").keeps("agent", 3)
	static := three().pods("Node", "etcd", nil, "w-1")
	static.Pods[0].Mirror = true
	done := three().pods("Job", "batch", nil, "w-1").pods("", "once", nil, "w-1").pods("DaemonSet", "agent", nil, "w-1")
	for i := range done.Pods {
		done.Pods[i].Phase, done.Pods[i].Ready = cluster.PodFinished, false
	}
	forced := three().pods("", "bare", nil, "w-1")
	forced.drain = func(string) Drain { return Drain{Force: true} }
	data := three().pods("Deployment", "web", func(s *cluster.PodSpec) { s.EmptyDir = true }, "w-1", "w-2").pods("Deployment", "other", nil, "w-1")
	data.drain = func(node string) Drain { return Drain{DeleteEmptyDirData: node != "w-1"} }
	foreign := three().pods("Cluster", "pg", func(s *cluster.PodSpec) { s.Scheduler, s.Claims = "volcano", true }, "w-1")
	return []situation{
		{"DaemonSets stay", daemon, "", "evicted 0"},
		{"static pods stay", static, "", "evicted 0"},
		{"what has ended goes", done, "", "evicted 3"},
		{"a bare pod keeps the drain from starting", three().pods("", "bare", nil, "w-1").pods("Deployment", "web", nil, "w-1"), "", "w-1 refused: bare [bare-0] data []\nevicted 0"},
		{"a bare pod is lost when forced", forced, "", "lost: [bare-0]\nevicted 1"},
		{"data that may not be lost", data, "", "w-1 refused: bare [] data [web-0]\nevicted 2"},
		{"a node that is not there", three().pods("Deployment", "web", nil, "w-1"), "w-9", "evicted 0"},
		{"all replicas on one node", three().pods("Deployment", "dns", nil, "w-1", "w-1"), "w-1", "all 2 of dns at once: w-1\nevicted 2"},
		{"all replicas in one wave", three().pods("Deployment", "dns", nil, "w-1", "w-2"), "w-1 w-2", "all 2 of dns at once: w-1 w-2\nevicted 2"},
		{"a single replica is no surprise", three().pods("Deployment", "one", nil, "w-1"), "w-1", "evicted 1"},
		{"a pod that tolerates the cordon", three().pods("Deployment", "operator", func(s *cluster.PodSpec) { s.Tolerations = []cluster.Toleration{{Operator: "Exists"}} }, "w-1"), "w-1", `
may return: [operator-0]
evicted 1`},
		{"what the model cannot know", foreign, "w-1", `
limit: 1 pods are scheduled by volcano, whose rules are not known: they were placed by the default scheduler's
limit: 1 pods belong to controllers of kind Cluster: they were taken to make a pod again as soon as one is evicted
limit: 1 pods ask for devices by resource claims, which were not looked at
evicted 1`},
	}
}

func roomSituations() []situation {
	cordoned := three().pods("Deployment", "web", cores(3000), "w-1", "w-2")
	cordoned.node("w-3").Cordoned = true
	away := three().pods("Deployment", "web", cores(3000), "w-1", "w-2")
	away.node("w-3").Ready = false
	crowded := new(world).nodes("w-1", "w-2").pods("Deployment", "web", cores(10), "w-1")
	crowded.node("w-2").Allocatable.Pods = 1
	crowded.pods("Deployment", "fill", cores(10), "w-2")
	gpu := three().pods("Deployment", "train", func(s *cluster.PodSpec) { s.Requests.Extended = []int64{1} }, "w-1")
	gpu.Extended = []string{"nvidia.com/gpu"}
	gpu.node("w-1").Allocatable.Extended = []int64{1}
	important := new(world).nodes("w-1", "w-2").
		pods("Deployment", "low", cores(3000), "w-1").
		pods("Deployment", "high", both(cores(3000), func(s *cluster.PodSpec) { s.Priority = 10 }), "w-1")
	important.node("w-1").Allocatable.MilliCPU = 8000
	overdrawn := new(world).nodes("w-1", "w-2").pods("Deployment", "web", cores(0), "w-1").pods("Deployment", "fill", cores(5000), "w-2")
	overdrawn.Specs[0].Requests.Memory = 1
	return []situation{
		{"room for all", three().pods("Deployment", "web", cores(1000), "w-1", "w-1", "w-2", "w-3"), "", "evicted 6"},
		{"no room while the node is away", new(world).nodes("w-1", "w-2").pods("Deployment", "web", cores(3000), "w-1", "w-2"), "", `
web-0 of w-1 waits, back true: of 2 nodes 1 is drained at the time, 1 is short of cpu; 2000m more cpu on w-2
web-1 of w-2 waits, back true: of 2 nodes 1 is drained at the time, 1 is short of cpu; 2000m more cpu on w-1
evicted 2`},
		{"a cordoned node takes none", cordoned, "w-1", `
web-0 of w-1 waits, back true: of 3 nodes 1 is cordoned, 1 is drained at the time, 1 is short of cpu; 2000m more cpu on w-2
evicted 1`},
		{"nor does one that is not Ready", away, "w-1", `
web-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 1 is not Ready, 1 is short of cpu; 2000m more cpu on w-2
evicted 1`},
		{"too many pods", crowded, "w-1", `
web-0 of w-1 waits, back true: of 2 nodes 1 is drained at the time, 1 has all the pods it may have; room for one more pod on w-2
evicted 1`},
		{"other resources", gpu, "w-1", `
train-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 2 are short of other resources; more nvidia.com/gpu on w-2
evicted 1`},
		{"the important ones first", important, "w-1", `
low-0 of w-1 waits, back true: of 2 nodes 1 is drained at the time, 1 is short of cpu; 2000m more cpu on w-2
evicted 2`},
		{"what is not asked for may be overdrawn", overdrawn, "w-1", "evicted 1"},
	}
}

func ruleSituations() []situation {
	taint := cluster.Taint{Key: "dedicated", Value: "db", Effect: "NoSchedule"}
	tainted := three().pods("Deployment", "web", nil, "w-1").pods("Deployment", "db", func(s *cluster.PodSpec) {
		s.Tolerations = []cluster.Toleration{{Key: "dedicated", Value: "db"}}
	}, "w-1")
	tainted.node("w-2").Taints, tainted.node("w-3").Taints = []cluster.Taint{taint}, []cluster.Taint{taint}
	local := three().pods("StatefulSet", "db", nil, "w-1", "w-2")
	local.Volumes = []cluster.NodeSelector{{{Labels: is("host", "w-1")}}, {{Labels: is("host", "w-2")}}}
	local.Pods[0].Volume, local.Pods[1].Volume = 0, 1
	port := func(s *cluster.PodSpec) {
		s.HostPorts = []cluster.HostPort{{Protocol: "TCP", IP: "0.0.0.0", Port: 80}}
	}
	owner := three().pods("Deployment", "loner", apart("web", "host"), "w-1").pods("Deployment", "web", nil, "w-2")
	owner.node("w-3").Cordoned = true
	beside := three().pods("Deployment", "cache", nil, "w-1").pods("Deployment", "web", func(s *cluster.PodSpec) {
		s.Affinity = []cluster.AffinityTerm{{TopologyKey: "host", Selector: is("app", "cache"), Namespaces: []string{"shop"}}}
	}, "w-1")
	group := three().pods("Deployment", "ring", func(s *cluster.PodSpec) {
		s.Affinity = []cluster.AffinityTerm{{TopologyKey: "zone", Selector: is("app", "ring"), AllNamespaces: true}}
	}, "w-1", "w-1")
	even := func(w *world, key string, change func(*cluster.Spread), on ...string) *world {
		return w.pods("Deployment", "even", func(s *cluster.PodSpec) {
			c := cluster.Spread{TopologyKey: key, MaxSkew: 1, Selector: is("app", "even")}
			if change != nil {
				change(&c)
			}
			s.Spread = []cluster.Spread{c}
		}, on...)
	}
	gone := three().pods("Deployment", "old", onlyOn("role", "old"), "w-1")
	return []situation{
		{"taints and tolerations", tainted, "w-1", `
web-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 2 have taints it does not tolerate
evicted 2`},
		{"a selector that allows two nodes", three().pods("Deployment", "web", onlyOn("host", "w-1", "w-2"), "w-1"), "", "evicted 2"},
		{"a selector that no node meets any more", gone, "w-1", `
old-0 of w-1 waits, back false: of 3 nodes 3 are not what it selects
evicted 1`},
		{"a local volume waits for its node", local, "", `
db-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 2 are out of reach of its volumes
db-1 of w-2 waits, back true: of 3 nodes 1 is drained at the time, 2 are out of reach of its volumes
evicted 2`},
		{"a port of the node", three().pods("Deployment", "edge", port, "w-1", "w-2", "w-3"), "w-1", `
edge-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 2 have its host port taken
evicted 1`},
		{"one per node with a node to spare", three().pods("StatefulSet", "db", apart("db", "host"), "w-1", "w-2").keeps("db", 1), "", "evicted 3"},
		{"pods that others keep away from", owner, "w-2", `
web-0 of w-2 waits, back true: of 3 nodes 1 is cordoned, 1 is drained at the time, 1 has pods it must not run beside
evicted 1`},
		{"pods that must be together move together", beside, "w-1", "evicted 2"},
		{"a group that asks for itself starts anywhere", group, "w-1", "all 2 of ring at once: w-1\nevicted 2"},
		{"a spread over hosts counts the drained one", even(three(), "host", nil, "w-1", "w-2", "w-3"), "w-1", `
even-0 of w-1 waits, back true: of 3 nodes 1 is drained at the time, 2 are against its topology spread
evicted 1`},
		{"unless taints count", even(three(), "host", func(c *cluster.Spread) { c.HonorTaints = true }, "w-1", "w-2", "w-3"), "w-1", "evicted 1"},
		{"a spread over zones has room in its own", even(new(world).nodes("w-1", "w-2", "w-3", "w-4"), "zone", nil, "w-1", "w-2", "w-3"), "w-1", "evicted 1"},
		{"a spread with a wider skew", even(three(), "host", func(c *cluster.Spread) { c.MaxSkew = 2 }, "w-1", "w-2", "w-3"), "w-1", "evicted 1"},
		{"a spread over more domains than there are", even(three(), "host", func(c *cluster.Spread) { c.MinDomains = 5 }, "w-1"), "w-1", "evicted 1"},
	}
}
