package e2e

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// repositoryGone and poweredOff are how long these faults last at least.
	repositoryGone = time.Minute
	poweredOff     = 2 * time.Minute
	// noticed bounds the waiting for kup to say what is in its way. A budget waits
	// for its drain besides, which takes its time to come.
	noticed = 3 * time.Minute
	// afterNoticed is how much longer a fault lasts then: kup must bear it, not
	// only see it.
	afterNoticed = 10 * time.Second
	// patience is how long a kup that stopped waits to be resumed while something
	// is still wrong. What stopped it may have been something else.
	patience = 6 * time.Minute
)

// faultTrials are in the order in which the plan comes to their moments.
func (t *trials) faultTrials() []trial {
	return []trial{
		{
			fault: "repository-gone", what: "the package repository answers 404 for a minute",
			at: moment{step: "prepare/*/backup"}, lasts: lasting(repositoryGone), says: []string{"/v" + t.to + "/"},
		},
		{
			fault: "refused", what: "SSH is cut and refused during kubeadm upgrade node",
			at:    moment{step: "control-plane/cp-2/node", holds: t.onNode("", kubeadmRuns)},
			lasts: untilSaid("connecting again", noticed), says: []string{"connecting again"},
		},
		{
			fault: "host-off", what: "a control plane has no power for two minutes between its steps", away: true,
			at: moment{step: "control-plane/cp-3/images", after: true}, lasts: lasting(poweredOff), says: []string{"cp-3: waiting", "cp-3: dial", "host=cp-3", "on cp-3"},
		},
		{
			fault: "endless-drain", what: "a budget allows no eviction until it is relaxed",
			at: moment{step: "etcd/*/etcd"}, node: "w-1", lasts: untilSaid(blockingBudget, momentTimeout), says: []string{blockingBudget},
		},
		{
			fault: "host-reboot", what: "a worker loses its power during a package install", away: true,
			at: moment{step: "workers/w-2/kubelet", holds: t.onNode("", aptInstalls)}, says: []string{"how it ended is not known", "was restarted before the command ended"},
		},
	}
}

func lasting(d time.Duration) func(context.Context, *trials, int) error {
	return func(ctx context.Context, _ *trials, _ int) error {
		wait(ctx, d)
		return ctx.Err()
	}
}

// untilSaid lasts until kup has said what is in its way, and a little longer.
func untilSaid(text string, within time.Duration) func(context.Context, *trials, int) error {
	return func(ctx context.Context, t *trials, from int) error {
		bounded, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("kup did not say %q within %s", text, within))
		defer cancel()
		err := poll(bounded, glance, func(context.Context) error {
			if lineWith(t.said.since(from), text) != "" {
				return nil
			}
			if !t.going() {
				cancel()
			}
			return fmt.Errorf("kup did not say %q", text)
		})
		if err != nil {
			return err
		}
		wait(ctx, afterNoticed)
		return ctx.Err()
	}
}

func runFaults(ctx context.Context, e *env) error {
	h := newHop(e)
	t := &trials{hop: h}
	h.drive = t.applyThrough
	h.more = func(ctx context.Context) error {
		if err := t.judgeTrials(ctx); err != nil {
			return err
		}
		return h.judgeOnce(ctx, t.away)
	}
	return h.run(ctx)
}

// applyThrough applies the plan while faults strike, and resumes whenever kup
// stopped.
func (t *trials) applyThrough(ctx context.Context, tr *traffic) error {
	t.away = tr.watcher.away
	list := t.faultTrials()
	striking, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- t.run(striking, list) }()
	err := t.resumeUntilDone(ctx, len(list))
	t.end()
	if err != nil {
		cancel()
	}
	if strikeErr := <-done; err == nil {
		err = strikeErr
	}
	t.check(len(t.struck) == len(list), "%d faults of %d struck", len(t.struck), len(list))
	return err
}

// resumeUntilDone runs kup, and again after each stop, once nothing is wrong any
// more. A stop must be one that kup declares resumable, with a hint.
func (t *trials) resumeUntilDone(ctx context.Context, most int) error {
	args, name := append(t.applyArgs(), noRollback), "kup apply | "
	for stops := 0; ; stops++ {
		var err error
		t.applied, err = t.kup.run(ctx, io.MultiWriter(prefixed(t.out, name), &t.said), args...)
		if err != nil {
			return err
		}
		if t.applied.code != exitStopped || stops == most {
			t.sum("kup stopped and was resumed", "%d times", stops)
			return nil
		}
		t.printf("kup stopped: %s", t.applied.errorLine())
		t.check(lineWith(t.applied.output(), "hint:") != "", "kup stopped without a hint: %s", t.applied.errorLine())
		healed, cancel := context.WithTimeout(ctx, patience)
		err = poll(healed, time.Second, t.nothingWrong)
		cancel()
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			t.printf("resumed although something is still wrong: %v", err)
		}
		args, name = append(resumeArgs(t.lab.Inventory()), noRollback), "kup apply --resume | "
	}
}
