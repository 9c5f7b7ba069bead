package e2e

import (
	"context"
	"strings"
)

// runSingle upgrades a cluster of one control plane: what the plan says before,
// what apply asks for, that it then works.
func runSingle(ctx context.Context, e *env) error {
	h := newHop(e)
	var err error
	if h.before, err = e.askHosts(ctx); err != nil {
		return err
	}
	o, err := e.kup.run(ctx, prefixed(e.out, "kup plan | "), "plan", "-f", e.lab.Inventory(), "--to", "v"+e.to, "--out", h.planFile)
	if err != nil {
		return err
	}
	e.check(o.code == exitDone, "%s: exit code %d: %s", o, o.code, o.errorLine())
	e.check(announcesOutage(o.output()), "the plan does not announce that the API will be away")
	before, err := e.fingerprints(ctx)
	if err != nil {
		return err
	}
	// Neither silence nor consent to the steps is consent to an outage.
	for _, agreed := range [][]string{nil, {"--yes"}} {
		args := append([]string{"apply", "-f", e.lab.Inventory(), "--plan", h.planFile}, agreed...)
		o, err = e.kup.run(ctx, prefixed(e.out, "kup apply, not agreed to | "), args...)
		if err != nil {
			return err
		}
		e.check(o.code == exitUsage, "%s, without a terminal: exit code %d, want %d: %s", o, o.code, exitUsage, o.errorLine())
		e.check(announcesOutage(o.output()), "%s does not announce that the API will be away", o)
	}
	after, err := e.fingerprints(ctx)
	if err != nil {
		return err
	}
	for _, c := range changed(before, after) {
		e.check(false, "apply that was not agreed to touched %s", c)
	}
	if err := h.applyOnce(ctx, nil); err != nil {
		return err
	}
	if !e.check(h.applied.code == exitDone, "kup apply: exit code %d: %s", h.applied.code, h.applied.errorLine()) {
		return nil
	}
	err = e.settled(ctx, settleTimeout)
	e.check(err == nil, "after apply: %v", err)
	if err := h.judgeHosts(ctx); err != nil {
		return err
	}
	h.judgeTime()
	e.printTable("Summary", append([][]string{{"measured", "result"}}, h.summary...))
	return nil
}

// announcesOutage looks for a sentence that says the API will not answer.
func announcesOutage(text string) bool {
	for line := range strings.Lines(strings.ToLower(text)) {
		if !strings.Contains(line, "api") {
			continue
		}
		for _, word := range []string{"outage", "unavailable", "not answer", "away", "down"} {
			if strings.Contains(line, word) {
				return true
			}
		}
	}
	return false
}

// runNoop applies where there is nothing to do.
func runNoop(ctx context.Context, e *env) error {
	want, err := e.target(e.to)
	if err != nil {
		return err
	}
	first, err := e.kup.run(ctx, prefixed(e.out, "kup apply | "), "apply", "-f", e.lab.Inventory(), "--to", "v"+e.to, "--yes", acceptNotices)
	if err != nil {
		return err
	}
	if !e.check(first.code == exitDone, "first apply: exit code %d: %s", first.code, first.errorLine()) {
		return nil
	}
	hosts, err := e.askHosts(ctx)
	if err != nil {
		return err
	}
	for _, name := range sortedNames(hosts) {
		e.check(hosts[name].Kubelet == want, "node %s is at %s after apply, want %s", name, hosts[name].Kubelet, want)
	}
	if err := e.applyNothing(ctx); err != nil {
		return err
	}
	o, err := e.kup.run(ctx, prefixed(e.out, "kup plan | "), "plan", "-f", e.lab.Inventory(), "--to", "v"+e.to)
	if err != nil {
		return err
	}
	e.check(o.code == exitDone, "plan with nothing to do: exit code %d: %s", o.code, o.errorLine())
	return nil
}
