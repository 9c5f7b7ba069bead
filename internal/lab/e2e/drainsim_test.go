package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// twoWorkers have a pod each of a Deployment whose budget lets desired be the
// least that stay, and w-1 a bare pod besides.
func twoWorkers(desired int32) *cluster.Placement {
	has := cluster.Resources{MilliCPU: 2000, Memory: 1 << 30, Pods: 110}
	app := cluster.Requirement{Key: "app", Operator: "In", Values: []string{"sim-x"}}
	return &cluster.Placement{
		Nodes:       []cluster.PlacedNode{{Name: "w-1", Ready: true, Allocatable: has}, {Name: "w-2", Ready: true, Allocatable: has}},
		LabelSets:   []map[string]string{{"app": "sim-x"}, {}},
		Specs:       []cluster.PodSpec{{Requests: cluster.Resources{MilliCPU: 1500}}, {}},
		Controllers: []cluster.PodController{{Kind: "Deployment", Namespace: "default", Name: "sim-x", Desired: 2}},
		Pods: []cluster.PlacedPod{
			{Namespace: "default", Name: "sim-x-a", Node: 0, Volume: -1, Ready: true},
			{Namespace: "default", Name: "sim-x-b", Node: 1, Volume: -1, Ready: true},
		},
		Budgets: []cluster.PlacedBudget{{Namespace: "default", Name: "sim-x", Selector: cluster.Selector{app}, Desired: desired, Healthy: 2, Expected: 2}},
	}
}

func withBare(p *cluster.Placement) *cluster.Placement {
	p.Pods = append(p.Pods, cluster.PlacedPod{Namespace: "default", Name: "sim-bare", Node: 0, Labels: 1, Spec: 1, Controller: -1, Volume: -1, Ready: true})
	return p
}

const (
	simOwner = "Deployment default/sim-x"
	simStuck = simOwner + " behind PodDisruptionBudget default/sim-x"
)

func TestPredictedDrain(t *testing.T) {
	for name, c := range map[string]struct {
		p    *cluster.Placement
		want []drainVerdict
	}{
		"no room, and the budget bears it": {twoWorkers(1), []drainVerdict{
			{Node: "w-1", Drained: true, Waits: []string{simOwner}}, {Node: "w-2", Drained: true, Waits: []string{simOwner}},
		}},
		"the budget lets none go": {twoWorkers(2), []drainVerdict{{Node: "w-1", At: []string{simStuck}}, {Node: "w-2", At: []string{simStuck}}}},
		"a bare pod": {withBare(twoWorkers(1)), []drainVerdict{
			{Node: "w-1", At: []string{nobodys("default", "sim-bare")}}, {Node: "w-2", Drained: true, Waits: []string{simOwner}},
		}},
	} {
		r := drainsim.Simulate(c.p, [][]string{{"w-1"}, {"w-2"}}, drainsim.Options{UnreadyGo: true})
		for _, want := range c.want {
			if diff := cmp.Diff(want, predictedDrain(c.p, &r, want.Node)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

func TestDrainedAs(t *testing.T) {
	before := withBare(twoWorkers(1))
	waiting := withBare(twoWorkers(1))
	waiting.Pods[0].Name, waiting.Pods[0].Node, waiting.Pods[0].Ready = "sim-x-c", -1, false
	stood := kube.BlockedPod{Namespace: "default", Name: "sim-x-a", Why: "is still running"}
	behindBudget := stood
	behindBudget.Budgets = []string{"sim-x"}
	bare := errors.New("cannot delete Pods that declare no controller (use --force to override): default/sim-bare; set drain.force")
	for name, c := range map[string]struct {
		after *cluster.Placement
		err   error
		want  drainVerdict
	}{
		"drained":              {twoWorkers(1), nil, drainVerdict{Drained: true}},
		"drained, one waiting": {waiting, nil, drainVerdict{Drained: true, Waits: []string{simOwner}}},
		"stuck":                {before, &kube.DrainError{After: drainFor, Pods: []kube.BlockedPod{behindBudget}}, drainVerdict{At: []string{simStuck}}},
		"several budgets": {before, &kube.DrainError{
			Pods: []kube.BlockedPod{{Namespace: stood.Namespace, Name: stood.Name, Budgets: []string{"a", "b"}, Several: true}},
			Err:  errors.New("evict pod default/sim-x-a: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."),
		}, drainVerdict{At: []string{behind(simOwner, severalBudgets)}}},
		"still running": {before, &kube.DrainError{After: drainFor, Pods: []kube.BlockedPod{stood}}, drainVerdict{At: []string{simOwner + ", which is still running"}}},
		"refused":       {before, &kube.DrainError{Err: bare}, drainVerdict{At: []string{nobodys("default", "sim-bare")}}},
		"refused, and yet something evicted": {waiting, &kube.DrainError{Err: bare}, drainVerdict{
			At: []string{nobodys("default", "sim-bare"), "pod default/sim-x-a evicted by a drain that was refused"}, Waits: []string{simOwner},
		}},
		"failed otherwise": {before, &kube.DrainError{Err: errors.New("no answer")}, drainVerdict{At: []string{"no answer"}}},
	} {
		c.want.Node = "w-1"
		if diff := cmp.Diff(c.want, drainedAs(before, c.after, "w-1", c.err)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestUnsteady(t *testing.T) {
	if err := unsteady(withBare(twoWorkers(1))); err != nil {
		t.Error(err)
	}
	rivals := twoWorkers(1)
	other := rivals.Budgets[0]
	other.Name, other.Healthy = "sim-other", 0
	rivals.Budgets = append(rivals.Budgets, other)
	if err := unsteady(rivals); err != nil {
		t.Errorf("two budgets for the same pods: %v", err)
	}
	for want, change := range map[string]func(*cluster.Placement){
		"1 pods are ending": func(p *cluster.Placement) { p.Ending = 1 },
		"has 2 of 3 pods":   func(p *cluster.Placement) { p.Controllers[0].Desired = 3 },
		"is not ready":      func(p *cluster.Placement) { p.Pods[1].Ready = false },
		"are healthy":       func(p *cluster.Placement) { p.Budgets[0].Healthy = 1 },
		"is left of":        func(p *cluster.Placement) { p.Controllers[0].Kind = "ReplicaSet" },
		"is cordoned":       func(p *cluster.Placement) { p.Nodes[0].Cordoned = true },
	} {
		p := twoWorkers(1)
		change(p)
		if err := unsteady(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestSituationJudge(t *testing.T) {
	s := situation{says: []saying{
		{rule: "KUP-130", object: "PodDisruptionBudget default/sim-x", at: simStuck, nodes: true},
		{rule: "KUP-138", object: simOwner, waits: true},
	}}
	findings := []finding{
		{Rule: "KUP-130", Severity: "block", Object: "PodDisruptionBudget default/sim-x", Why: "it never lets a pod go: the drains of w-1, w-2 wait until they time out"},
		{Rule: "KUP-138", Severity: "info", Object: "2 workloads", Why: simOwner + ", Deployment default/other: pods wait"},
		{Rule: "KUP-137", Severity: "info", Object: simOwner},
		{Rule: "KUP-136", Severity: "warn", Object: "Deployment kube-system/coredns"},
	}
	happened := []drainVerdict{
		{Node: "cp-1", Drained: true}, {Node: "w-1", At: []string{simStuck}}, {Node: "w-2", At: []string{simStuck}},
		{Node: "w-12", Drained: true, Waits: []string{simOwner}},
	}
	if wrong := s.judge(findings, happened); len(wrong) > 0 {
		t.Errorf("what is right is wrong: %v", wrong)
	}
	for want, c := range map[string]struct {
		findings []finding
		happened []drainVerdict
	}{
		"KUP-130 finds nothing":        {findings[1:], happened},
		"names the nodes [w-1 w-2]":    {findings, []drainVerdict{happened[1], {Node: "w-2", Drained: true}, happened[3]}},
		"and none did":                 {findings, []drainVerdict{{Node: "w-1", Drained: true}, happened[3]}},
		"wait for a node, and none":    {findings, happened[:3]},
		"KUP-135 finds something":      {append([]finding{{Rule: "KUP-135", Severity: "warn", Object: simOwner}}, findings...), happened},
		"says nothing of it":           {findings, append([]drainVerdict{{Node: "w-3", At: []string{"pod default/x"}}}, happened...)},
		"pods of Job default/x had no": {findings, append([]drainVerdict{{Node: "w-3", Waits: []string{"Job default/x"}}}, happened...)},
	} {
		if wrong := strings.Join(s.judge(c.findings, c.happened), "\n"); !strings.Contains(wrong, want) {
			t.Errorf("%q does not say %q", wrong, want)
		}
	}
}

// TestSituations reads what is planted.
func TestSituations(t *testing.T) {
	requests, nodes, apart := 0, 0, 0
	look := func(spec *corev1.PodSpec) {
		if c := spec.Containers[0]; c.Resources.Requests.Cpu().MilliValue() == 800 {
			requests++
		}
		if spec.NodeSelector["kubernetes.io/hostname"] != "" {
			nodes++
		}
		if spec.Affinity != nil {
			apart++
		}
	}
	list := situations([]string{"w-1", "w-2", "w-3"}, 800)
	if len(list) != 5 {
		t.Errorf("%d situations", len(list))
	}
	for _, s := range list {
		r := yaml.NewYAMLOrJSONDecoder(strings.NewReader(s.manifest), 4096)
		for {
			var o unstructured.Unstructured
			err := r.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", s.name, err, s.manifest)
			}
			if !strings.HasPrefix(o.GetName(), simPrefix) {
				t.Errorf("%s plants %s %s", s.name, o.GetKind(), o.GetName())
			}
			spec, found, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
			if o.GetKind() == "Pod" {
				spec, found, err = unstructured.NestedMap(o.Object, "spec")
			}
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.PodSpec
			if found {
				if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(spec, &pod, true); err != nil {
					t.Errorf("%s: %s: %v", s.name, o.GetName(), err)
				}
				look(&pod)
			}
		}
	}
	if requests != 1 || nodes != 2 || apart != 1 {
		t.Errorf("pods that ask for cpu: %d, for a node: %d, that keep apart: %d", requests, nodes, apart)
	}
}

func TestPlanned(t *testing.T) {
	p := plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{{Name: plan.Workers, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{{Kind: plan.KindDrain, Node: "w-1"}}}}}}}}}}
	raw, err := json.Marshal(map[string]any{"format": 1, "blocked": true, "plan": &p, "findings": []map[string]string{{"rule": "KUP-130", "why": "because"}}})
	if err != nil {
		t.Fatal(err)
	}
	var got planned
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if !got.Blocked || len(got.Findings) != 1 || got.Findings[0].Why != "because" || len(got.Plan.DrainWaves()) != 1 {
		t.Errorf("%+v", got)
	}
}
