package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/pkg/plan"
)

type applyOptions struct {
	to       string
	planFile string
	versions string
	yes      bool
	notices  bool
	resume   bool
	accept   acceptFlag
	failing  onFailure
	windowOptions
}

func newApply(sys *system, g *global) *cobra.Command {
	o := &applyOptions{}
	c := &cobra.Command{
		Use:   "apply (--to VERSION | --plan FILE | --resume)",
		Short: "Execute a plan, step by step, with a gate after every step",
		Long: `apply shows the plan, asks, locks the cluster and executes the plan as written.
Every step is in the journal before it starts. Ctrl-C ends at the next step
boundary; --resume goes on from where the last run ended, from another machine too:
plan and journal are on the control planes as well.

With --until or --max-duration nothing is begun that would not end in time: a node
whose steps, from cordon to uncordon, do not fit as a whole is left alone. The run
then ends with exit status 4, and --resume goes on in the next window.

When a step fails on a node that it may have changed, that node is taken back at once, where
that loses nothing (--rollback-on-failure=node); with hop the whole hop is where a node
cannot be, with never nothing is. Exit status 5 then, and --resume goes on.

With --accept a rule's findings warn where they would block. The reason is in the plan,
in the run's journal, in kup status and in the report.

When the cluster is at the target already there is nothing to do: exit status 0.`,
		Example: `  kup apply --to v1.34              the newest patch of 1.34, hop by hop
  kup plan --to v1.34 --out p.json && kup apply --plan p.json --yes
  kup apply --plan p.json --until 04:00
  kup apply --resume --max-duration 2h30m`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runApply(c.Context(), sys, g, o) },
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "target: v1.34 (its newest patch), v1.34.4, or several with commas")
	f.StringVar(&o.planFile, "plan", "", "execute this plan file as written")
	f.StringVar(&o.versions, "versions-file", "", "versions the package source offers, for --to without reaching it (YAML)")
	f.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	f.BoolVar(&o.notices, "accept-notices", false, "accept the plan's notices marked with !, which --yes alone does not")
	f.BoolVar(&o.resume, "resume", false, "go on with the last run of this cluster, whichever machine began it")
	o.accept.add(f)
	o.failing.add(f)
	o.add(f)
	c.MarkFlagsMutuallyExclusive("to", "plan", "resume")
	c.MarkFlagsMutuallyExclusive("accept", "resume") // preflight is behind a run that goes on
	c.MarkFlagsOneRequired("to", "plan", "resume")
	return c
}

func runApply(ctx context.Context, sys *system, g *global, o *applyOptions) error {
	var given *plan.Plan
	if o.planFile != "" {
		var err error
		if given, err = readPlan(o.planFile); err != nil {
			return err
		}
	}
	accepted, err := o.accept.read()
	if err == nil {
		err = o.failing.check()
	}
	if err != nil {
		return err
	}
	w, err := o.window(time.Now(), sys.seams.Pace)
	if err != nil {
		return err
	}
	return inSession(ctx, sys, g, true, func(looking context.Context, s *session) error {
		if o.resume {
			return s.resume(ctx, looking, o, w)
		}
		return s.apply(ctx, looking, o, given, accepted, w)
	})
}

// apply executes the given plan, or one that it makes.
func (s *session) apply(ctx, looking context.Context, o *applyOptions, given *plan.Plan, accepted map[string]string, w window) error {
	if err := s.connect(looking); err != nil {
		return err
	}
	p, findings, err := s.planToApply(looking, given, wish{to: o.to, versionsFile: o.versions, accepted: accepted})
	if err != nil {
		return err
	}
	if err := errors.Join(report.Plan(s.sys.out, p), report.Findings(s.sys.out, findings, s.sys.width())); err != nil {
		return err
	}
	if len(p.Hops) == 0 {
		return nil
	}
	if err := (local{s.dir}).usable(p, untouched); err != nil {
		return err
	}
	if err := w.forecast(s.sys.out, p, untouched); err != nil {
		return err
	}
	if err := agree(ctx, s.sys, p, o); err != nil {
		return err
	}
	return s.executeUp(ctx, &runRecord{id: newRunID(time.Now()), plan: p, accepted: together(p.Accepted, accepted)}, w, o.failing)
}

// untouched is the state of a plan that was not begun.
func untouched(string) bool { return false }

// planToApply looks at the given plan again, or makes one for the target. What was
// found and blocks is shown at once.
func (s *session) planToApply(ctx context.Context, given *plan.Plan, w wish) (*plan.Plan, []preflight.Finding, error) {
	m := made{plan: given}
	var err error
	if given != nil {
		m.findings, err = s.recheck(ctx, given, w.accepted)
	} else {
		m, err = s.makePlan(ctx, w)
	}
	if err != nil {
		return nil, nil, err
	}
	return m.plan, m.findings, s.refuseBlocked(m.findings)
}

func readPlan(path string) (*plan.Plan, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{err: fmt.Errorf("plan file: %w", err), hint: "make one: kup plan --to VERSION --out " + path}
	}
	p, err := decodePlan(content)
	if err != nil {
		return nil, &usageError{err: fmt.Errorf("plan file %s: %w", path, err), hint: "make it anew: kup plan --to VERSION --out " + path}
	}
	if back := p.Rollback; back != nil { // what it costs is asked for by kup rollback alone
		return nil, &usageError{err: fmt.Errorf("plan file %s takes run %s back, and apply only goes up", path, back.Run), hint: "kup rollback lays it out anew, shows what it costs and asks"}
	}
	return p, nil
}

// holderIdentity names this process to whoever finds the lock held.
func holderIdentity() string {
	who := "unknown"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s@%s pid %d", who, host, os.Getpid())
}

// finish accounts for the run, learns from it and stores the result.
func (s *session) finish(r *runRecord, spent *report.Spent, began time.Time, runErr error, found *findings) error {
	result := &report.Result{
		Run: r.id, Plan: r.plan.ID, Outcome: "done", Began: began.UTC(), Ended: time.Now().UTC(),
		From: r.plan.Hops[0].From.String(), To: r.plan.Hops[len(r.plan.Hops)-1].To.String(),
		Snapshots: found.snapshots, Workloads: found.workloads, Deprecated: found.deprecated, Unready: found.unready,
	}
	if accepted, by := r.acceptances(); len(accepted) > 0 {
		result.Accepted, result.AcceptedBy = accepted, by
	}
	if back := r.plan.Rollback; back != nil {
		result.Undoes, result.Scope = back.Run, string(back.Scope)
	}
	switch {
	case runErr == nil && r.plan.Rollback != nil:
		result.Outcome = string(journal.RolledBack)
	case errors.Is(runErr, engine.ErrStopped):
		result.Outcome = "stopped"
	case is[*engine.WindowError](runErr):
		result.Outcome, result.Error = "stopped", runErr.Error()
	case runErr != nil:
		result.Outcome, result.Error = "failed", runErr.Error()
	}
	result.Account(spent.Split())
	s.learn(r)
	content, err := result.Encode()
	if err != nil {
		return err
	}
	return errors.Join(writeDurably(filepath.Join(r.dir, report.ResultFile), content), report.WriteResult(s.sys.out, result))
}
