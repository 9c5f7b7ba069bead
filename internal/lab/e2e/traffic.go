package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/lab/workload"
	"github.com/kup-project/kup/internal/lab/workload/probe"
)

// traffic is everything that watches and asks while something is done to the
// cluster.
type traffic struct {
	watcher      *watcher
	web, api     *probe.Recorder
	insideBefore insideCounters
	group        *errgroup.Group
	stop         context.CancelFunc
	stall        time.Duration // read after group.Wait only
}

// lateTimer is more than a timer is late on a machine that is not overloaded.
const lateTimer = 200 * time.Millisecond

// measured is what the traffic saw.
type measured struct {
	outside, inside, api probe.Report
	windows              []window
	pods                 judgement
	// blind is the longest time in which the watcher saw nothing.
	blind time.Duration
	// stall is how late a timer of the harness was at worst: what the machine
	// itself adds to every number.
	stall time.Duration
}

func (e *env) startTraffic(ctx context.Context) (*traffic, error) {
	t := &traffic{web: probe.NewRecorder(), api: probe.NewRecorder()}
	var err error
	if t.watcher, err = newWatcher(ctx, e.client); err != nil {
		return nil, err
	}
	if t.insideBefore, err = askInside(ctx, e.client); err != nil {
		return nil, err
	}
	if want := len(e.lab.Nodes()); len(t.insideBefore) != want {
		return nil, fmt.Errorf("%d in-cluster probers answer, want one on each of %d nodes", len(t.insideBefore), want)
	}
	run, stop := context.WithCancel(ctx)
	t.stop = stop
	t.group, _ = errgroup.WithContext(ctx)
	t.group.Go(func() error { return t.watcher.run(run) })
	t.group.Go(func() error { t.stall = worstStall(run); return nil })
	t.group.Go(func() error {
		outsideProbe(run, func() []string { return t.watcher.targets(workload.WebNodePort) }, t.web)
		return nil
	})
	t.group.Go(func() error { return apiProbe(run, e.config, e.lab.LoadBalancer(), t.api) })
	return t, nil
}

// end stops asking and reads the accounts. The probers' own account is read
// last, and retried: the API may be a moment away.
func (t *traffic) end(ctx context.Context, e *env) (measured, error) {
	outside, api := t.web.Report(), t.api.Report()
	t.stop()
	if err := t.group.Wait(); err != nil {
		return measured{}, fmt.Errorf("watch the cluster: %w", err)
	}
	// The accounts are read again for the requests that were still under way.
	m := measured{
		outside: until(t.web.Report(), outside.Until), api: until(t.api.Report(), api.Until),
		windows: t.watcher.drains.all(), pods: t.watcher.pods.judge(t.watcher.drains, t.watcher.away), blind: t.watcher.blind,
		stall: t.stall,
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var inside insideCounters
	err := poll(ctx, time.Second, func(ctx context.Context) error {
		var err error
		inside, err = askInside(ctx, e.client)
		return err
	})
	if err != nil {
		return m, err
	}
	m.inside, err = inside.since(t.insideBefore.without(t.watcher.away))
	return m, err
}

// worstStall measures how late a timer fires at worst.
func worstStall(ctx context.Context) time.Duration {
	const every = 50 * time.Millisecond
	var worst time.Duration
	t := time.NewTimer(every)
	defer t.Stop()
	for {
		due := time.Now().Add(every)
		t.Reset(every)
		select {
		case <-ctx.Done():
			return worst
		case now := <-t.C:
			worst = max(worst, now.Sub(due))
		}
	}
}

func until(r probe.Report, at time.Time) probe.Report {
	r.Until = at
	return r
}

// poll asks until f succeeds or the context ends; the error then names both.
func poll(ctx context.Context, every time.Duration, f func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// judgeTraffic prints the account of the traffic and asserts what must hold.
// apiOutage says that the API may be away for some time: then that is measured
// only.
func (e *env) judgeTraffic(m measured, apiOutage bool) {
	rows := [][]string{{"requests", "sent", "failed", "retried, then answered", "a second", "slowest", "connections"}}
	for _, part := range []struct {
		name string
		r    probe.Report
	}{{"web, outside through node ports", m.outside}, {"web, inside through the Service", m.inside}, {"API, through the load balancer", m.api}} {
		for _, name := range sortedNames(part.r.Probes) {
			c := part.r.Probes[name]
			kept := ""
			if c.Connections > 0 {
				kept = fmt.Sprint(c.Connections)
			}
			rows = append(rows, []string{
				part.name + ": " + name, fmt.Sprint(c.Sent), fmt.Sprint(c.Failed), fmt.Sprint(c.Retried),
				fmt.Sprintf("%.1f", float64(c.Sent)/max(part.r.Until.Sub(part.r.Since).Seconds(), 1)), seconds(c.Slowest), kept,
			})
		}
		e.printFailures(part.name, part.r)
	}
	e.printTable("Requests", rows)
	for name, r := range map[string]probe.Report{"outside": m.outside, "inside": m.inside} {
		e.check(r.Total().Failed == 0, "web %s: %d of %d requests failed", name, r.Total().Failed, r.Total().Sent)
		e.check(r.Rate() >= minRate, "web %s: %.1f requests a second, want %d to prove anything", name, r.Rate(), minRate)
	}
	if apiOutage {
		e.printf("API outage, longest time without an answer: %s", seconds(outage(m.api.Failures)))
	} else {
		e.check(m.api.Total().Failed == 0, "API: %d of %d requests failed, retry included", m.api.Total().Failed, m.api.Total().Sent)
	}
	e.judgePods(m)
}

func (e *env) printFailures(what string, r probe.Report) {
	const most = 12
	var shown int
	for _, f := range r.Failures {
		if shown++; shown > most {
			e.printf("  %s: and %d failures more that were kept", what, len(r.Failures)-most)
			return
		}
		verdict := "failed"
		if f.Recovered {
			verdict = "answered at the second try"
		}
		// A timeout that came late says that the machine, not the server, was busy.
		late := ""
		if over := f.Took - webTimeout; strings.HasPrefix(what, "web") && over > lateTimer {
			late = fmt.Sprintf(" [the prober's own timer was %s late]", seconds(over))
		}
		e.printf("  %s: %s %s (%s, %s) %s: %s%s", what, clock(f.At), f.Target, f.Probe, seconds(f.Took), verdict, f.Error, late)
	}
}

func (e *env) judgePods(m measured) {
	rows := [][]string{{"node", "unschedulable from", "until", "for"}}
	for _, w := range m.windows {
		row := []string{w.Node, clock(w.From), "still", ""}
		if !w.Until.IsZero() {
			row[2], row[3] = clock(w.Until), seconds(w.Until.Sub(w.From))
		}
		rows = append(rows, row)
	}
	e.printTable("Drains, as seen by polling nodes", rows)
	e.printf("pods seen outside kube-system: %d; moved off drained nodes: %d; in kube-system: %d pods replaced, %d containers restarted; longest time between two looks: %s; a timer of the harness was at worst %s late",
		m.pods.Pods, m.pods.Moved, m.pods.SystemReplaced, m.pods.SystemRestarts, seconds(m.blind), seconds(m.stall))
	if m.pods.AwayRestarts > 0 {
		e.printf("containers restarted on nodes that the scenario took away: %d", m.pods.AwayRestarts)
	}
	for _, r := range m.pods.Restarts {
		e.check(false, "restart: %s", r)
	}
	for _, u := range m.pods.Unexplained {
		e.check(false, "move: %s", u)
	}
}
