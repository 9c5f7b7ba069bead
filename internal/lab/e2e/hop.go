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

	"github.com/kup-project/kup/pkg/plan"
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
	// drive takes the plan to its end and sets applied; nil: one apply does it.
	drive func(ctx context.Context, t *traffic) error
	// more judges what is the scenario's own; nil: nothing.
	more func(ctx context.Context) error
	// others are the homes of further operators, searched for secrets too.
	others []*binary
	// summary is the last table: a row for each thing that was measured.
	summary [][]string
}

func (h *hop) sum(what, format string, args ...any) {
	h.summary = append(h.summary, []string{what, fmt.Sprintf(format, args...)})
}

func runHop(ctx context.Context, e *env) error { return newHop(e).run(ctx) }

func newHop(e *env) *hop { return &hop{env: e, planFile: filepath.Join(e.dir, "plan.json")} }

func (h *hop) run(ctx context.Context) error {
	return h.inOrder(ctx, "==", []part{
		{"prepare", h.prepare}, {"init and plan", h.plan}, {"apply under traffic", h.apply}, {"judge", h.judge},
	})
}

// part is one of those that a scenario consists of.
type part struct {
	name string
	do   func(context.Context) error
}

// inOrder goes through the parts, until one fails. Mark begins the line that names each.
func (e *env) inOrder(ctx context.Context, mark string, parts []part) error {
	for _, p := range parts {
		e.printf("%s %s", mark, p.name)
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
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
	if err := o.failure(); err != nil {
		return err
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
	// A hop before this one left its own, which kup init does not replace.
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	file := filepath.Join(dir, "kup.yaml")
	o, err := h.kup.run(ctx, nil, "init", "-f", file, "--kubeconfig", h.lab.Kubeconfig())
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
	// The lab's hosts want keys, host keys and passwords that init was not told
	// of: the file must be read, what comes after may well refuse. Errors of an
	// inventory begin with its path.
	o, err = h.kup.run(ctx, nil, "plan", "-f", file, "--kubeconfig", h.lab.Kubeconfig(), "--to", "v"+h.to)
	if err != nil {
		return err
	}
	known := o.code == exitDone || o.code == exitBlocked || o.code == exitUsage
	h.check(known && !strings.Contains(o.output(), file), "plan with the inventory of kup init: exit code %d: %s", o.code, o.errorLine())
	return nil
}

// apply takes the snapshot of before, starts the traffic, and has the plan applied.
func (h *hop) apply(ctx context.Context) error {
	var err error
	if h.objects, err = takeSnapshot(ctx, h.client.Discovery(), h.dynamic, nil); err != nil {
		return err
	}
	t, err := h.startTraffic(ctx)
	if err != nil {
		return err
	}
	drive := h.drive
	if drive == nil {
		drive = h.applyOnce
	}
	runErr := drive(ctx, t)
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

// readPlan reads the plan file.
func (h *hop) readPlan() (*plan.Plan, error) {
	raw, err := os.ReadFile(h.planFile)
	if err != nil {
		return nil, err
	}
	p, err := plan.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.planFile, err)
	}
	return p, nil
}

// applyArgs begin the plan.
func (h *hop) applyArgs() []string {
	return []string{"apply", "-f", h.lab.Inventory(), "--plan", h.planFile, "--yes", acceptNotices}
}

// resumeArgs go on with it, from the place of an inventory.
func resumeArgs(inventory string) []string {
	return []string{"apply", "-f", inventory, "--resume", "--yes"}
}

func (h *hop) applyOnce(ctx context.Context, _ *traffic) error {
	var err error
	h.applied, err = h.kup.run(ctx, prefixed(h.out, "kup apply | "), h.applyArgs()...)
	return err
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
