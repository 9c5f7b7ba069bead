package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

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
cluster. It changes nothing.`,
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
	Outcome string `json:"outcome"` // done, failed, stopped, or running or interrupted
	Error   string `json:"error,omitempty"`
	Done    int    `json:"stepsDone"`
	Total   int    `json:"stepsTotal"`
	// Running are steps that were begun and whose end is not known.
	Running []string `json:"running,omitempty"`
	Failed  []string `json:"failed,omitempty"`
	Next    string   `json:"next,omitempty"`
	// Holder is who holds the lock now, if anybody does.
	Holder string `json:"holder,omitempty"`
}

func runStatus(ctx context.Context, sys *system, g *global, output string) error {
	if output != "text" && output != "json" {
		return &usageError{err: fmt.Errorf("output %q: want text or json", output)}
	}
	ctx, done := sys.untilStop(ctx)
	defer done()
	s, err := openSession(ctx, sys, g, false)
	if err != nil {
		return err
	}
	defer s.close()
	id, err := s.api.Identity(ctx)
	if err != nil {
		return err
	}
	r, err := lastRun(id.UID)
	if err != nil && !errors.Is(err, errNoRun) {
		return err
	}
	var st standing
	if r != nil {
		st = r.stand()
	}
	if held, err := s.api.LeaseHolder(ctx); err == nil && held != nil {
		st.Holder = describeHolder(held)
		if st.Outcome == "interrupted" && held.Run == st.Run {
			st.Outcome = "running"
		}
	}
	if output == "json" {
		enc := json.NewEncoder(sys.out)
		enc.SetIndent("", "  ")
		return enc.Encode(st)
	}
	return st.write(sys.out)
}

func describeHolder(h *kube.HeldError) string {
	return fmt.Sprintf("%s, run %s, since %s, step %s", h.Holder, h.Run, h.Since.Local().Format("15:04:05"), h.Step)
}

func (st standing) write(w io.Writer) error {
	if st.Run == "" {
		if _, err := fmt.Fprintln(w, "No run of this cluster is known on this machine."); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w, "Run %s: %s, %d of %d steps done\n", st.Run, st.Outcome, st.Done, st.Total)
		if st.Error != "" {
			fmt.Fprintf(w, "  error: %s\n", st.Error)
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
	}
	holder := st.Holder
	if holder == "" {
		holder = "nobody"
	}
	_, err := fmt.Fprintf(w, "Lock: %s\n", holder)
	return err
}

// stand tells how far the run is, from its journal.
func (r *runRecord) stand() standing {
	st := standing{Run: r.id, Plan: r.plan.ID, Outcome: "interrupted"}
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
	return st
}

// over tells whether nothing of the run is left to do.
func (r *runRecord) over() bool { st := r.stand(); return st.Done == st.Total }

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
