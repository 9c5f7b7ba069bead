package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// Options say what is upgraded, and where to.
type Options struct {
	Cluster hollow.Config // Dir is chosen
	To      string        // "v1.35"
	Modes   []Mode
	// AtOnce is how many chains run side by side.
	AtOnce int
	// Program is kup-lab: every run of kup is a process of its own.
	Program string
	Out     io.Writer
}

// garbagePercent lets models and short runs of kup collect seldom: memory is cheaper
// than time.
const garbagePercent = 400

// result is how a mode ended.
type result struct {
	mode Mode
	*outcome
	took     time.Duration
	failures []string
}

// Run upgrades one cluster undisturbed, and one for every mode with kup killed
// and resumed all the way. The error tells that something differed.
func Run(ctx context.Context, o Options) (err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	dir, err := os.MkdirTemp("", "kup-matrix-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	saved := filepath.Join(dir, "saved")
	if err := prepare(ctx, &o, filepath.Join(dir, "first"), saved); err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	fmt.Fprintf(o.Out, "%d control planes, %d workers, %s to %s; modes run on copies of one cluster\n", o.Cluster.ControlPlanes, o.Cluster.Workers, o.Cluster.Kubernetes, o.To)
	var undisturbed *result
	results := make([]*result, len(o.Modes))
	group, ctx := errgroup.WithContext(ctx) // without the undisturbed run there is nothing to compare with
	group.SetLimit(max(1, o.AtOnce))
	group.Go(func() (err error) {
		if undisturbed, err = o.fork(ctx, "", filepath.Join(dir, "undisturbed"), saved); err != nil {
			return fmt.Errorf("undisturbed: %w", err)
		}
		fmt.Fprintf(o.Out, "undisturbed: %d commands on hosts, %.1f s\n", len(undisturbed.mutations), undisturbed.took.Seconds())
		return nil
	})
	for i, mode := range o.Modes {
		group.Go(func() error {
			r, err := o.fork(ctx, mode, filepath.Join(dir, string(mode)), saved)
			if err != nil {
				r = &result{mode: mode, outcome: &outcome{}, failures: []string{err.Error()}} // told with its mode
			}
			results[i] = r
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range results {
		if len(r.failures) == 0 {
			r.failures = compare(undisturbed.outcome, r.outcome)
		}
	}
	return o.report(results, time.Since(began))
}

// prepare makes the cluster that all chains begin with.
func prepare(ctx context.Context, o *Options, dir, saved string) (err error) {
	config := o.Cluster
	config.Dir = dir
	c, err := hollow.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	return c.Save(ctx, saved)
}

// fork upgrades a copy of the cluster.
func (o *Options) fork(ctx context.Context, mode Mode, dir, saved string) (r *result, err error) {
	began := time.Now()
	config := o.Cluster
	config.Dir = dir
	c, err := hollow.Load(ctx, saved, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	out, err := newChain(mode, c, o).run(ctx)
	return &result{mode: mode, outcome: out, took: time.Since(began)}, err
}

var modeNames = map[Mode]string{
	AfterBefore: "after the before-record", During: "during the effect",
	BeforeAfter: "after the effect, before the after-record", Torn: "in the middle of writing a record",
}

func (o *Options) report(results []*result, took time.Duration) error {
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "kup killed\tkill points\truns\tseconds\tfailures")
	kills, runs, failures := 0, 0, 0
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%d\n", modeNames[r.mode], r.kills, r.runs, r.took.Seconds(), len(r.failures))
		kills, runs, failures = kills+r.kills, runs+r.runs, failures+len(r.failures)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		for _, f := range r.failures {
			fmt.Fprintf(o.Out, "%s: %s\n", modeNames[r.mode], f)
		}
	}
	fmt.Fprintf(o.Out, "kill points: %d, runs: %d, failures: %d (%.0f s)\n", kills, runs, failures, took.Seconds())
	if failures > 0 {
		return fmt.Errorf("%d differences from the undisturbed run", failures)
	}
	if kills == 0 {
		return errors.New("kup was never killed")
	}
	return nil
}
