package drainsim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// world builds placements for the tests.
type world struct {
	cluster.Placement
	drain func(string) Drain
	old   bool // an API server before 1.20
}

const gi = 1 << 30

// nodes makes Ready nodes of 4 cores, 8 GiB and 10 pods, in zones a, b, c by turns.
func (w *world) nodes(names ...string) *world {
	for _, name := range names {
		zone := string(rune('a' + len(w.Nodes)%3))
		w.Nodes = append(w.Nodes, cluster.PlacedNode{
			Name: name, Ready: true, Labels: map[string]string{"host": name, "zone": zone},
			Allocatable: cluster.Resources{MilliCPU: 4000, Memory: 8 * gi, Ephemeral: 20 * gi, Pods: 10},
		})
	}
	return w
}

func (w *world) node(name string) *cluster.PlacedNode {
	return &w.Nodes[w.index(name)]
}

func (w *world) index(name string) int {
	return slices.IndexFunc(w.Nodes, func(n cluster.PlacedNode) bool { return n.Name == name })
}

// pods makes a controller with one ready pod on each of the nodes, asking for a
// tenth of a node each; the change is to their spec.
func (w *world) pods(kind, name string, change func(*cluster.PodSpec), on ...string) *world {
	spec := cluster.PodSpec{Requests: cluster.Resources{MilliCPU: 400, Memory: 800 << 20}}
	if change != nil {
		change(&spec)
	}
	w.Specs = append(w.Specs, spec)
	w.LabelSets = append(w.LabelSets, map[string]string{"app": name})
	controller := int32(-1)
	if kind != "" {
		controller = int32(len(w.Controllers))
		w.Controllers = append(w.Controllers, cluster.PodController{Kind: kind, Namespace: "shop", Name: name, Desired: int32(len(on)), Spec: int32(len(w.Specs) - 1)})
	}
	for i, node := range on {
		w.Pods = append(w.Pods, cluster.PlacedPod{
			Namespace: "shop", Name: fmt.Sprintf("%s-%d", name, i), Node: int32(w.index(node)), Controller: controller,
			Labels: int32(len(w.LabelSets) - 1), Spec: int32(len(w.Specs) - 1), Volume: -1, Ready: true,
		})
	}
	return w
}

// pod changes a pod.
func (w *world) pod(name string, change func(*cluster.PlacedPod)) *world {
	change(&w.Pods[slices.IndexFunc(w.Pods, func(p cluster.PlacedPod) bool { return p.Name == name })])
	return w
}

// keeps makes a budget that wants so many ready pods of an app.
func (w *world) keeps(app string, desired int32) *world {
	b := cluster.PlacedBudget{Namespace: "shop", Name: fmt.Sprintf("%s-%d", app, len(w.Budgets)), Selector: is("app", app), Desired: desired}
	for i := range w.Pods {
		if w.LabelSets[w.Pods[i].Labels]["app"] == app {
			b.Expected++
		}
	}
	b.MinAvailable = fmt.Sprint(desired)
	w.Budgets = append(w.Budgets, b)
	return w
}

func is(key string, values ...string) cluster.Selector {
	return cluster.Selector{{Key: key, Operator: "In", Values: values}}
}

// apart keeps pods of the app from one another in a topology.
func apart(app, key string) func(*cluster.PodSpec) {
	return func(s *cluster.PodSpec) {
		s.AntiAffinity = []cluster.AffinityTerm{{TopologyKey: key, Selector: is("app", app), Namespaces: []string{"shop"}}}
	}
}

func onlyOn(key string, values ...string) func(*cluster.PodSpec) {
	return func(s *cluster.PodSpec) { s.NodeAffinity = &cluster.NodeSelector{{Labels: is(key, values...)}} }
}

func cores(milli int64) func(*cluster.PodSpec) {
	return func(s *cluster.PodSpec) { s.Requests = cluster.Resources{MilliCPU: milli} }
}

// oneByOne drains every node alone.
func (w *world) oneByOne() [][]string {
	var out [][]string
	for i := range w.Nodes {
		out = append(out, []string{w.Nodes[i].Name})
	}
	return out
}

// tell writes a result down for comparison.
func (w *world) tell(r Result) string {
	var b strings.Builder
	for _, f := range r.Refused {
		fmt.Fprintf(&b, "%s refused: bare %s data %s\n", f.Node, w.names(f.Bare), w.names(f.Data))
	}
	for _, s := range r.Stuck {
		fmt.Fprintf(&b, "%s stuck at %s: %s", w.Pods[s.Pod].Name, s.Node, [...]string{"never", "failing", "unready", "no place", "several budgets"}[s.Cause])
		if s.Cause == NoPlace {
			fmt.Fprintf(&b, " (%s)", s.Because.String())
		}
		b.WriteString("\n")
	}
	for _, x := range r.Waiting {
		fmt.Fprintf(&b, "%s of %s waits, back %t: %s", w.Pods[x.Pod].Name, x.From, x.Back, x.Lack.String())
		if x.Lack.Room() {
			fmt.Fprintf(&b, "; %s", x.Lack.Change())
		}
		b.WriteString("\n")
	}
	for _, t := range r.Together {
		fmt.Fprintf(&b, "all %d of %s at once: %s\n", t.Pods, w.Controllers[t.Controller].Name, strings.Join(t.Nodes, " "))
	}
	if len(r.Returning) > 0 {
		fmt.Fprintf(&b, "may return: %s\n", w.names(r.Returning))
	}
	if len(r.Lost) > 0 {
		fmt.Fprintf(&b, "lost: %s\n", w.names(r.Lost))
	}
	for _, l := range r.Limits {
		fmt.Fprintf(&b, "limit: %s\n", l)
	}
	fmt.Fprintf(&b, "evicted %d", r.Evicted)
	return b.String()
}

func (w *world) names(pods []int32) string {
	var out []string
	for _, i := range pods {
		out = append(out, w.Pods[i].Name)
	}
	return "[" + strings.Join(out, " ") + "]"
}
