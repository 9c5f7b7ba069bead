package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// kill is a point at which kup dies.
type kill struct {
	name string
	// moments are where it may be seen; the next is tried when one was missed.
	moments []moment
	// look says afterwards what goes on without kup.
	look func(ctx context.Context, node string) (string, error)
}

// crash is the scenario's state.
type crash struct {
	*hop
	rows [][]string
	dead int
}

func runCrash(ctx context.Context, e *env) error {
	c := newCrash(newHop(e))
	c.drive = c.killAndResume
	c.more = func(ctx context.Context) error {
		c.tellKills("kup", c.kills())
		return c.judgeOnce(ctx, &away{})
	}
	return c.run(ctx)
}

func newCrash(h *hop) *crash {
	return &crash{hop: h, rows: [][]string{{"kup was killed in the middle of", "step", "seen just before", "seen just after"}}}
}

// tellKills prints where a command was killed.
func (c *crash) tellKills(command string, wanted []kill) {
	c.printTable(command+" killed (SIGKILL), and resumed each time", c.rows)
	c.sum("kup was killed", "%d times of %d", c.dead, len(wanted))
}

// kills are in the order in which the plan comes to them.
func (c *crash) kills() []kill {
	on := func(holds func(context.Context, string) (string, error), steps ...string) []moment {
		out := make([]moment, 0, len(steps))
		for _, s := range steps {
			out = append(out, moment{step: s, holds: holds})
		}
		return out
	}
	return []kill{
		{
			name:    "kubeadm upgrade apply, the API server restarting",
			moments: on(c.onNode(restarting, upgradesAPIServer), "control-plane/cp-1/apply"),
		},
		{
			name:    "a package install",
			moments: append(on(c.onNode("", dpkgInstalls), "control-plane/cp-2/kubeadm"), on(c.onNode("", aptInstalls), "control-plane/cp-3/kubeadm")...),
		},
		{
			name:    "an etcd member's upgrade, the member restarting",
			moments: on(c.onNode(restarting, upgradesEtcd), "etcd/cp-2/etcd", "etcd/cp-3/etcd", "etcd/cp-1/etcd"),
		},
		{
			name:    "a drain, pods being evicted",
			moments: on(c.evicting, "workers/w-1/drain", "workers/w-2/drain"),
			look:    c.leavingNow,
		},
		{
			name:    "a kubelet's swap, the new file there and the old process not gone",
			moments: on(c.onNode(oldKubelet, kubeletSwapped), "workers/w-1/kubelet", "workers/w-2/kubelet"),
		},
	}
}

// killAndResume applies the plan, killing kup wherever it should die.
func (c *crash) killAndResume(ctx context.Context, _ *traffic) error {
	runs, err := c.strikeAll(ctx, c.kills(), killable{"kup apply", c.applyArgs()}, killable{"kup apply --resume", resumeArgs(c.lab.Inventory())})
	if len(runs) > 0 {
		c.applied = runs[len(runs)-1]
	}
	return err
}

// killable is a kup that may be killed.
type killable struct {
	called string
	args   []string
}

// strikeAll has kup do its work and kills it wherever it should die; each time it is then
// started again. It gives how each of them ended.
func (c *crash) strikeAll(ctx context.Context, kills []kill, first, again killable) (runs []outcome, err error) {
	p, err := c.start(ctx, first)
	if err != nil {
		return nil, err
	}
	for _, k := range kills {
		struck, err := c.strike(ctx, p, k)
		if err != nil {
			return runs, errors.Join(err, p.kill())
		}
		if !struck {
			continue
		}
		runs = append(runs, p.outcome)
		if p, err = c.start(ctx, again); err != nil {
			return runs, err
		}
	}
	last, err := p.wait()
	return append(runs, last), err
}

func (c *crash) start(ctx context.Context, k killable) (*process, error) {
	return c.kup.start(ctx, prefixed(c.out, k.called+" | "), k.args...)
}

// strike kills kup at the first of the moments that comes. A kup that ended by
// itself leaves nothing to strike; its exit code is judged elsewhere.
func (c *crash) strike(ctx context.Context, p *process, k kill) (bool, error) {
	s, err := c.awaitFirst(ctx, c.kup, func() bool { return !p.ended() }, k.moments)
	if errors.Is(err, errMissed) {
		c.check(false, "kup was not killed in the middle of %s: %v", k.name, err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", k.name, err)
	}
	if err := p.kill(); err != nil {
		return false, err
	}
	return true, c.prove(ctx, k, s)
}

// prove records what there was to see at the kill: the journal says that the step
// was open, the node what ran.
func (c *crash) prove(ctx context.Context, k kill, s sighting) error {
	look := k.look
	if look == nil {
		look = c.runningOn
	}
	after, err := look(ctx, s.node)
	if err != nil {
		after = "could not be asked: " + err.Error()
	}
	lines, err := c.kup.journal()
	if err != nil {
		return err
	}
	c.check(standing(lines).open(s.step) != "", "%s: the step was over when kup was killed", s.step)
	c.dead++
	c.printf("killed in the middle of %s, in step %s; seen before: %s; after: %s", k.name, s.step, s.seen, after)
	c.rows = append(c.rows, []string{k.name, s.step, s.seen, strings.TrimSpace(after)})
	return nil
}

// leavingNow is what is still on its way off the node.
func (c *crash) leavingNow(ctx context.Context, node string) (string, error) {
	list, err := c.podsOn(ctx, node)
	if err != nil {
		return "", err
	}
	return leaving(list), nil
}
