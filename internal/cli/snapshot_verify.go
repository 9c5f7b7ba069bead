package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
)

func newSnapshotVerify(sys *system, g *global) *cobra.Command {
	var identity, output string
	var offline bool
	c := &cobra.Command{
		Use:   "verify FILE|NAME",
		Short: "Prove that a snapshot can be relied on",
		Long: `verify reads every copy of a snapshot and proves one: the checksum at its end, every
page and every row, a restore aside that is read back, and the hash of its data, held
against the members where they can be asked and else against what they answered when it
was taken. NAME is one that kup snapshot list prints; anything with a slash in it, or
that is there, is a FILE, and its description is looked for beside it (FILE.json).

A snapshot, or a copy of it, that must not be relied on ends with exit status 1 and the
reason. That this machine could not look (no room, no permission) is exit status 2.`,
		Example: `  kup snapshot verify 20260102-030405-abcdef-etcd-1.34.db
  kup snapshot verify ./etcd.db --offline
  kup snapshot verify /mnt/backups/20260102-030405-abcdef-etcd-1.34.db.age --identity ~/keys/etcd.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runSnapshotVerify(c.Context(), sys, g, args[0], identity, offline, output)
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "file with the age identity that opens an encrypted snapshot")
	c.Flags().BoolVar(&offline, "offline", false, "ask neither the API nor the members")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// verifiedSnapshot is what verify prints.
type verifiedSnapshot struct {
	Format int `json:"format"`
	snapshot.Verified
}

func runSnapshotVerify(ctx context.Context, sys *system, g *global, arg, identity string, offline bool, output string) error {
	if err := textOrJSON(output); err != nil {
		return err
	}
	ids, err := snapshot.LoadIdentities(identity)
	if err != nil {
		return err
	}
	var proven snapshot.Verified
	err = inSession(ctx, sys, g, false, func(ctx context.Context, s *session) error {
		uid, prover := s.membersToAsk(ctx, offline)
		return s.verifySnapshot(ctx, uid, arg, ids, prover, func(v snapshot.Verified, _ string) error {
			proven = v
			return nil
		})
	})
	if err != nil {
		return err
	}
	return tellVerified(sys.out, output, proven)
}

// tellVerified prints what was proven. One copy was; that another is damaged is told by
// the exit code too, since who reads only that has one copy less than they think.
func tellVerified(w io.Writer, output string, v snapshot.Verified) error {
	var bad []string
	for _, c := range v.Copies {
		if c.Problem != "" {
			bad = append(bad, c.Place)
		}
	}
	if output == "json" {
		if err := printJSON(w, verifiedSnapshot{1, v}); err != nil {
			return err
		}
	} else {
		writeVerified(w, v)
	}
	if len(bad) > 0 {
		return &badCopiesError{name: v.Meta.Name, places: bad}
	}
	return nil
}

// badCopiesError is a snapshot that is good in one place, and in others is not.
type badCopiesError struct {
	name   string
	places []string
}

func (e *badCopiesError) Error() string {
	return fmt.Sprintf("snapshot %s is good, but not its copy in %s", e.name, joined(e.places))
}

// membersToAsk reaches the cluster as far as it can be reached and is wanted.
func (s *session) membersToAsk(ctx context.Context, offline bool) (uid string, p snapshotProver) {
	switch {
	case offline:
		return "", snapshotProver{why: "--offline"}
	case s.hosts == nil:
		p.why = "there is no inventory that names their hosts"
	default:
		if err := s.connectEtcd(ctx); err != nil {
			p.why = oneLine(err.Error())
		} else {
			p.cluster = s.etcd
		}
	}
	return s.clusterIfReached(ctx), p
}

// verifySnapshot gets a snapshot and proves it, in a working directory of kup's own. As
// long as that is there, use has the plain file. With a uid only a snapshot of that
// cluster is good.
func (s *session) verifySnapshot(
	ctx context.Context, uid, arg string, ids snapshot.Identities, prover snapshotProver, use func(v snapshot.Verified, file string) error,
) (err error) {
	store, err := s.knownSnapshots("")
	if err != nil {
		return err
	}
	work, err := snapshot.NewWork(store.Work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.Close()) }()
	f, err := fetchSnapshot(ctx, store, arg, ids, work)
	if err != nil {
		return err
	}
	if uid != "" && f.Described && f.Meta.Cluster != uid {
		return &snapshot.BadError{Name: f.Meta.Name, Err: fmt.Errorf("%w: its description names the cluster %s, this is %s", snapshot.ErrForeign, f.Meta.Cluster, uid)}
	}
	var rehearser snapshot.Rehearser
	if prover.cluster != nil {
		rehearser = s.rehearser()
	}
	v, err := snapshot.Verify(ctx, f, prover, rehearser, work)
	if err != nil {
		return err
	}
	return use(v, f.Path)
}

// fetchSnapshot gets a file or a stored snapshot, plain.
func fetchSnapshot(ctx context.Context, store *snapshot.Store, arg string, ids snapshot.Identities, work *snapshot.Work) (snapshot.Fetched, error) {
	if namesFile(arg) {
		return store.FetchFile(ctx, arg, ids, work)
	}
	return store.Fetch(ctx, arg, ids, work)
}

func writeVerified(w io.Writer, v snapshot.Verified) {
	p := v.Proof
	fmt.Fprintf(w, "Good: %s: revision %d, %d keys, %s.\n", report.Printable(v.Meta.Name), p.Revision, p.Keys, size(p.Size))
	if v.Described {
		fmt.Fprintf(w, "Taken %s from etcd %s on %s, of cluster %s.\n", v.Meta.TakenAt.Format("2006-01-02 15:04:05 UTC"),
			report.Printable(v.Meta.EtcdVersion), report.Printable(v.Meta.Member), report.Printable(v.Meta.Cluster))
	} else {
		fmt.Fprintln(w, "It has no description: when it was taken, and by whom, is not known.")
	}
	fmt.Fprintf(w, "Hash %08x at revision %d, compared with %s.\n", p.Hash, p.HashRevision, report.Printable(p.Compared))
	fmt.Fprintf(w, "Restore rehearsed with %s.\n", report.Printable(rehearsed(v.Rehearsed)))
	for _, c := range v.Copies {
		state := "whole"
		if c.Problem != "" {
			state = "DO NOT RELY ON IT: " + c.Problem
		}
		fmt.Fprintf(w, "Copy in %s: %s\n", report.Printable(c.Place), report.Printable(state))
	}
}
