package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/node"
)

const (
	settleTimeout = 3 * time.Minute
	// afterApply is how long traffic goes on when kup is done: what kup left
	// behind may break late.
	afterApply = 15 * time.Second
	// restShare is the most of an apply's time kup may spend on its own account.
	restShare = 0.10
)

// hop is one upgrade under traffic: what was before, what was measured.
type hop struct {
	*env
	canaries canaries
	before   map[string]hostFacts
	objects  *Snapshot
	planFile string
	applied  outcome
	measured measured
}

func runHop(ctx context.Context, e *env) error {
	h := &hop{env: e, planFile: filepath.Join(e.dir, "plan.json")}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"prepare", h.prepare}, {"init and plan", h.plan}, {"apply under traffic", h.apply}, {"judge", h.judge},
	} {
		e.printf("== %s", step.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// prepare makes the cluster one that has something to lose.
func (h *hop) prepare(ctx context.Context) error {
	h.canaries = canaries{}
	for _, name := range []string{"secret", "annotation", "kubelet-flag"} {
		var err error
		if h.canaries[name], err = newCanary(name); err != nil {
			return err
		}
	}
	sudo, err := os.ReadFile(filepath.Join(h.lab.Dir(), "sudo-password"))
	if err != nil {
		return fmt.Errorf("the lab's sudo password: %w", err)
	}
	h.canaries["sudo-password"] = strings.TrimSpace(string(sudo))
	if err := h.deploy(ctx, h.canaries["secret"], h.canaries["annotation"]); err != nil {
		return err
	}
	last := h.lab.Nodes()[len(h.lab.Nodes())-1]
	if err := h.plantFlag(ctx, last.Name, h.canaries["kubelet-flag"]); err != nil {
		return err
	}
	if err := h.settled(ctx, settleTimeout); err != nil {
		return err
	}
	h.before, err = h.askHosts(ctx)
	return err
}

// plan runs kup init, checks that what it wrote is read again, and plans with
// the lab's own inventory.
func (h *hop) plan(ctx context.Context) error {
	if err := h.initAndRead(ctx); err != nil {
		return err
	}
	o, err := h.kup.run(ctx, prefixed(h.out, "kup plan | "),
		"plan", "-f", h.lab.Inventory(), "--to", "v"+h.to, "--out", h.planFile)
	if err != nil {
		return err
	}
	if o.code != exitDone {
		return fmt.Errorf("%s: exit code %d: %s", o, o.code, o.errorLine())
	}
	raw, err := os.ReadFile(h.planFile)
	if err != nil {
		return fmt.Errorf("the plan file: %w", err)
	}
	h.check(json.Valid(raw), "the plan file is not JSON")
	for _, format := range []string{"json", "yaml"} {
		o, err := h.kup.run(ctx, nil, "plan", "-f", h.lab.Inventory(), "--to", "v"+h.to, "-o", format)
		if err != nil {
			return err
		}
		h.check(o.code == exitDone && len(o.stdout) > 0, "%s: exit code %d: %s", o, o.code, o.errorLine())
	}
	return nil
}

func (h *hop) initAndRead(ctx context.Context) error {
	dir := filepath.Join(h.dir, "init")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "kup.yaml")
	o, err := h.kup.run(ctx, nil, "init", "-f", file, "--kubeconfig", h.lab.Kubeconfig(), "--ssh-user", "ops")
	if err != nil {
		return err
	}
	if !h.check(o.code == exitDone, "%s: exit code %d: %s", o, o.code, o.errorLine()) {
		return nil
	}
	raw, err := os.ReadFile(file)
	if !h.check(err == nil, "kup init wrote no inventory: %v", err) {
		return nil
	}
	for _, n := range h.lab.Nodes() {
		h.check(strings.Contains(string(raw), n.Name) && strings.Contains(string(raw), n.IP), "kup init: %s (%s) is not in %s", n.Name, n.IP, file)
	}
	// The lab's hosts want keys and passwords that init was not told of: the
	// file is read, then preflight may well block.
	o, err = h.kup.run(ctx, nil, "plan", "-f", file, "--kubeconfig", h.lab.Kubeconfig(), "--to", "v"+h.to)
	if err != nil {
		return err
	}
	h.check(o.code == exitDone || o.code == exitBlocked, "plan with the inventory of kup init: exit code %d: %s", o.code, o.errorLine())
	return nil
}

// apply takes the snapshot of before, starts the traffic, and runs kup.
func (h *hop) apply(ctx context.Context) error {
	var err error
	if h.objects, err = takeSnapshot(ctx, h.client.Discovery(), h.dynamic, nil); err != nil {
		return err
	}
	t, err := h.startTraffic(ctx)
	if err != nil {
		return err
	}
	var runErr error
	h.applied, runErr = h.kup.run(ctx, prefixed(h.out, "kup apply | "),
		"apply", "-f", h.lab.Inventory(), "--plan", h.planFile, "--yes")
	h.printf("kup apply: exit code %d after %s", h.applied.code, seconds(h.applied.took))
	h.check(h.applied.code == exitDone, "kup apply: exit code %d: %s", h.applied.code, h.applied.errorLine())
	wait(ctx, afterApply)
	settleErr := h.settled(ctx, settleTimeout)
	h.check(settleErr == nil, "after apply: %v", settleErr)
	var endErr error
	h.measured, endErr = t.end(ctx, h.env)
	h.check(endErr == nil, "read the accounts of the traffic: %v", endErr)
	if raw, err := json.MarshalIndent(map[string]any{"outside": h.measured.outside, "inside": h.measured.inside, "api": h.measured.api}, "", " "); err == nil {
		h.save("traffic.json", raw)
	}
	return errors.Join(runErr, ctx.Err())
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

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
	if err := h.judgeHosts(ctx); err != nil {
		return err
	}
	h.judgeTime()
	return nil
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
	rules, err := ignoreRules()
	if err != nil {
		return err
	}
	after, err := takeSnapshot(ctx, h.client.Discovery(), h.dynamic, h.objects)
	if err != nil {
		return err
	}
	c := Compare(h.objects.Objects, after.Objects, rules)
	h.reportComparison(c, rules)
	return nil
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
	searched, leaks, snapshots, err := h.canaries.search(h.kup.state, h.kup.outputs, h.kup.home, plans)
	if err != nil {
		return err
	}
	h.printf("canaries: %d values searched for in %d files, found %d times; %d etcd snapshots, which hold Secrets, were left out", len(h.canaries), searched, len(leaks), len(snapshots))
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
	h.check(t.Rest <= restShare*t.Wall, "kup's own share of the time is %s, more than %.0f %%", of(t.Rest), 100*restShare)
	const slack = 5
	h.check(abs(t.Wall-h.applied.took.Seconds()) <= slack, "kup reports %.1f s, the harness measured %.1f s", t.Wall, h.applied.took.Seconds())
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
