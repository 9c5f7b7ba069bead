package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
)

func newSnapshot(sys *system, g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Save, list, verify and restore snapshots of etcd",
		Long: `snapshot takes etcd snapshots that are proven, keeps them in one or two places,
encrypted where kup.yaml names recipients, and gets them back. kup apply takes one
before each hop in the same way. The section snapshots of kup.yaml says where, for how
long and for whom. Nothing of the cluster is ever changed.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newSnapshotSave(sys, g), newSnapshotList(sys, g), newSnapshotVerify(sys, g), newSnapshotRestore(sys, g))
	return c
}

func newSnapshotSave(sys *system, g *global) *cobra.Command {
	var limit, output string
	c := &cobra.Command{
		Use:   "save",
		Short: "Take a snapshot, prove it and keep it",
		Long: `save streams a snapshot from a healthy follower over SSH, holds it against every
member, restores it aside and reads it back; then it is encrypted, if kup.yaml names
recipients, and put into every place. Of those taken by hand the newest snapshots.keep
are kept; those that runs took are not counted and stay.`,
		Example: `  kup snapshot save
  kup snapshot save --limit 20MiB -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runSnapshotSave(c.Context(), sys, g, limit, output) },
	}
	c.Flags().StringVar(&limit, "limit", "", "bytes a second at most, such as 50MiB (default: the inventory's)")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// savedSnapshot is what save prints.
type savedSnapshot struct {
	Format int           `json:"format"`
	Meta   snapshot.Meta `json:"meta"`
	Places []string      `json:"places"`
}

func runSnapshotSave(ctx context.Context, sys *system, g *global, limit, output string) error {
	if err := textOrJSON(output); err != nil {
		return err
	}
	return inSession(ctx, sys, g, true, func(ctx context.Context, s *session) error { return s.saveSnapshot(ctx, limit, output) })
}

func (s *session) saveSnapshot(ctx context.Context, limit, output string) error {
	err := s.connect(ctx)
	if err != nil {
		return err
	}
	bytesPerSecond := s.inv.Snapshots.Limit
	if limit != "" {
		if bytesPerSecond, err = inventory.ParseBytes(limit); err != nil {
			return &usageError{err: fmt.Errorf("--limit: %w", err), hint: "write a number and a unit, such as 512KiB or 50MiB"}
		}
	}
	if err := s.knowsMembers(); err != nil {
		return err
	}
	id, err := s.api.Identity(ctx)
	if err != nil {
		return err
	}
	store, err := s.snapshots(id.UID)
	if err != nil {
		return err
	}
	if err := s.connectEtcd(ctx); err != nil {
		return err
	}
	progress, end := s.progress()
	note := func(text string) { progress.Event(engine.Event{At: time.Now(), Kind: engine.StepNote, Text: text}) }
	store.Note = note
	order := snapshot.Order{ID: newRunID(time.Now()), At: time.Now(), Progress: step.Reading(note)}
	m, err := store.Save(ctx, s.snapshotSource(int64(bytesPerSecond)), s.rehearser(), order)
	end()
	if err != nil {
		return err
	}
	if err := store.Prune(ctx, snapshot.ByHand, s.inv.Snapshots.Keep, order.ID, nil); err != nil {
		s.sys.tell("kup: old snapshots were not all removed: %v", err)
	}
	return writeSaved(s.sys.out, m, store.Places, output)
}

// knowsMembers wants some host of a member to ask.
func (s *session) knowsMembers() error {
	if len(s.members()) > 0 {
		return nil
	}
	return &usageError{
		err:  fmt.Errorf("no host of an etcd member is in the inventory (etcd.topology: %s)", s.inv.Etcd.Topology),
		hint: "list the control planes, or, with an external etcd, its hosts with role: etcd, under nodes in kup.yaml",
	}
}

func writeSaved(w io.Writer, m snapshot.Meta, places []snapshot.Place, output string) error {
	out := savedSnapshot{Format: 1, Meta: m}
	for _, p := range places {
		out.Places = append(out.Places, p.String())
	}
	if output == "json" {
		return printJSON(w, out)
	}
	fmt.Fprintf(w, "Saved %s: revision %d, %d keys, %s, from etcd %s on %s.\n", m.Name, m.Revision, m.Keys, size(m.Size), m.EtcdVersion, m.Member)
	fmt.Fprintf(w, "Proven: hash %08x at revision %d on the file and on %d member(s); restore rehearsed with %s.\n",
		m.Hash, m.HashRevision, len(m.Members), rehearsed(m.Rehearsed))
	if m.Encrypted() {
		fmt.Fprintf(w, "Encrypted for %s.\n", strings.Join(m.EncryptedFor, ", "))
	}
	for i, p := range out.Places {
		if d, ok := places[i].(*snapshot.Directory); ok {
			p = filepath.Dir(d.Path(m.Name))
		}
		fmt.Fprintf(w, "Kept in %s.\n", report.Printable(p))
	}
	return nil
}

// size is a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
}
