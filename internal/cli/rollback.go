package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/pkg/plan"
)

type rollbackOptions struct {
	scope    string
	nodes    []string
	losses   bool
	identity string
	yes      bool
	notices  bool
	out      string
	output   string
	failed   []string // nodes whose steps failed, when apply takes back by itself
}

// scopeAuto takes the least costly way that works.
const scopeAuto = "auto"

func newRollback(sys *system, g *global) *cobra.Command {
	o := &rollbackOptions{}
	c := &cobra.Command{
		Use:   "rollback",
		Short: "Take the last run back, the least costly way that works",
		Long: `rollback takes back what the last run of this cluster did, by a plan of its own that is
shown, asked for, journalled and resumable like an upgrade's. It builds on the run's
journal and on the backups and the snapshot that the run made, and works from every
machine that reaches the control planes over SSH.

Scopes, the least costly first:
  node   nodes whose steps did not end go back; the rest of the hop stands, and
         kup apply --resume goes on when the cause is mended
  hop    everything but etcd goes back one minor; what was written since stays
  data   everything goes back, and the hop's snapshot is restored: what was written
         since is lost

auto takes the first that works, and says why those before it do not. A plan that loses
data says what, by namespace, kind and name, and needs --accept-data-loss.

Exit status 5 when it is rolled back, 4 when it stopped on the way: kup rollback goes on.
An unfinished rollback is gone on with, whatever is asked for; only --scope data may take
its place. What one that restores data would lose more by then is listed and must be
accepted too. One that restores an encrypted snapshot needs --identity again, until the
members' nodes have it.`,
		Example: `  kup rollback
  kup rollback --node w-3
  kup rollback --scope hop --out back.json    look at it only
  kup rollback --scope data --accept-data-loss --yes
  kup rollback --scope data --identity ~/keys/etcd.txt    the snapshot is encrypted`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runRollback(c.Context(), sys, g, o) },
	}
	f := c.Flags()
	f.StringVar(&o.scope, "scope", scopeAuto, "how far: auto, node, hop or data")
	f.StringArrayVar(&o.nodes, "node", nil, "take this node back, though its steps ended (may be repeated; scope node)")
	f.BoolVar(&o.losses, "accept-data-loss", false, "accept that what the plan lists is lost, and of a rollback that is gone on with also what became more since")
	f.StringVar(&o.identity, "identity", "", "file with the age identity that opens an encrypted snapshot (scope data)")
	f.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	f.BoolVar(&o.notices, "accept-notices", false, "accept the plan's notices marked with !, which --yes alone does not")
	f.StringVar(&o.out, "out", "", "write the plan to this file and change nothing")
	f.StringVarP(&o.output, "output", "o", "text", "the plan as text or json")
	return c
}

// check reads the flags.
func (o *rollbackOptions) check() error {
	if err := textOrJSON(o.output); err != nil {
		return err
	}
	if o.scope != scopeAuto && !slices.Contains(plan.Scopes(), plan.Scope(o.scope)) {
		return &usageError{err: fmt.Errorf("scope %q: want auto, node, hop or data", o.scope), hint: "auto takes the least costly way that works"}
	}
	if len(o.nodes) > 0 {
		if o.scope != scopeAuto && o.scope != string(plan.ScopeNode) {
			return &usageError{err: fmt.Errorf("--node is of scope node, not of %s", o.scope), hint: "leave one of them out"}
		}
		o.scope = string(plan.ScopeNode)
	}
	return nil
}

func runRollback(ctx context.Context, sys *system, g *global, o *rollbackOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	ids, err := snapshot.LoadIdentities(o.identity)
	if err != nil {
		return err
	}
	return inSession(ctx, sys, g, true, func(looking context.Context, s *session) error {
		s.identities = ids
		return s.rollback(ctx, looking, o)
	})
}

// rollback goes on with an unfinished rollback, or begins one.
func (s *session) rollback(ctx, looking context.Context, o *rollbackOptions) error {
	last, apiErr, err := s.findLast(looking, ", so there is nothing to take back", "kup history")
	if err != nil {
		return err
	}
	if last.undoes() != "" && last.unfinished() && !o.replaces(last) {
		return s.goOnBack(ctx, looking, last, o, apiErr)
	}
	u, err := s.undoable(looking, last)
	if err != nil {
		return err
	}
	if err := quiet(looking, s.sys.tell, s.hostsSay, u, last); err != nil {
		return err
	}
	if apiErr == nil {
		if err := s.sameCluster(looking, u.plan); err != nil {
			return err
		}
	}
	p, err := s.planBack(looking, u, o, apiErr)
	if err != nil {
		return err
	}
	if err := o.show(s.sys, p); err != nil || o.out != "" {
		return err
	}
	if err := agreeBack(ctx, s.sys, p, o); err != nil {
		return err
	}
	return s.executeBack(ctx, &runRecord{id: newRunID(time.Now()), plan: p, above: max(u.state.Epoch, last.state.Epoch)})
}

// show prints the plan, or writes it to a file.
func (o *rollbackOptions) show(sys *system, p *plan.Plan) error {
	var err error
	if o.output == "json" {
		err = printJSON(sys.out, p)
	} else {
		err = report.Plan(sys.out, p)
	}
	if err != nil || o.out == "" {
		return err
	}
	return writePlan(o.out, p)
}

// agreeBack asks for the plan as apply does, and for what it loses before that.
func agreeBack(ctx context.Context, sys *system, p *plan.Plan, o *rollbackOptions) error {
	if len(p.Rollback.Losses) > 0 && !o.losses {
		return &usageError{
			err:  errors.New("this rollback loses what is listed above; nothing was touched"),
			hint: "read the list, then pass --accept-data-loss too",
		}
	}
	return agree(ctx, sys, p, &applyOptions{yes: o.yes, notices: o.notices})
}

// undoable gives the run that can be taken back, as all who know it have it: the last
// one, or, after a rollback of single nodes, the one that it took them back from.
func (s *session) undoable(ctx context.Context, last *runRecord) (*runRecord, error) {
	u := last
	if id := last.undoes(); id != "" {
		var err error
		if u, err = s.findNamed(ctx, last.plan.Facts.Identity.UID, id); err != nil {
			return nil, err
		}
	}
	if by, back := u.state.RolledBack(); back {
		return nil, &usageError{err: fmt.Errorf("run %s was rolled back as a whole already, by run %s", u.id, by), hint: "plan anew: kup plan"}
	}
	return u, nil
}

// findNamed gives a run of that name as this machine and the control planes know it.
func (s *session) findNamed(ctx context.Context, clusterUID, id string) (*runRecord, error) {
	all, err := s.everyShelf(ctx)
	if err != nil {
		return nil, err
	}
	g, err := gather(ctx, clusterUID, id, all)
	if errors.Is(err, errNoRun) {
		return nil, &usageError{err: fmt.Errorf("run %s, which was taken back, is not known here or on a control plane", id), hint: "kup history lists those that are"}
	}
	if err != nil {
		return nil, err
	}
	return g.runRecord, nil
}

// replaces tells whether a rollback takes the place of an unfinished one. Only a restore
// may: it makes everything what it was before the hop, however far the other one came,
// and is what is left when the API that the other one needs is dead. Another restore is
// replaced as long as it changed nothing: what it loses has become more since.
func (o *rollbackOptions) replaces(unfinished *runRecord) bool {
	if o.scope != string(plan.ScopeData) {
		return false
	}
	changed := false
	unfinished.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		changed = changed || (s.Mutates && unfinished.state.Steps[s.ID].Attempt > 0)
		return !changed
	})
	return !changed || unfinished.plan.Rollback.Scope != plan.ScopeData
}

// goOnBack resumes a rollback.
func (s *session) goOnBack(ctx, looking context.Context, r *runRecord, o *rollbackOptions, apiErr error) error {
	if o.out != "" {
		return o.show(s.sys, r.plan)
	}
	s.tellOf(r, fmt.Sprintf("Going on with rollback %s of run %s", r.id, r.undoes()))
	if o.scope != scopeAuto && o.scope != string(r.plan.Rollback.Scope) {
		return &usageError{
			err:  fmt.Errorf("rollback %s of scope %s is unfinished; it comes to its end before another is begun", r.id, r.plan.Rollback.Scope),
			hint: "kup rollback goes on with it; where it cannot, kup rollback --scope data restores the snapshot instead",
		}
	}
	before := func() error {
		if err := s.undoneAtRest(looking, r); err != nil {
			return err
		}
		if err := s.unsealAgain(looking, r); err != nil || apiErr != nil {
			return err
		}
		return s.lookOnce(looking, r, o)
	}
	if err := s.goOn(ctx, looking, r, o.yes, before, apiErr); err != nil {
		return err
	}
	if apiErr != nil && !blind(r.plan) { // it answers by now
		if err := s.lossesAgain(looking, r, o); err != nil {
			return err
		}
	}
	return s.executeBack(ctx, r)
}

// undoneAtRest sees to it that nothing of the run that is taken back is at work. The
// rollback may have been begun, and come no further, because a host did not answer.
func (s *session) undoneAtRest(ctx context.Context, r *runRecord) error {
	u, err := s.findNamed(ctx, r.plan.Facts.Identity.UID, r.undoes())
	if err != nil {
		return err
	}
	return quiet(ctx, s.sys.tell, s.hostsSay, u)
}

// lookOnce asks the API, which answers, what must hold to go on with a rollback.
func (s *session) lookOnce(ctx context.Context, r *runRecord, o *rollbackOptions) error {
	if !blind(r.plan) {
		if err := s.sameCluster(ctx, r.plan); err != nil {
			return err
		}
	}
	return s.lossesAgain(ctx, r, o)
}

// executeBack executes a rollback: one that came to its end is told by its own exit code.
func (s *session) executeBack(ctx context.Context, r *runRecord) error {
	if err := s.execute(ctx, r, window{}); err != nil {
		return err
	}
	return &rolledBackError{plan: r.plan}
}

// rolledBackError tells that a rollback came to its end. It is no failure.
type rolledBackError struct {
	plan  *plan.Plan
	cause error // what it was begun for, by apply itself; nil: it was asked for
}

func (e *rolledBackError) Error() string {
	r := e.plan.Rollback
	text := fmt.Sprintf("run %s was rolled back to %s", r.Run, e.plan.Hops[0].To)
	if r.Scope == plan.ScopeNode {
		text = fmt.Sprintf("run %s was rolled back on %s; the rest of it stands", r.Run, joined(r.Nodes))
	}
	if e.cause != nil {
		text = fmt.Sprintf("%v; %s", e.cause, text)
	}
	return text
}

func (e *rolledBackError) hint() string {
	if e.plan.Rollback.Scope == plan.ScopeNode {
		return "mend the cause, then: kup apply --resume"
	}
	return "kup plan shows the way up again"
}

// noWayError tells that no way back can be gone.
type noWayError struct {
	ways   []planner.Way
	sealed bool // an identity would open the one of the data
}

func (e *noWayError) hint() string {
	if e.sealed {
		return "kup rollback --identity FILE, with the file that age-keygen wrote"
	}
	return "mend what keeps the ways back from being gone, or go on: kup apply --resume"
}

func (e *noWayError) Error() string {
	text := "no way back can be gone; nothing was touched"
	for _, w := range e.ways {
		text += fmt.Sprintf("; scope %s: %s", w.Scope, w.Why)
	}
	return text
}
