package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Result is what became of the workloads in a hop.
type Result struct {
	Hop string    `json:"hop"`
	At  time.Time `json:"at"`
	// Restarts are pods that stayed and whose containers restarted.
	Restarts []Finding `json:"restarts,omitempty"`
	// Moved are pods that left a node that kup did not drain, or for good.
	Moved []Finding `json:"moved,omitempty"`
	// NotReady are pods that are not ready now.
	NotReady []Finding `json:"notReady,omitempty"`
	// Gone are workloads of the baseline that no longer exist.
	Gone []string `json:"gone,omitempty"`
	// Deprecated are API versions that clients asked for during the hop.
	Deprecated []cluster.DeprecatedRequest `json:"deprecated,omitempty"`
	Unchecked  []string                    `json:"unchecked,omitempty"`
}

// Finding is a pod with the cause of what happened to it, a sentence.
type Finding struct {
	Pod   string `json:"pod"` // namespace/name
	Node  string `json:"node,omitempty"`
	Count int32  `json:"count,omitempty"` // restarts
	Cause string `json:"cause"`
}

// Workloads are the findings about pods and workloads, one sentence each.
func (r Result) Workloads() []string {
	var out []string
	for _, f := range r.Restarts {
		out = append(out, fmt.Sprintf("%s on %s restarted %d times: %s", f.Pod, f.Node, f.Count, f.Cause))
	}
	for _, f := range r.Moved {
		out = append(out, fmt.Sprintf("%s left %s: %s", f.Pod, f.Node, f.Cause))
	}
	for _, f := range r.NotReady {
		out = append(out, fmt.Sprintf("%s is not ready: %s", f.Pod, f.Cause))
	}
	for _, name := range r.Gone {
		out = append(out, name+" no longer exists")
	}
	return out
}

// DeprecatedUses are the API versions on their way out, one sentence each.
func (r Result) DeprecatedUses() []string {
	var out []string
	for _, d := range r.Deprecated {
		group := d.Group
		if group == "" {
			group = "core"
		}
		text := fmt.Sprintf("%s/%s %s", group, d.Version, d.Resource)
		if d.RemovedRelease != "" {
			text += ", removed in " + d.RemovedRelease
		}
		out = append(out, text)
	}
	return out
}

// compare: the truth is the run's artefact. It reports and never fails on what
// it finds: whether workloads are well enough is for gates to say.
type compare struct {
	observation
	observer Observer
}

func (r *compare) Done(ctx context.Context, s plan.Step) (bool, error) {
	return r.keeper.has(ctx, hopOf(s), ArtefactResult, "")
}

func (r *compare) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	hop := hopOf(s)
	const doing = "compare with the baseline"
	before, err := Baselines{Artefacts: r.keeper.artefacts}.Baseline(hop)
	if errors.Is(err, fs.ErrNotExist) {
		r.observer.Note(s.ID, "this run recorded no baseline of the hop; nothing to compare with")
		return nil
	}
	if err != nil {
		return failed(s, doing, err, "")
	}
	facts, err := r.cluster.Observe(ctx)
	if err != nil {
		return failed(s, doing, fmt.Errorf("observe the cluster: %w", err), "")
	}
	now, _, err := r.look(ctx, hop, facts)
	if err != nil {
		return failed(s, doing, err, "")
	}
	result := Compare(before, now, func(node string) bool { return cordonedByRun(r.keeper.artefacts, hop, node) })
	result.announced((&args{step: s}).lines("restored"))
	if err := r.keeper.save(ctx, ArtefactResult, hop, result); err != nil {
		return failed(s, doing, err, "")
	}
	for _, text := range result.Workloads() {
		r.observer.Note(s.ID, text)
	}
	for _, text := range result.DeprecatedUses() {
		r.observer.Note(s.ID, "deprecated API in use: "+text)
	}
	return nil
}

// announced gives restarts the cause that a rollback's plan had told of: the restore
// started these pods, "namespace/name", again.
func (r *Result) announced(pods []string) {
	for i := range r.Restarts {
		if slices.Contains(pods, r.Restarts[i].Pod) {
			r.Restarts[i].Cause = "it was started again with the snapshot, as the plan said"
		}
	}
}

// Compare tells what became of the pods between two observations. Drained tells
// of a node whether kup emptied it in between.
func Compare(before, now Observation, drained func(node string) bool) Result {
	c := comparison{before: before, now: now, drained: drained, byUID: map[string]Pod{}, was: map[string]Pod{}, owners: map[string]bool{}}
	for _, p := range now.Pods {
		c.byUID[p.UID] = p
		c.owners[p.Namespace+" "+p.Owner] = true
	}
	for _, p := range before.Pods {
		c.was[p.UID] = p
	}
	r := Result{Hop: now.Hop, At: now.At, Deprecated: now.Deprecated, Unchecked: now.Unchecked}
	for _, p := range sortedPods(before.Pods) {
		is, stayed := c.byUID[p.UID]
		switch {
		case stayed && is.Restarts > p.Restarts:
			r.Restarts = append(r.Restarts, Finding{Pod: p.String(), Node: is.Node, Count: is.Restarts - p.Restarts, Cause: c.restart(is)})
		case !stayed:
			if cause := c.moved(p); cause != "" {
				r.Moved = append(r.Moved, Finding{Pod: p.String(), Node: p.Node, Cause: cause})
			}
		}
	}
	for _, p := range sortedPods(now.Pods) {
		if !p.Ready && p.Phase != "Succeeded" {
			r.NotReady = append(r.NotReady, Finding{Pod: p.String(), Node: p.Node, Cause: c.notReady(p)})
		}
	}
	r.Gone = gone(before.Workloads, now.Workloads)
	return r
}

type comparison struct {
	before, now Observation
	drained     func(string) bool
	byUID, was  map[string]Pod
	owners      map[string]bool // "namespace owner" that have pods now
}

func (c *comparison) restart(p Pod) string {
	switch {
	case p.ownerKind() == "Node":
		return "a static pod restarts when a component it needs, etcd or the API server beside it, is replaced"
	case c.before.Kubelets[p.Node] != c.now.Kubelets[p.Node]:
		return fmt.Sprintf("it stayed on its node while the kubelet there went from %s to %s", c.before.Kubelets[p.Node], c.now.Kubelets[p.Node])
	}
	return fmt.Sprintf("nothing kup did explains it; see kubectl logs --previous -n %s %s", p.Namespace, p.Name)
}

// moved is the cause why a pod is gone; empty when it was meant to go.
func (c *comparison) moved(p Pod) string {
	finished := p.Phase == "Succeeded" || p.Phase == "Failed"
	switch kind := p.ownerKind(); {
	case finished || kind == "Node" || kind == "Job":
		return ""
	case p.Owner == "":
		return "it had no controller, so nothing started it again"
	case kind == "DaemonSet":
		return c.replacedDaemon(p)
	case c.drained(p.Node):
		return ""
	case !c.owners[p.Namespace+" "+p.Owner]:
		return "its " + kind + " has no pods any more: it was rolled out anew or deleted during the hop"
	}
	return "it was evicted or deleted although kup did not drain its node"
}

func (c *comparison) replacedDaemon(p Pod) string {
	if p.Namespace == "kube-system" || !c.owners[p.Namespace+" "+p.Owner] {
		return "" // kube-proxy moves with the hop; a deleted DaemonSet is among the workloads gone
	}
	return "its DaemonSet was rolled out anew during the hop, or its pod was deleted"
}

func (c *comparison) notReady(p Pod) string {
	was, known := c.was[p.UID]
	switch {
	case known && was.Ready:
		return "it was ready before the hop"
	case known:
		return "it was not ready before the hop either"
	}
	return fmt.Sprintf("it was made during the hop; see kubectl describe pod -n %s %s", p.Namespace, p.Name)
}

func gone(before, now []cluster.Workload) []string {
	have := map[string]bool{}
	key := func(w cluster.Workload) string { return w.Kind + " " + w.Namespace + "/" + w.Name }
	for _, w := range now {
		have[key(w)] = true
	}
	var out []string
	for _, w := range before {
		if !have[key(w)] {
			out = append(out, key(w))
		}
	}
	return out
}
