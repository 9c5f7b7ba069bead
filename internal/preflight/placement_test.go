package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

// layout is a healthy placement for the cluster of [clean]: add-ons, Deployments
// of two and more, a StatefulSet of three with its budget.
type layout struct{ *cluster.Placement }

const (
	roleNow = "node-role.kubernetes.io/control-plane"
	roleOld = "node-role.kubernetes.io/master"
)

var patience = []cluster.Toleration{
	{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", Seconds: new(int64(300))},
	{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", Seconds: new(int64(300))},
}

func placed(in *Input) layout {
	p := layout{&cluster.Placement{}}
	in.Scan.Placement = p.Placement
	in.Waves = nil
	for i := range in.Facts.Nodes {
		n := &in.Facts.Nodes[i]
		node := cluster.PlacedNode{
			Name: n.Name, Ready: true, Labels: map[string]string{"kubernetes.io/hostname": n.Name},
			Allocatable: cluster.Resources{MilliCPU: 4000, Memory: 8 << 30, Ephemeral: 40 << 30, Pods: 110},
		}
		if n.Role == cluster.ControlPlane {
			node.Labels[roleNow] = ""
			node.Taints = []cluster.Taint{{Key: roleNow, Effect: "NoSchedule"}}
		}
		p.Nodes = append(p.Nodes, node)
		in.Waves = append(in.Waves, []string{n.Name})
	}
	anywhere := func(s *cluster.PodSpec) { s.Tolerations = []cluster.Toleration{{Operator: "Exists"}} }
	p.pods("DaemonSet", "kube-system", "kube-proxy", anywhere, "cp-1", "cp-2", "cp-3", "w-1", "w-2")
	p.pods("Deployment", "kube-system", "coredns", func(s *cluster.PodSpec) {
		s.Tolerations = append(slices.Clone(patience), cluster.Toleration{Key: "CriticalAddonsOnly", Operator: "Exists"}, cluster.Toleration{Key: roleNow, Effect: "NoSchedule"})
	}, "cp-1", "cp-2")
	p.pods("Deployment", "shop", "web", nil, "w-1", "w-2", "w-1")
	p.pods("Deployment", "shop", "api", nil, "w-1", "w-2")
	p.pods("StatefulSet", "shop", "db", nil, "w-1", "w-2", "w-2")
	p.budget("shop", "db", 2)
	for _, name := range []string{"cp-1", "cp-2", "cp-3"} {
		p.pods("Node", "kube-system", "kube-apiserver-"+name, func(s *cluster.PodSpec) {
			s.Tolerations = []cluster.Toleration{{Operator: "Exists", Effect: "NoExecute"}}
		}, name)
		p.Pods[len(p.Pods)-1].Mirror = true
	}
	return p
}

func (p layout) node(name string) *cluster.PlacedNode {
	return &p.Nodes[slices.IndexFunc(p.Nodes, func(n cluster.PlacedNode) bool { return n.Name == name })]
}

// pods adds a workload with a ready pod on each of the nodes; kind empty: without
// a controller.
func (p layout) pods(kind, namespace, name string, change func(*cluster.PodSpec), on ...string) {
	s := cluster.PodSpec{Requests: cluster.Resources{MilliCPU: 100, Memory: 128 << 20}, Tolerations: slices.Clone(patience)}
	if change != nil {
		change(&s)
	}
	p.Specs = append(p.Specs, s)
	p.LabelSets = append(p.LabelSets, map[string]string{"app": name})
	spec, controller := int32(len(p.Specs)-1), int32(-1)
	if kind != "" {
		controller = int32(len(p.Controllers))
		c := cluster.PodController{Kind: kind, Namespace: namespace, Name: name, Desired: int32(len(on)), Spec: -1}
		if kind == "DaemonSet" || kind == "Deployment" || kind == "StatefulSet" {
			c.Spec = spec
		}
		p.Controllers = append(p.Controllers, c)
	}
	for i, node := range on {
		p.Pods = append(p.Pods, cluster.PlacedPod{
			Namespace: namespace, Name: fmt.Sprintf("%s-%d", name, i), Controller: controller, Spec: spec, Labels: int32(len(p.LabelSets) - 1), Volume: -1, Ready: true,
			Node: int32(slices.IndexFunc(p.Nodes, func(n cluster.PlacedNode) bool { return n.Name == node })),
		})
	}
}

// budget wants so many ready pods of an app.
func (p layout) budget(namespace, app string, least int32) *cluster.PlacedBudget {
	b := cluster.PlacedBudget{
		Namespace: namespace, Name: fmt.Sprintf("%s-%d", app, len(p.Budgets)), MinAvailable: fmt.Sprint(least), Desired: least,
		Selector: cluster.Selector{{Key: "app", Operator: "In", Values: []string{app}}},
	}
	for i := range p.Pods {
		if p.Pods[i].Namespace == namespace && p.LabelSets[p.Pods[i].Labels]["app"] == app {
			b.Expected++
			if p.Pods[i].Ready {
				b.Healthy++
			}
		}
	}
	b.Allowed = max(0, b.Healthy-b.Desired)
	p.Budgets = append(p.Budgets, b)
	return &p.Budgets[len(p.Budgets)-1]
}

func (p layout) pod(name string) *cluster.PlacedPod {
	return &p.Pods[slices.IndexFunc(p.Pods, func(x cluster.PlacedPod) bool { return x.Name == name })]
}

func TestPlacementOfAHealthyCluster(t *testing.T) {
	in := clean(t)
	p := placed(&in)
	if got := Check(in); len(got) != 0 {
		t.Errorf("a healthy cluster has findings:\n%s", list(got))
	}
	p.pods("Deployment", "shop", "cron", nil, "w-1")
	p.pods("StatefulSet", "shop", "queue", func(s *cluster.PodSpec) { s.EmptyDir = true }, "w-1", "w-2")
	for _, f := range Check(in) {
		if f.Severity != Info {
			t.Errorf("habits of healthy clusters are told only:\n%s", list([]Finding{f}))
		}
	}
}

// TestPlacementIsBrief: many workloads of one kind of trouble make few lines.
func TestPlacementIsBrief(t *testing.T) {
	in := clean(t)
	p := placed(&in)
	for i := range 250 {
		name := fmt.Sprintf("app-%d", i)
		namespace := fmt.Sprintf("team-%d", i%3)
		p.pods("Deployment", namespace, name, func(s *cluster.PodSpec) {
			s.Requests, s.EmptyDir = cluster.Resources{MilliCPU: 1}, true
			s.Tolerations = nil
		}, "w-1")
		p.budget(namespace, name, 1)
		p.pods("", "bare-"+name, "once", func(s *cluster.PodSpec) { s.Requests = cluster.Resources{} }, "w-2")
	}
	for i := range p.Nodes {
		p.Nodes[i].Allocatable.Pods = 1000
	}
	got := Check(in)
	if len(got) > 9 {
		t.Errorf("%d findings:\n%s", len(got), list(got))
	}
	for _, f := range got {
		if text := f.Object + f.Why; len(text) > 600 {
			t.Errorf("a finding has %d characters: %s", len(text), text)
		}
	}
}

func TestSimulationsAreShared(t *testing.T) {
	in := clean(t)
	placed(&in)
	in.Path = path("v1.34.4", "v1.35.4", "v1.36.3")
	d := &drains{allow: Input.drainOf}
	hops := d.of(in)
	if len(hops) != 3 || hops[0].result == nil || hops[1].result != nil || hops[2].result != nil {
		t.Errorf("hops that change nothing are simulated again: %+v", hops)
	}
	if again := d.of(in); &again[0] != &hops[0] {
		t.Error("the drains are simulated for every rule")
	}
	at(&in, "v1.23.17", "v3.5.6")
	in.Path = path("v1.24.17", "v1.25.16", "v1.26.15")
	p := layout{in.Scan.Placement}
	for _, cp := range []string{"cp-1", "cp-2", "cp-3"} {
		p.node(cp).Labels[roleOld] = ""
		p.node(cp).Taints = []cluster.Taint{{Key: roleOld, Effect: "NoSchedule"}}
	}
	hops = (&drains{allow: Input.drainOf}).of(in)
	if hops[0].result == nil || hops[1].result == nil || hops[2].result != nil {
		t.Error("hops that change nodes are not simulated, or those that do not are")
	}
	var taints []string
	for _, h := range hops {
		taints = append(taints, fmt.Sprint(h.placement.Nodes[0].Taints))
	}
	if got := strings.Join(taints, " "); got != "[{"+roleOld+"  NoSchedule} {"+roleNow+"  NoSchedule}] [{"+roleNow+"  NoSchedule}] [{"+roleNow+"  NoSchedule}]" {
		t.Errorf("taints of a control plane: %s", got)
	}
	if _, kept := p.node("cp-1").Labels[roleOld]; !kept {
		t.Error("what was observed is changed")
	}
}

// TestWhatMayBeLost: kup.yaml decides, pool by pool.
func TestWhatMayBeLost(t *testing.T) {
	in := clean(t)
	p := placed(&in)
	p.pods("", "shop", "debug", nil, "w-1")
	p.pods("Deployment", "shop", "cache", func(s *cluster.PodSpec) { s.EmptyDir = true }, "w-1", "w-2")
	for name, tc := range map[string]struct {
		allow drainsim.Drain
		want  string
	}{
		"nothing":   {drainsim.Drain{}, "block pod shop/debug-0, block Deployment shop/cache"},
		"data":      {drainsim.Drain{DeleteEmptyDirData: true}, "block pod shop/debug-0"},
		"bare pods": {drainsim.Drain{Force: true}, "block Deployment shop/cache"},
		"both":      {drainsim.Drain{Force: true, DeleteEmptyDirData: true}, "warn pod shop/debug-0"},
	} {
		d := &drains{allow: func(Input, string) drainsim.Drain { return tc.allow }}
		var got []string
		for _, f := range d.checkLosses(in) {
			got = append(got, fmt.Sprintf("%s %s", cmp.Or(f.Severity, Block), f.Object))
		}
		if text := strings.Join(got, ", "); text != tc.want {
			t.Errorf("%s may be lost: %q, want %q", name, text, tc.want)
		}
		if lost := d.checkEmptyDir(in); (len(lost) > 0) != tc.allow.DeleteEmptyDirData {
			t.Errorf("%s may be lost: told %v", name, lost)
		}
	}
}

func placementCases() []ruleCase {
	return slices.Concat(budgetCases(), drainCases(), nodeCases())
}

func with(change func(layout)) func(*Input) {
	return func(in *Input) { change(placed(in)) }
}

func budgetCases() []ruleCase {
	return []ruleCase{
		{"KUP-130", "as many as there are", with(func(p layout) { p.budget("shop", "web", 3) })},
		{"KUP-130", "one pod that must stay", with(func(p layout) {
			p.pods("Deployment", "shop", "one", nil, "w-2")
			p.budget("shop", "one", 1)
		})},
		{"KUP-130", "none may be away", with(func(p layout) {
			b := p.budget("shop", "api", 2)
			b.MinAvailable, b.MaxUnavailable = "", "0"
		})},
		{"KUP-130", "all of them", with(func(p layout) { p.budget("shop", "api", 2).MinAvailable = "100%" })},
		{"KUP-130", "it cannot be computed", with(func(p layout) {
			b := p.budget("shop", "api", 1)
			b.Failing = `found no controllers for pod "api-0"`
		})},
		{"KUP-130", "pods without a scale", with(func(p layout) {
			b := p.budget("shop", "api", 1)
			b.MinAvailable, b.MaxUnavailable, b.Expected = "", "1", 0
		})},
		{"KUP-131", "too few are ready", with(func(p layout) {
			p.pod("web-1").Ready = false
			p.budget("shop", "web", 2)
		})},
		{"KUP-131", "no room for what left", with(func(p layout) {
			p.pods("Deployment", "shop", "big", func(s *cluster.PodSpec) { s.Requests.MilliCPU = 1700 }, "w-1", "w-1", "w-2")
			p.budget("shop", "big", 2)
		})},
		{"KUP-132", "two budgets", with(func(p layout) {
			p.budget("shop", "web", 1)
			p.budget("shop", "web", 2)
		})},
		{"KUP-144", "no budget", with(func(p layout) { p.pods("StatefulSet", "shop", "queue", nil, "w-1", "w-2") })},
	}
}

func drainCases() []ruleCase {
	return []ruleCase{
		{"KUP-133", "a bare pod", with(func(p layout) { p.pods("", "shop", "debug", nil, "w-1") })},
		{"KUP-133", "many bare pods", with(func(p layout) {
			for i := range 8 {
				p.pods("", "shop", fmt.Sprintf("debug-%d", i), nil, "w-1")
			}
		})},
		{"KUP-135", "no room", with(func(p layout) {
			p.pods("Deployment", "shop", "big", func(s *cluster.PodSpec) { s.Requests.Memory = 5 << 30 }, "w-1", "w-2")
		})},
		{"KUP-135", "no way back", with(func(p layout) {
			p.pods("Deployment", "shop", "gpu", func(s *cluster.PodSpec) {
				s.NodeAffinity = &cluster.NodeSelector{{Labels: cluster.Selector{{Key: "gpu", Operator: "Exists"}}}}
			}, "w-1")
		})},
		{"KUP-136", "all on one node", with(func(p layout) { p.pods("Deployment", "shop", "cart", nil, "w-1", "w-1") })},
		{"KUP-136", "all in one wave", func(in *Input) {
			placed(in)
			in.Waves = [][]string{{"w-1", "w-2"}}
		}},
		{"KUP-137", "single pods", with(func(p layout) {
			p.pods("Deployment", "shop", "cron", nil, "w-1")
			p.pods("StatefulSet", "shop", "cache", nil, "w-2")
		})},
		{"KUP-138", "local volumes", with(func(p layout) {
			p.Volumes = []cluster.NodeSelector{{{Labels: cluster.Selector{{Key: "kubernetes.io/hostname", Operator: "In", Values: []string{"w-1"}}}}}}
			p.pod("db-0").Volume = 0
		})},
		{"KUP-139", "emptyDir", with(func(p layout) {
			p.pods("Deployment", "shop", "thumbs", func(s *cluster.PodSpec) { s.EmptyDir = true }, "w-1", "w-2")
			p.pods("Deployment", "shop", "shm", func(s *cluster.PodSpec) { s.EmptyDir, s.InMemory = true, true }, "w-1", "w-2")
		})},
		{"KUP-145", "it tolerates everything", with(func(p layout) {
			p.pods("Deployment", "tigera-operator", "tigera-operator", func(s *cluster.PodSpec) { s.Tolerations = []cluster.Toleration{{Operator: "Exists"}} }, "w-1")
		})},
		{"KUP-146", "another scheduler", with(func(p layout) {
			p.pods("Cluster", "shop", "pg", func(s *cluster.PodSpec) { s.Scheduler = "stork" }, "w-1", "w-2")
		})},
	}
}

func nodeCases() []ruleCase {
	old := func(change func(layout)) func(*Input) {
		return func(in *Input) {
			at(in, "v1.23.17", "v3.5.6")
			in.Path = path("v1.24.17", "v1.25.16")
			p := placed(in)
			for _, cp := range []string{"cp-1", "cp-2", "cp-3"} {
				p.node(cp).Labels[roleOld] = ""
				p.node(cp).Taints = []cluster.Taint{{Key: roleOld, Effect: "NoSchedule"}}
			}
			for i := range p.Specs {
				if n := len(p.Specs[i].Tolerations); n > 0 && p.Specs[i].Tolerations[n-1].Key == roleNow { // CoreDNS of that time
					p.Specs[i].Tolerations = append(p.Specs[i].Tolerations, cluster.Toleration{Key: roleOld, Effect: "NoSchedule"})
				}
			}
			change(p)
		}
	}
	onOld := func(s *cluster.PodSpec) {
		s.NodeSelector = map[string]string{roleOld: ""}
		s.Tolerations = append(slices.Clone(patience), cluster.Toleration{Key: roleOld, Operator: "Exists", Effect: "NoSchedule"}, cluster.Toleration{Key: roleNow, Operator: "Exists", Effect: "NoSchedule"})
	}
	return []ruleCase{
		{"KUP-140", "a DaemonSet of the masters", old(func(p layout) {
			p.pods("DaemonSet", "kube-system", "cloud-controller-manager", onOld, "cp-1", "cp-2", "cp-3")
		})},
		{"KUP-140", "a Deployment on the masters", old(func(p layout) { p.pods("Deployment", "kube-system", "operator", onOld, "cp-1", "cp-2") })},
		{"KUP-141", "a label is gone", with(func(p layout) {
			p.pods("Deployment", "shop", "ssd", func(s *cluster.PodSpec) { s.NodeSelector = map[string]string{"disk": "ssd"} }, "w-1", "w-2")
			p.node("w-2").Labels["disk"] = "ssd"
		})},
		{"KUP-142", "the new taint", old(func(p layout) {
			p.pods("DaemonSet", "logging", "agent", func(s *cluster.PodSpec) {
				s.Tolerations = []cluster.Toleration{{Key: roleOld, Operator: "Exists", Effect: "NoSchedule"}}
			}, "cp-1", "cp-2", "cp-3", "w-1", "w-2")
		})},
		{"KUP-143", "tolerations for no second", with(func(p layout) {
			p.pods("Deployment", "shop", "hasty", func(s *cluster.PodSpec) {
				s.Tolerations = append(slices.Clone(patience), cluster.Toleration{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", Seconds: new(int64(0))})
			}, "w-1", "w-2")
		})},
		{"KUP-143", "no tolerations", with(func(p layout) {
			p.pods("Deployment", "shop", "old", func(s *cluster.PodSpec) { s.Tolerations = nil }, "w-1", "w-2")
		})},
	}
}
