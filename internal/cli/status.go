package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/pkg/plan"
)

func newStatus(sys *system, g *global) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what ran, what runs and what is next",
		Long: `status reads the last run of the cluster from this machine and the lock from the
cluster. What this machine does not know, because another one went on with the run,
it asks of the control planes over SSH; also when the API does not answer. It
changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runStatus(c.Context(), sys, g, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// standing is where a run is.
type standing struct {
	Run     string `json:"run"`
	Plan    string `json:"plan"`
	Outcome string `json:"outcome"` // done, failed, stopped, rolled-back, or running or interrupted
	Error   string `json:"error,omitempty"`
	Done    int    `json:"stepsDone"`
	Total   int    `json:"stepsTotal"`
	// Running are steps that were begun and whose end is not known.
	Running []string `json:"running,omitempty"`
	Failed  []string `json:"failed,omitempty"`
	Next    string   `json:"next,omitempty"`
	// Accepted are the preflight rules that were let through when the run began, with
	// the reasons, and AcceptedBy who did.
	Accepted   map[string]string `json:"accepted,omitempty"`
	AcceptedBy string            `json:"acceptedBy,omitempty"`
	// Undoes is the run that this one takes back, and Scope how far; empty: it is an
	// upgrade.
	Undoes string `json:"undoes,omitempty"`
	Scope  string `json:"scope,omitempty"`
	// Reopened are the rollbacks that took steps of this run back.
	Reopened []string `json:"reopenedBy,omitempty"`
	// From is where this was read, when not on this machine.
	From string `json:"from,omitempty"`
	// Holder is who holds the lock now, if anybody does; Lock says more of it.
	Holder string      `json:"holder,omitempty"`
	Lock   *lockStatus `json:"lock,omitempty"`
}

func runStatus(ctx context.Context, sys *system, g *global, output string) error {
	ctx, done := sys.untilStop(ctx)
	defer done()
	s, apiErr, err := openOnlooker(ctx, sys, g, output)
	if err != nil {
		return err
	}
	defer s.close()
	var lock kube.LockState
	if apiErr == nil {
		if lock, apiErr = s.api.Lock(ctx); apiErr != nil {
			sys.tell("kup: %v", apiErr)
		}
	}
	r, err := s.newestRun(ctx, lock.Epoch)
	if errors.Is(err, errNoRun) && s.api == nil {
		return apiErr
	}
	if err != nil && !errors.Is(err, errNoRun) {
		return err
	}
	st := stand(r, lock)
	if output == "json" {
		return printJSON(sys.out, st)
	}
	return st.write(sys.out, apiErr == nil)
}

// newestRun gives the run that was last gone on with. The control planes are asked
// when this machine knows none, when the lock says that there was a later one, or
// when the API does not answer.
func (s *session) newestRun(ctx context.Context, epoch int64) (*runRecord, error) {
	id, err := s.identity(ctx)
	if err != nil {
		return nil, err
	}
	if id.UID != "" {
		r, err := lastRun(id.UID)
		if s.hosts == nil || (err == nil && epoch <= r.state.Epoch) {
			return r, err
		}
	}
	all, err := s.reachedShelves(ctx)
	if err != nil {
		return nil, err
	}
	g, err := findRun(ctx, id.UID, all)
	if forked := new(forkedError); errors.As(err, &forked) {
		s.sys.tell("kup: %v", err)
		s.sys.tell("hint: %s", forked.hint())
		return forked.newer(), nil
	}
	if err != nil {
		return nil, err
	}
	return g.runRecord, nil
}

// reachedShelves asks the control planes, and tells of those that do not answer.
func (s *session) reachedShelves(ctx context.Context) ([]shelf, error) {
	peers, err := s.controlPlanes()
	if err != nil {
		return nil, err
	}
	all := shelves(ctx, peers)
	if err := unasked(all); err != nil {
		s.sys.tell("kup: not asked: %v", err)
	}
	return all, nil
}

// stand puts together what a run and the lock say; r may be nil.
func stand(r *runRecord, lock kube.LockState) standing {
	var st standing
	if r != nil {
		st = r.stand()
		if r.where != here {
			st.From = r.where
		}
	}
	if lock.Held != nil {
		st.Holder, st.Lock = describeHolder(lock), newLockStatus(lock)
		if st.Outcome == "interrupted" && lock.Held.Run == st.Run && lock.Lives() {
			st.Outcome = "running"
		}
	}
	return st
}

func (st standing) write(w io.Writer, asked bool) error {
	if st.Run == "" {
		if _, err := fmt.Fprintln(w, "No run of this cluster is known on this machine."); err != nil {
			return err
		}
	} else {
		from := ""
		if st.From != "" {
			from = " (as " + st.From + " has it)"
		}
		fmt.Fprintf(w, "Run %s: %s, %d of %d steps done%s\n", st.Run, st.Outcome, st.Done, st.Total, from)
		if st.Undoes != "" {
			fmt.Fprintf(w, "  takes back run %s, scope %s\n", st.Undoes, st.Scope)
		}
		for _, by := range st.Reopened {
			fmt.Fprintf(w, "  steps were taken back by run %s\n", by)
		}
		if st.Error != "" {
			fmt.Fprintf(w, "  error: %s\n", oneLine(st.Error))
		}
		for _, id := range st.Running {
			fmt.Fprintf(w, "  begun: %s\n", id)
		}
		for _, id := range st.Failed {
			fmt.Fprintf(w, "  failed: %s\n", id)
		}
		if st.Next != "" {
			fmt.Fprintf(w, "  next: %s\n", st.Next)
		}
		if then := st.then(); then != "" {
			fmt.Fprintf(w, "  then: %s\n", then)
		}
		for _, id := range slices.Sorted(maps.Keys(st.Accepted)) {
			fmt.Fprintf(w, "  accepted: %s, by %s: %s\n", id, oneLine(st.AcceptedBy), oneLine(st.Accepted[id]))
		}
	}
	holder := st.Holder
	switch {
	case !asked:
		holder = "not known while the API does not answer"
	case holder == "":
		holder = "nobody"
	}
	_, err := fmt.Fprintf(w, "Lock: %s\n", oneLine(holder))
	return err
}

// then is what a rollback leaves to be done by the operator.
func (st standing) then() string {
	switch {
	case st.Undoes == "":
		return ""
	case st.Done < st.Total:
		return "kup rollback goes on"
	case st.Scope == string(plan.ScopeNode):
		return "kup apply --resume goes on with run " + st.Undoes
	}
	return "kup plan shows the way up again"
}

// stand tells how far the run is, from its journal.
func (r *runRecord) stand() standing {
	st := standing{Run: r.id, Plan: r.plan.ID, Outcome: "interrupted", Undoes: r.undoes(), Reopened: r.state.Reopened}
	if back := r.plan.Rollback; back != nil {
		st.Scope = string(back.Scope)
	}
	if accepted, by := r.acceptances(); len(accepted) > 0 {
		st.Accepted, st.AcceptedBy = accepted, by
	}
	if r.state.Ended != nil {
		st.Outcome, st.Error = string(r.state.Ended.Outcome), r.state.Ended.Error
	}
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		st.Total++
		switch past := r.state.Steps[s.ID]; {
		case past.Outcome == journal.Done:
			st.Done++
		case past.Begun():
			st.Running = append(st.Running, s.ID)
		case past.Outcome == journal.Failed:
			st.Failed = append(st.Failed, s.ID)
		case st.Next == "":
			st.Next = s.ID + ": " + s.Title
		}
		return true
	})
	if st.Undoes != "" && st.Outcome == string(journal.Done) {
		st.Outcome = string(journal.RolledBack)
	}
	return st
}

// over tells whether nothing of the run is left to do.
func (r *runRecord) over() bool { st := r.stand(); return st.Done == st.Total }

// unfinished tells of a run with steps left to do, or of one that ended before it could
// write that down: to whoever asked for it, it has not come to its end.
func (r *runRecord) unfinished() bool { return !r.over() || r.state.Ended == nil }

func (r *runRecord) standing() string {
	st := r.stand()
	return fmt.Sprintf("%s, %d of %d steps done", st.Outcome, st.Done, st.Total)
}

func printVersion(w io.Writer) error {
	c, err := catalog.Load()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "kup %s\ncatalog %s, Kubernetes %s to %s\n", version, c.Digest(), c.Oldest(), c.Newest())
	return err
}
