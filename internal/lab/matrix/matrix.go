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

// Options say what is killed, when and how.
type Options struct {
	Courses []Course
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

// result is how a course ended in a mode.
type result struct {
	course   *Course
	mode     Mode // empty: undisturbed
	outcomes []*outcome
	took     time.Duration
	failures []string
}

// Run has every course gone once undisturbed, and once for every mode with kup killed
// and resumed all the way. The error tells that something differed.
func Run(ctx context.Context, o Options) (err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	dir, err := os.MkdirTemp("", "kup-matrix-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	results := make([][]*result, len(o.Courses)) // the undisturbed one first
	group, running := errgroup.WithContext(ctx)  // without the undisturbed run there is nothing to compare with
	group.SetLimit(max(1, o.AtOnce))
	for i := range o.Courses {
		course := &o.Courses[i]
		saved := filepath.Join(dir, course.Name)
		if err := prepare(running, course.Cluster, saved+"-first", saved); err != nil {
			return errors.Join(fmt.Errorf("%s: start the cluster: %w", course.Name, err), group.Wait())
		}
		results[i] = make([]*result, 1+len(o.Modes))
		for j, mode := range append([]Mode{""}, o.Modes...) {
			group.Go(func() (err error) {
				results[i][j], err = o.fork(running, course, mode, fmt.Sprintf("%s-%d", saved, j), saved)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return o.report(results, time.Since(began))
}

// prepare makes the cluster that all chains of a course begin with.
func prepare(ctx context.Context, config hollow.Config, dir, saved string) (err error) {
	config.Dir = dir
	c, err := hollow.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	return c.Save(ctx, saved)
}

// fork goes a course with a copy of its cluster. What fails is told with its mode, but
// for the undisturbed run.
func (o *Options) fork(ctx context.Context, course *Course, mode Mode, dir, saved string) (r *result, err error) {
	r = &result{course: course, mode: mode}
	began := time.Now()
	r.outcomes, err = o.gone(ctx, course, mode, dir, saved)
	r.took = time.Since(began)
	if err != nil && mode != "" {
		r.failures, err = []string{err.Error()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s undisturbed: %w", course.Name, err)
	}
	return r, nil
}

// gone gives the outcomes of a course.
func (o *Options) gone(ctx context.Context, course *Course, mode Mode, dir, saved string) (out []*outcome, err error) {
	config := course.Cluster
	config.Dir = dir
	c, err := hollow.Load(ctx, saved, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	return (&chain{mode: mode, cluster: c, options: o}).run(ctx, course)
}

// undisturbed describes the run that the others are compared with.
func (r *result) undisturbed() string {
	c, commands := r.course.Cluster, 0
	for _, out := range r.outcomes {
		commands += len(out.mutations)
	}
	return fmt.Sprintf("%s undisturbed: %d control planes, %d workers, from %s: %d commands on hosts, %.1f s",
		r.course.Name, c.ControlPlanes, c.Workers, c.Kubernetes, commands, r.took.Seconds())
}

// judge compares a result with the undisturbed one.
func (r *result) judge(undisturbed *result) {
	if len(r.failures) > 0 {
		return
	}
	for i, out := range r.outcomes {
		r.failures = append(r.failures, compare(undisturbed.outcomes[i], out)...)
	}
}

var modeNames = map[Mode]string{
	AfterBefore: "after the before-record", During: "during the effect",
	BeforeAfter: "after the effect, before the after-record", Torn: "in the middle of writing a record",
}

func (o *Options) report(results [][]*result, took time.Duration) error {
	for _, course := range results {
		fmt.Fprintln(o.Out, course[0].undisturbed())
	}
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "course\tkup killed\tkill points\truns\tseconds\tfailures")
	var failures []string
	kills, runs := 0, 0
	for _, course := range results {
		for _, r := range course[1:] {
			r.judge(course[0])
			here, begun := 0, 0
			for _, out := range r.outcomes {
				here, begun = here+out.kills, begun+out.runs
			}
			name := modeNames[r.mode]
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%d\n", r.course.Name, name, here, begun, r.took.Seconds(), len(r.failures))
			kills, runs = kills+here, runs+begun
			for _, f := range r.failures {
				failures = append(failures, fmt.Sprintf("%s, %s: %s", r.course.Name, name, f))
			}
			if here == 0 && len(r.failures) == 0 {
				failures = append(failures, fmt.Sprintf("%s, %s: kup was never killed", r.course.Name, name))
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range failures {
		fmt.Fprintln(o.Out, f)
	}
	fmt.Fprintf(o.Out, "kill points: %d, runs: %d, failures: %d (%.0f s)\n", kills, runs, len(failures), took.Seconds())
	if len(failures) > 0 {
		return fmt.Errorf("%d differences from the undisturbed runs", len(failures))
	}
	return nil
}
