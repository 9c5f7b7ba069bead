package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/report"
)

func newHistory(sys *system, g *global) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "history [RUN]",
		Short: "List the runs of this cluster, or the records of one",
		Long: `history lists the runs of the cluster that this machine and, over SSH, the control
planes know: when, by whom, from which version to which, how it ended. With a run's
name it prints what that run recorded. It changes nothing.`,
		Example: `  kup history
  kup history 20260102-030405-abcdef -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runHistory(c.Context(), sys, g, args, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// pastRun is one line of the history.
type pastRun struct {
	Run     string    `json:"run"`
	Began   time.Time `json:"began"`
	By      string    `json:"by"` // who began it
	From    string    `json:"from"`
	To      string    `json:"to"`
	Outcome string    `json:"outcome"` // done, failed, stopped, rolled-back, or interrupted
	Error   string    `json:"error,omitempty"`
	// Seconds that the run was at work, without the time between being stopped and
	// being resumed.
	Seconds float64 `json:"seconds"`
	Done    int     `json:"stepsDone"`
	Total   int     `json:"stepsTotal"`
	Resumed int     `json:"resumed"` // how often
	// Undoes is the run that this one took back, and Scope how far.
	Undoes string `json:"undoes,omitempty"`
	Scope  string `json:"scope,omitempty"`
	// Where this was read.
	Where string `json:"where"`
}

func runHistory(ctx context.Context, sys *system, g *global, args []string, output string) error {
	ctx, done := sys.untilStop(ctx)
	defer done()
	s, _, err := openOnlooker(ctx, sys, g, output)
	if err != nil {
		return err
	}
	defer s.close()
	runs, err := s.allRuns(ctx, args)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && len(runs) == 0:
		return &usageError{err: fmt.Errorf("run %q is not known", args[0]), hint: "kup history lists those that are"}
	case len(args) == 1 && output == "json":
		return printJSON(sys.out, runs[0].records)
	case len(args) == 1:
		return writeRecords(sys.out, runs[0])
	}
	list := make([]pastRun, len(runs))
	for i, r := range runs {
		list[i] = r.past()
	}
	if output == "json" {
		return printJSON(sys.out, list)
	}
	return writeHistory(sys.out, list)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// allRuns reads the runs of the cluster, the last one first; only those named when
// some are.
func (s *session) allRuns(ctx context.Context, names []string) ([]*runRecord, error) {
	id, err := s.identity(ctx)
	if err != nil {
		return nil, err
	}
	var all []shelf
	if s.hosts != nil {
		if all, err = s.reachedShelves(ctx); err != nil {
			return nil, err
		}
	}
	var local []knownRun
	if id.UID != "" {
		if local, err = runsHere(id.UID); err != nil {
			return nil, err
		}
	}
	var out []*runRecord
	for _, k := range known(local, all) {
		if len(names) > 0 && k.id != names[0] {
			continue
		}
		r, err := s.readKnown(ctx, id.UID, k, all)
		switch {
		case errors.Is(err, errNoRun):
		case err != nil:
			s.sys.tell("kup: %v", err)
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

// readKnown reads this machine's copy of a run when nobody else went on with it,
// and gathers all copies where somebody did.
func (s *session) readKnown(ctx context.Context, uid string, k knownRun, all []shelf) (*runRecord, error) {
	if uid != "" {
		if r, err := loadRunHere(uid, k.id); err == nil && r.state.Epoch >= k.epoch && len(r.records) > 0 {
			return r, nil
		}
	}
	g, err := gather(ctx, uid, k.id, all)
	if forked := new(forkedError); errors.As(err, &forked) {
		s.sys.tell("kup: %v", err)
		return forked.newer(), nil
	}
	if err != nil {
		return nil, err
	}
	return g.runRecord, nil
}

// past sums the run up.
func (r *runRecord) past() pastRun {
	st := r.stand()
	p := pastRun{
		Run: r.id, Undoes: st.Undoes, Scope: st.Scope, Outcome: st.Outcome, Error: st.Error, Done: st.Done, Total: st.Total, Where: r.where,
		By: r.records[0].Holder, Began: r.records[0].At, Seconds: atWork(r.records).Seconds(),
		From: r.plan.Hops[0].From.String(), To: r.plan.Hops[len(r.plan.Hops)-1].To.String(),
	}
	for _, record := range r.records {
		if record.Kind == journal.RunResumed {
			p.Resumed++
		}
	}
	return p
}

// atWork is the time between records, but for that before a resumption.
func atWork(records []journal.Record) time.Duration {
	var sum time.Duration
	for i := 1; i < len(records); i++ {
		if records[i].Kind != journal.RunResumed {
			sum += records[i].At.Sub(records[i-1].At)
		}
	}
	return sum
}

func writeHistory(w io.Writer, list []pastRun) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No run of this cluster is known.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tBEGAN\tBY\tFROM\tTO\tOUTCOME\tTOOK\tSTEPS\tRESUMED\tTAKES BACK")
	for _, p := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%d\t%s\n", p.Run, p.Began.Local().Format(time.DateTime), p.By, p.From, p.To,
			p.Outcome, report.Duration(time.Duration(p.Seconds*float64(time.Second))), p.Done, p.Total, p.Resumed, p.takesBack())
	}
	return t.Flush()
}

// takesBack names the run that was taken back, and how far; empty for an upgrade.
func (p pastRun) takesBack() string {
	if p.Undoes == "" {
		return ""
	}
	return p.Undoes + " (" + p.Scope + ")"
}

// writeRecords writes a run's journal for people.
func writeRecords(w io.Writer, r *runRecord) error {
	fmt.Fprintf(w, "Run %s, plan %s, as %s has it\n", r.id, r.plan.ID, r.where)
	for _, record := range r.records {
		if _, err := fmt.Fprintf(w, "%s  %s\n", record.At.Local().Format(time.DateTime), report.Printable(sentence(record))); err != nil {
			return err
		}
	}
	return nil
}

// sentence says what a record tells.
func sentence(r journal.Record) string {
	switch r.Kind {
	case journal.RunStarted:
		begun := fmt.Sprintf("begun by %s, epoch %d", r.Holder, r.Epoch)
		for _, id := range slices.Sorted(maps.Keys(r.Accepted)) {
			begun += fmt.Sprintf("; %s accepted: %s", id, r.Accepted[id])
		}
		if r.Undoes != "" {
			begun += "; takes back run " + r.Undoes
		}
		return begun
	case journal.StepReopened:
		return fmt.Sprintf("  taken back by run %s: %s", r.Run, strings.Join(r.Steps, ", "))
	case journal.RunResumed:
		return fmt.Sprintf("resumed by %s, epoch %d", r.Holder, r.Epoch)
	case journal.StepBefore:
		return fmt.Sprintf("  %s begins, attempt %d", r.Step, r.Attempt)
	case journal.StepAfter:
		return fmt.Sprintf("  %s %s%s", r.Step, r.Outcome, because(r.Error))
	case journal.ArtefactPut:
		where := r.Artefact.Node
		if where == "" {
			where = "the operator's machine"
		}
		if r.Artefact.Path == "" { // the record is all there is
			return fmt.Sprintf("  %s %s", where, r.Artefact.Name)
		}
		return fmt.Sprintf("  %s of hop %s is on %s: %s %s", r.Artefact.Name, r.Artefact.Hop, where, r.Artefact.Path, r.Artefact.Digest)
	case journal.RunEnded:
		return fmt.Sprintf("ended: %s%s", r.Outcome, because(r.Error))
	}
	return string(r.Kind)
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}
