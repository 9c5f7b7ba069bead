package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// plainCopy is an encrypted snapshot, decrypted in a working directory of kup's own
// until the command ends.
type plainCopy struct {
	work *snapshot.Work
	file string
}

// open gives the plain file of a copy that is encrypted; nothing of that copy is read.
func (p *plainCopy) open(from step.Copy) (*os.File, error) {
	if p == nil {
		return nil, fmt.Errorf("%s is encrypted, and no identity was given that opens it", from)
	}
	return os.Open(p.file)
}

func (p *plainCopy) close() error { return p.work.Close() }

// shut tells why nobody here can read a snapshot, before it is looked for; empty: it is
// plain, or an identity was given.
func (s *session) shut(a journal.Artefact) string {
	if s.sealed = snapshot.Sealed(a.Path) && len(s.identities) == 0; !s.sealed {
		return ""
	}
	return fmt.Sprintf("the snapshot of before hop %s is encrypted (%s), and only an identity opens it: --identity FILE; by hand see docs/disaster-recovery.md", a.Hop, filepath.Base(a.Path))
}

// dataOf gives the snapshot of a run as a plain file of this machine. Digest is the
// plain file's when it is not the one that was recorded, since that is encrypted.
func (s *session) dataOf(ctx context.Context, run string, a journal.Artefact, dir string) (file, digest string, err error) {
	if s.plain != nil { // this command opened it already
		digest, err = step.Digest(s.plain.file)
		return s.plain.file, digest, err
	}
	if file, err = s.snapshotHere(ctx, run, a, dir); err != nil || !snapshot.Sealed(a.Path) {
		return file, "", err
	}
	root, err := stateRoot()
	if err != nil {
		return "", "", err
	}
	work, err := snapshot.NewWork(root)
	if err != nil {
		return "", "", err
	}
	f, err := (&snapshot.Store{Work: root}).FetchFile(ctx, file, s.identities, work)
	if err == nil {
		digest, err = step.Digest(f.Path)
	}
	if want := "sha256:" + f.Meta.SHA256; err == nil && f.Described && digest != want {
		err = &snapshot.BadError{Name: f.Meta.Name, Err: fmt.Errorf("%w: what it opens to has the digest %s, its description says %s", snapshot.ErrReplaced, digest, want)}
	}
	if err != nil {
		return "", "", errors.Join(err, work.Close())
	}
	s.plain = &plainCopy{work: work, file: f.Path}
	return f.Path, digest, nil
}

// unsealAgain opens the encrypted snapshot of a rollback that goes on, unless all
// members' nodes have it.
func (s *session) unsealAgain(ctx context.Context, r *runRecord) (err error) {
	lacking, found := undelivered(r)
	if !found {
		return nil
	}
	a := journal.Artefact{Name: step.ArtefactSnapshot, Hop: r.plan.Hops[0].From.Line().String(), Path: lacking.Args["local"], Digest: lacking.Args["sealed"]}
	if len(s.identities) == 0 {
		return &usageError{
			err:  fmt.Errorf("rollback %s restores a snapshot that is encrypted, which node %s does not have yet: it takes the identity to go on", r.id, lacking.Node),
			hint: "kup rollback --identity FILE",
		}
	}
	base, err := stateDir(r.plan.Facts.Identity.UID)
	if err != nil {
		return err
	}
	if err := makeDurably(base); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(base, copyPrefix)
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	_, digest, err := s.dataOf(ctx, r.plan.Rollback.Run, a, dir)
	if err == nil && digest != lacking.Args["digest"] {
		err = &snapshot.BadError{Name: filepath.Base(a.Path), Err: fmt.Errorf("%w: it opens to %s, and the plan restores %s", snapshot.ErrReplaced, digest, lacking.Args["digest"])}
	}
	return err
}

// undelivered is the first step left that needs what an identity opens.
func undelivered(r *runRecord) (left plan.Step, found bool) {
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindDeliver && s.Args["sealed"] != "" && !r.state.Done(s.ID) {
			left, found = *s, true
		}
		return !found
	})
	return left, found
}
