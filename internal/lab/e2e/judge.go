package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/lab/workload/probe"
)

// judge asks nodes and API what is true now, and prints the tables.
func (h *hop) judge(ctx context.Context) error {
	if err := h.judgeObjects(ctx); err != nil {
		return err
	}
	if err := h.judgeLeaks(); err != nil {
		return err
	}
	if err := h.judgeAgain(ctx); err != nil {
		return err
	}
	h.judgeTraffic(h.measured, h.controlPlanes() == 1)
	h.sumTraffic()
	if err := h.judgeHosts(ctx); err != nil {
		return err
	}
	if h.drive == nil { // else the report is of the last part only
		h.judgeTime()
	}
	if h.more != nil {
		if err := h.more(ctx); err != nil {
			return err
		}
	}
	h.printTable("Summary", append([][]string{{"measured", "result"}}, h.summary...))
	return nil
}

func (h *hop) sumTraffic() {
	m := h.measured
	for _, part := range []struct {
		name string
		r    probe.Report
	}{{"web requests, outside", m.outside}, {"web requests, inside", m.inside}, {"API requests", m.api}} {
		t := part.r.Total()
		h.sum(part.name, "%d sent, %d failed, %d answered at the second try", t.Sent, t.Failed, t.Retried)
	}
	h.sum("API outage", "%s", seconds(outage(m.api.Failures)))
	h.sum("containers restarted outside kube-system", "%d", len(m.pods.Restarts))
	h.sum("pods moved off drained nodes", "%d", m.pods.Moved)
	h.sum("pods moved otherwise", "%d", len(m.pods.Unexplained))
}

func (e *env) controlPlanes() int {
	n := 0
	for _, m := range e.lab.Nodes() {
		if m.Role == node.RoleControlPlane {
			n++
		}
	}
	return n
}

func (h *hop) judgeObjects(ctx context.Context) error {
	c, rules, err := h.comparedWith(ctx, h.objects)
	if err != nil {
		return err
	}
	h.reportComparison(c, rules)
	h.sum("objects", "%d compared, %d different", c.Compared, c.Objects())
	return nil
}

// comparedWith compares the objects of now with those of a time before, by the checked-in
// rules, which it gives too.
func (e *env) comparedWith(ctx context.Context, before *Snapshot) (Comparison, []Rule, error) {
	rules, err := ignoreRules()
	if err != nil {
		return Comparison{}, nil, err
	}
	after, err := takeSnapshot(ctx, e.client.Discovery(), e.dynamic, before)
	if err != nil {
		return Comparison{}, nil, err
	}
	return Compare(before.Objects, after.Objects, rules), rules, nil
}

func (e *env) reportComparison(c Comparison, rules []Rule) {
	rows := [][]string{{"differences by design", "where", "why"}}
	for i, n := range c.Ignored {
		if n > 0 {
			r := rules[i]
			rows = append(rows, []string{fmt.Sprint(n), strings.TrimSpace(strings.Join([]string{r.Resource, r.Namespace, r.Name, r.Label, r.Annotation}, " ")), r.Reason})
		}
	}
	e.printTable("Objects: what the checked-in list lets differ", rows)
	e.printf("objects before %d, after %d (events and the like left out); in both and compared field by field %d; different %d", c.Before, c.After, c.Compared, c.Objects())
	for _, d := range c.Differences {
		e.check(false, "object changed: %s", d)
	}
}

// judgeLeaks searches everything kup wrote on this machine.
func (h *hop) judgeLeaks() error {
	plans := filepath.Join(h.dir, "plans")
	if err := os.MkdirAll(plans, 0o700); err != nil {
		return err
	}
	raw, err := os.ReadFile(h.planFile)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(plans, "plan.json"), raw, 0o600); err != nil {
		return err
	}
	written := []string{plans}
	for _, b := range append([]*binary{h.kup}, h.others...) {
		written = append(written, b.state, b.outputs, b.home)
	}
	searched, leaks, snapshots, err := h.canaries.search(written...)
	if err != nil {
		return err
	}
	h.printf("canaries: %d values searched for in %d files, found %d times; %d etcd snapshots, which hold Secrets, were left out", len(h.canaries), searched, len(leaks), len(snapshots))
	h.sum("canaries", "%d searched for in %d files, found %d times", len(h.canaries), searched, len(leaks))
	for _, l := range leaks {
		h.check(false, "the canary %s is in %s", l.canary, l.file)
	}
	open, err := openModes(filepath.Join(h.kup.state, "kup"))
	if err != nil {
		return err
	}
	for _, o := range open {
		h.check(false, "others can read it: %s", o)
	}
	return nil
}

// judgeAgain runs apply once more: there must be nothing to do.
func (h *hop) judgeAgain(ctx context.Context) error {
	if h.applied.code != exitDone {
		return nil
	}
	return h.applyNothing(ctx)
}

// applyNothing applies to a cluster that is where it should be.
func (e *env) applyNothing(ctx context.Context) error {
	before, err := e.fingerprints(ctx)
	if err != nil {
		return err
	}
	o, err := e.kup.run(ctx, prefixed(e.out, "kup apply, again | "), "apply", "-f", e.lab.Inventory(), "--to", "v"+e.to, "--yes")
	if err != nil {
		return err
	}
	e.check(o.code == exitDone, "apply with nothing to do: exit code %d: %s", o.code, o.errorLine())
	after, err := e.fingerprints(ctx)
	if err != nil {
		return err
	}
	for _, change := range changed(before, after) {
		e.check(false, "apply with nothing to do touched %s", change)
	}
	return nil
}

// judgeTime reads where kup says its time went, and holds the sum against the clock.
func (h *hop) judgeTime() {
	t, path, err := h.kup.lastReport()
	if !h.check(err == nil, "kup's report: %v", err) {
		return
	}
	of := func(s float64) string { return fmt.Sprintf("%.1f %%", 100*s/max(t.Wall, 1)) }
	row := func(name string, s float64) []string { return []string{name, fmt.Sprintf("%.1f", s), of(s)} }
	h.printTable("Time of kup apply ("+filepath.Base(path)+")", [][]string{
		{"part", "seconds", "share"},
		row("remote commands", t.Remote), row("eviction and readiness waits", t.Wait), row("gates held (sustain)", t.Sustain),
		row("kup's own rest", t.Rest), row("wall", t.Wall), {"wall, by the harness", fmt.Sprintf("%.1f", h.applied.took.Seconds()), ""},
	})
	// What kup did before and after the time it reports is its own too.
	own := t.Rest + max(h.applied.took.Seconds()-t.Wall, 0)
	share := own / max(h.applied.took.Seconds(), 1)
	h.sum("time of kup apply", "%.1f s: remote commands %.1f, waits %.1f, sustain %.1f, kup's own %.1f (%.1f %%)",
		h.applied.took.Seconds(), t.Remote, t.Wait, t.Sustain, own, 100*share)
	h.check(share <= restShare, "kup's own share of the time is %.1f %%, more than %.0f %%", 100*share, 100*restShare)
	h.check(t.Wall <= h.applied.took.Seconds(), "kup reports %.1f s, the harness measured %.1f s", t.Wall, h.applied.took.Seconds())
	sum := t.Remote + t.Wait + t.Sustain + t.Rest
	h.check(abs(sum-t.Wall) <= 1, "the parts of the report sum up to %.1f s of %.1f s", sum, t.Wall)
}

func abs(f float64) float64 { return max(f, -f) }

// nodesNow lists node name -> "Ready", "Ready,SchedulingDisabled", ...
func (e *env) nodesNow(ctx context.Context) (map[string]string, error) {
	list, err := e.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range list.Items {
		n := &list.Items[i]
		state := "NotReady"
		if nodeReady(n) {
			state = "Ready"
		}
		if n.Spec.Unschedulable {
			state += ",unschedulable"
		}
		out[n.Name] = state
	}
	return out, nil
}
