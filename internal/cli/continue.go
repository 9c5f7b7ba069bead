package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// begin makes the hosts this run's and opens its journal. A new run is written down
// before any host is touched; one that goes on first makes sure that no other does.
func (s *session) begin(ctx context.Context, r *runRecord, lease hold, x *detached.Executor, peers []remote.Host) (*memory, error) {
	if len(r.records) > 0 {
		if err := s.own(ctx, x); err != nil {
			return nil, err
		}
		if err := s.settle(ctx, r, peers); err != nil {
			return nil, err
		}
		return s.remember(r, lease.Epoch(), lease.Check)
	}
	m, err := s.remember(r, lease.Epoch(), lease.Check)
	if err != nil {
		return nil, err
	}
	if err := s.own(ctx, x); err != nil {
		return nil, errors.Join(err, m.journal.Close())
	}
	return m, nil
}

// settle looks once more at what this machine and the control planes have of a run
// that goes on, now that nobody else can go on with it, and brings here what is
// lacking.
func (s *session) settle(ctx context.Context, r *runRecord, peers []remote.Host) error {
	all := shelves(ctx, peers)
	if err := unasked(all); err != nil {
		return err
	}
	uid := r.plan.Facts.Identity.UID
	g, err := gather(ctx, uid, r.id, all)
	if err != nil {
		return err
	}
	if g.damaged != nil {
		s.sys.tell("kup: passed over: %v", g.damaged)
	}
	*r = *g.runRecord
	base, err := stateDir(uid)
	if err != nil {
		return err
	}
	r.dir = filepath.Join(base, r.id)
	if r.where == here {
		return nil
	}
	s.sys.tell("Going on from the copy on %s.", r.where)
	content, err := plan.Encode(r.plan)
	if err == nil {
		err = makeDurably(r.dir)
	}
	if err == nil {
		err = writeDurably(filepath.Join(r.dir, planFile), content)
	}
	if err != nil {
		return err
	}
	return fetchSmall(ctx, r, r.dir, all)
}

// remember starts the run's journal, or opens it to go on.
func (s *session) remember(r *runRecord, epoch int64, may func(context.Context) error) (*memory, error) {
	m := &memory{may: may}
	if len(r.records) == 0 {
		dir, err := createRun(r.plan, r.id)
		if err != nil {
			return nil, err
		}
		r.dir = dir
		first := journal.Record{Plan: r.plan.ID, Cluster: r.plan.Facts.Identity.UID, Run: r.id, Holder: holderIdentity(), Epoch: epoch, Accepted: r.accepted, Undoes: r.undoes()}
		if m.journal, err = journal.Create(dir, first); err != nil {
			return nil, err
		}
		first.Kind = journal.RunStarted
		m.load(dir, []journal.Record{first})
		m.sink = s.sys.seams.wrap(dir, m.journal)
		return m, nil
	}
	j, records, err := adopt(r)
	if err != nil {
		return nil, err
	}
	m.journal, m.sink = j, s.sys.seams.wrap(r.dir, j)
	m.load(r.dir, records)
	if err := r.belongs(r.dir); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := m.Append(journal.Record{Kind: journal.RunResumed, Holder: holderIdentity(), Epoch: epoch}); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return m, nil
}

// adopt opens the run's journal here, brought up to its longest copy. One that is
// damaged, while a whole copy was found elsewhere, is kept beside it.
func adopt(r *runRecord) (*journal.Journal, []journal.Record, error) {
	j, records, err := journal.Adopt(r.dir, r.records)
	if is[*journal.CorruptError](err) && r.where != here {
		file := filepath.Join(r.dir, journal.File)
		if err := os.Rename(file, file+".damaged"); err != nil {
			return nil, nil, err
		}
		return journal.Adopt(r.dir, r.records)
	}
	return j, records, err
}

// verify checks every artefact that the run has made so far: the way back depends
// on them. A snapshot that is not here, because another machine began the run, must
// be whole elsewhere.
func verify(ctx context.Context, hosts step.Hosts, artefacts []journal.Artefact, elsewhere func(context.Context, journal.Artefact) bool) error {
	errs := make([]error, len(artefacts))
	var group errgroup.Group
	group.SetLimit(16)
	for i, a := range artefacts {
		group.Go(func() error {
			errs[i] = step.Verify(ctx, hosts, artefact(a))
			damaged := new(step.DamagedError)
			if errors.As(errs[i], &damaged) && damaged.Got == "" && isSnapshot(a) && elsewhere(ctx, a) {
				errs[i] = nil
			}
			return nil
		})
	}
	_ = group.Wait() // told by artefact
	return errors.Join(errs...)
}
