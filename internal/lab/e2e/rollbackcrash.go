package e2e

import (
	"context"
	"slices"
)

// runRollbackCrash is rollback-hop-keep with kup killed on the way back.
func runRollbackCrash(ctx context.Context, e *env) error {
	b := newHopBack(e)
	c := newCrash(b.hop)
	b.roll = func(ctx context.Context) (outcome, error) {
		return c.rollAndResume(ctx, b.rollbackArgs(), c.killsBack())
	}
	b.more = func(context.Context) error {
		c.tellKills("kup rollback", c.killsBack())
		return nil
	}
	return b.run(ctx)
}

// killsBack are in the order in which a rollback of a hop comes to them.
func (c *crash) killsBack() []kill {
	return []kill{
		{
			name:    "an add-on that goes back",
			moments: []moment{{step: "addons/coredns"}, {step: "addons/kube-proxy"}},
			look:    func(context.Context, string) (string, error) { return "only the API is asked in this step", nil },
		},
		{
			name: "a worker's package that goes back",
			moments: []moment{
				{step: "workers/w-1/kubelet-packages", holds: c.onNode("", aptInstalls)},
				{step: "workers/w-2/kubelet-packages", holds: c.onNode("", aptInstalls)},
			},
		},
		{
			name: "an API server's manifest that goes back, the API server restarting",
			moments: []moment{
				{step: "control-plane/cp-1/components", holds: c.onNode(restarting, "restarting kube-apiserver")},
				{step: "control-plane/cp-2/components", holds: c.onNode(restarting, "restarting kube-apiserver")},
				{step: "control-plane/cp-3/components", holds: c.onNode(restarting, "restarting kube-apiserver")},
			},
		},
	}
}

// rollAndResume rolls back, killing kup wherever it should die; kup rollback goes on
// with what it finds unfinished. How the last one ended is given with what all of them
// printed: only the first shows the plan.
func (c *crash) rollAndResume(ctx context.Context, args []string, kills []kill) (outcome, error) {
	again := []string{"rollback", "-f", c.lab.Inventory(), "--yes"}
	runs, err := c.strikeAll(ctx, kills, killable{"kup rollback", args}, killable{"kup rollback, again", again})
	var all outcome
	for _, o := range runs {
		all = all.before(o)
	}
	return all, err
}

// before is how a later kup ended, with what this one printed before it.
func (o outcome) before(later outcome) outcome {
	later.stdout = slices.Concat(o.stdout, later.stdout)
	later.stderr = slices.Concat(o.stderr, later.stderr)
	later.took += o.took
	return later
}
