package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

// checkRemovedLabels finds what runs on nodes by a label that they lose: pods of
// DaemonSets are taken away at once, the others find no node when they are moved.
func (d *drains) checkRemovedLabels(in Input) []Finding {
	return d.once(in, "workloads", func(h *drainHop) []about {
		var out []about
		for _, c := range h.changes {
			if c.RemoveLabel == "" {
				continue
			}
			for _, w := range selectors(h) {
				nodes := lost(h, w)
				if len(nodes) == 0 || w.moves && slices.ContainsFunc(h.placement.Nodes, func(n cluster.PlacedNode) bool { return drainsim.Allows(w.spec, &n) }) {
					continue
				}
				why := fmt.Sprintf("it selects nodes by the label %s, which the hop takes off %s: its pods are removed there", c.RemoveLabel, fewOf(nodes))
				if w.moves {
					why = fmt.Sprintf("it selects nodes by the label %s, which the hop takes off %s: its pods find no node when those are drained", c.RemoveLabel, fewOf(nodes))
				}
				out = append(out, about{w.namespace, Finding{Object: w.name, Why: why, Fix: removedFix(h, w, c.RemoveLabel)}})
			}
		}
		return out
	})
}

// removedFix names the label that kubeadm put beside the old one.
func removedFix(h *drainHop, w chooser, label string) string {
	const now = "node-role.kubernetes.io/control-plane"
	fix := fmt.Sprintf("select by %s instead of %s", now, label)
	has := func(n cluster.PlacedNode) bool { _, has := n.Labels[now]; return has }
	if !slices.ContainsFunc(h.before.Nodes, has) {
		fix = fmt.Sprintf("put a label of your own on these nodes and select by it instead of %s", label)
	}
	if kind, rest, ok := strings.Cut(w.name, " "); ok && kind != "pod" {
		_, name, _ := strings.Cut(rest, "/")
		fix += fmt.Sprintf(": kubectl -n %s edit %s/%s", w.namespace, strings.ToLower(kind), name)
	}
	return fix
}

// chooser is a workload with what it asks of nodes.
type chooser struct {
	namespace, name string
	spec            *cluster.PodSpec
	moves           bool // its pods are evicted; those of DaemonSets are not
}

// selectors are the DaemonSets, and what else has running pods.
func selectors(h *drainHop) []chooser {
	p := h.placement
	var out []chooser
	for i := range p.Controllers {
		if c := &p.Controllers[i]; c.Kind == "DaemonSet" && c.Spec >= 0 {
			out = append(out, chooser{c.Namespace, controllerOf(c), &p.Specs[c.Spec], false})
		}
	}
	seen := map[[2]int32]bool{}
	for i := range p.Pods {
		pod := &p.Pods[i]
		key := [2]int32{pod.Controller, pod.Spec}
		if pod.Node < 0 || pod.Mirror || pod.Phase != cluster.PodRunning || kindOf(p, pod) == "DaemonSet" || pod.Controller >= 0 && seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, chooser{pod.Namespace, ownerOf(p, pod), &p.Specs[pod.Spec], true})
	}
	return out
}

// lost are the nodes that the workload selects before the hop and not after.
func lost(h *drainHop, w chooser) []string {
	var out []string
	for i := range h.placement.Nodes {
		if _, never := drainsim.Repelled(w.spec, &h.before.Nodes[i]); never && !w.moves {
			continue
		}
		if drainsim.Allows(w.spec, &h.before.Nodes[i]) && !drainsim.Allows(w.spec, &h.placement.Nodes[i]) {
			out = append(out, h.placement.Nodes[i].Name)
		}
	}
	return out
}

// checkAddedTaints finds DaemonSets that run on nodes which a hop taints: their
// pods stay, but no new one is made there.
func (d *drains) checkAddedTaints(in Input) []Finding {
	return d.once(in, "DaemonSets", func(h *drainHop) []about {
		var out []about
		for _, change := range h.changes {
			if change.AddTaint == "" {
				continue
			}
			for _, w := range selectors(h) {
				if w.moves {
					continue // where they go is simulated
				}
				var nodes []string
				for i := range h.placement.Nodes {
					before, after := &h.before.Nodes[i], &h.placement.Nodes[i]
					_, was := drainsim.Repelled(w.spec, before)
					if taint, is := drainsim.Repelled(w.spec, after); is && !was && taint.Key == change.AddTaint && drainsim.Allows(w.spec, after) {
						nodes = append(nodes, after.Name)
					}
				}
				if len(nodes) > 0 {
					out = append(out, about{w.namespace, Finding{
						Object: w.name,
						Why:    fmt.Sprintf("the hop adds the taint %s:NoSchedule to %s, which it does not tolerate: its pods stay there, but none that is lost is made again", change.AddTaint, fewOf(nodes)),
						Fix:    fmt.Sprintf("add a toleration for %s with effect NoSchedule to its template", change.AddTaint),
					}})
				}
			}
		}
		return out
	})
}

// checkDrifted finds pods that would not be admitted to the node they run on: the
// kubelet asks again when it starts. Pods of DaemonSets are their controller's to
// take away, and static pods are asked for nothing.
func (d *drains) checkDrifted(in Input) []Finding {
	if len(d.of(in)) == 0 {
		return nil
	}
	p := in.Scan.Placement
	var pods []int32
	for i := range p.Pods {
		pod := &p.Pods[i]
		if pod.Node < 0 || pod.Mirror || pod.Phase != cluster.PodRunning || kindOf(p, pod) == "DaemonSet" {
			continue
		}
		if !drainsim.Allows(&p.Specs[pod.Spec], &p.Nodes[pod.Node]) {
			pods = append(pods, int32(i))
		}
	}
	var out []about
	names, by := ownersOf(p, pods)
	for _, name := range names {
		pod := &p.Pods[by[name][0]]
		node := &p.Nodes[pod.Node]
		out = append(out, about{pod.Namespace, Finding{
			Object: name,
			Why:    fmt.Sprintf("its pod %s runs on %s although it selects other nodes (%s): a kubelet that starts fails such pods, and a drain brings them back only where the labels match", pod.Name, node.Name, asks(&p.Specs[pod.Spec], node)),
			Fix:    fmt.Sprintf("give %s the label again, or change what the workload selects", node.Name),
		}})
	}
	return bundled("workloads", out)
}

// asks names a label that the spec wants and the node has not.
func asks(s *cluster.PodSpec, n *cluster.PlacedNode) string {
	var out []string
	for key, value := range s.NodeSelector {
		if have, has := n.Labels[key]; !has || have != value {
			out = append(out, key+"="+value)
		}
	}
	if len(out) == 0 {
		return "by its required node affinity"
	}
	slices.Sort(out)
	return "nodeSelector " + strings.Join(out, ", ")
}

// bears tells whether the pod stays for a while on a node with the taint. Of
// several tolerations the shortest counts.
// Source: kubernetes pkg/controller/tainteviction/taint_eviction.go, getMinTolerationTime
func bears(s *cluster.PodSpec, key string) bool {
	taint, some := cluster.Taint{Key: key, Effect: "NoExecute"}, false
	for _, t := range s.Tolerations {
		if !drainsim.Tolerates([]cluster.Toleration{t}, taint) {
			continue
		}
		if t.Seconds != nil && *t.Seconds <= 0 {
			return false
		}
		some = true
	}
	return some
}

// checkTolerations finds pods that a NotReady node loses at once: the API server
// gives every pod five minutes unless its admission plugin is switched off.
func (d *drains) checkTolerations(in Input) []Finding {
	if len(d.of(in)) == 0 {
		return nil
	}
	p := in.Scan.Placement
	var pods []int32
	for i := range p.Pods {
		pod := &p.Pods[i]
		if pod.Mirror || pod.Phase == cluster.PodFinished || kindOf(p, pod) == "DaemonSet" || pod.Controller < 0 {
			continue
		}
		if s := &p.Specs[pod.Spec]; !bears(s, "node.kubernetes.io/not-ready") || !bears(s, "node.kubernetes.io/unreachable") {
			pods = append(pods, int32(i))
		}
	}
	var out []about
	names, by := ownersOf(p, pods)
	for _, name := range names {
		out = append(out, about{p.Pods[by[name][0]].Namespace, Finding{
			Object: name,
			Why:    "its pods do not tolerate nodes that are not ready or unreachable, or for no second: they are evicted the moment their node is NotReady, which it may be for a while when control planes or its kubelet restart",
			Fix:    "let the admission plugin DefaultTolerationSeconds give them five minutes: any change to a pod does, such as kubectl -n NAMESPACE label pod NAME kup.dev/touched=true; where the template says tolerationSeconds: 0, raise it",
		}})
	}
	return bundled("workloads", out)
}
