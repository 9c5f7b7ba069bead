package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
)

func newSnapshotList(sys *system, g *global) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the snapshots of this cluster in all their places",
		Long: `list names the snapshots of the cluster that this machine and the second place
have, the newest first. A place that does not answer is told of and hides nothing of
the others. While the API does not answer, those of all clusters are listed. Copies
that runs keep on control planes (/var/lib/kup) are not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runSnapshotList(c.Context(), sys, g, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// listedSnapshots is what list prints.
type listedSnapshots struct {
	Format      int               `json:"format"`
	Cluster     string            `json:"cluster,omitempty"` // uid; empty: of all clusters
	Snapshots   []snapshot.Listed `json:"snapshots"`
	PlaceErrors []placeError      `json:"placeErrors,omitempty"`
}

type placeError struct {
	Place string `json:"place"`
	Error string `json:"error"`
}

func runSnapshotList(ctx context.Context, sys *system, g *global, output string) error {
	if err := textOrJSON(output); err != nil {
		return err
	}
	return inSession(ctx, sys, g, false, func(ctx context.Context, s *session) error { return s.listSnapshots(ctx, output) })
}

func (s *session) listSnapshots(ctx context.Context, output string) error {
	uid := s.clusterIfReached(ctx)
	store, err := s.knownSnapshots(uid)
	if err != nil {
		return err
	}
	found := store.List(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out := listedSnapshots{Format: 1, Cluster: uid, Snapshots: found.Snapshots}
	for _, silent := range found.Silent {
		out.PlaceErrors = append(out.PlaceErrors, placeError{silent.Place, silent.Err.Error()})
		s.sys.tell("kup: not listed: %v", silent)
	}
	if output == "json" {
		if out.Snapshots == nil {
			out.Snapshots = []snapshot.Listed{}
		}
		return printJSON(s.sys.out, out)
	}
	return writeListed(s.sys.out, out)
}

// clusterIfReached is the cluster's uid; empty, and told of, when the API does not
// answer: snapshots are for that night, too.
func (s *session) clusterIfReached(ctx context.Context) string {
	err := s.connect(ctx)
	if err == nil {
		id, idErr := s.api.Identity(ctx)
		if idErr == nil {
			return id.UID
		}
		err = idErr
	}
	s.sys.tell("kup: which cluster this is was not asked: %v", err)
	return ""
}

func writeListed(w io.Writer, l listedSnapshots) error {
	if len(l.Snapshots) == 0 {
		_, err := fmt.Fprintln(w, "No snapshot is known.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TAKEN\tNAME\tREVISION\tSIZE\tETCD\tENCRYPTED\tPLACES")
	for _, s := range l.Snapshots {
		m := s.Meta
		revision, of, encrypted := "?", "?", "?"
		if s.Described {
			revision, of, encrypted = fmt.Sprint(m.Revision), m.EtcdVersion, "no"
			if m.Encrypted() {
				encrypted = "yes"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.TakenAt.Format(time.DateTime), m.Name, revision, size(m.StoredSize), report.Printable(of), encrypted, placesOf(s.Copies))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range l.Snapshots {
		for _, c := range s.Copies {
			if c.Problem != "" {
				fmt.Fprintf(w, "%s in %s: %s\n", s.Meta.Name, report.Printable(c.Place), report.Printable(c.Problem))
			}
		}
	}
	return nil
}

// placesOf names the places of a snapshot.
func placesOf(all []snapshot.Copy) string {
	var out []string
	for _, c := range all {
		place := report.Printable(c.Place)
		if c.Problem != "" {
			place += " (see below)"
		}
		out = append(out, place)
	}
	return strings.Join(out, ", ")
}
