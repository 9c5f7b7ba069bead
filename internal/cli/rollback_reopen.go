package cli

import (
	"context"
	"errors"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// undone is the journal of the run that a rollback takes back, here and on the control
// planes, as the rollback's last step needs it.
type undone struct {
	session *session
	by      *runRecord // the rollback
	epoch   int64
	// peers are the control planes.
	peers func() ([]remote.Host, error)
	note  func(text string)
}

// Reopened implements step.Undone. The longest copy that can be read answers.
func (u undone) Reopened(ctx context.Context, run string) (bool, error) {
	peers, err := u.peers()
	if err != nil {
		return false, err
	}
	g, err := gather(ctx, u.by.plan.Facts.Identity.UID, run, shelves(ctx, peers))
	if err != nil {
		return false, err
	}
	return u.told(g.records), nil
}

func (u undone) told(records []journal.Record) bool {
	for _, r := range records {
		if (r.Kind == journal.StepReopened || r.Kind == journal.RunEnded) && r.Run == u.by.id {
			return true
		}
	}
	return false
}

// Reopen implements step.Undone. The journal is brought here first, where it is not, or
// not whole.
func (u undone) Reopen(ctx context.Context, run string, steps []string) (err error) {
	peers, err := u.peers()
	if err != nil {
		return err
	}
	r := &runRecord{id: run, plan: &plan.Plan{Facts: u.by.plan.Facts}}
	if err := u.session.settle(ctx, r, peers); err != nil {
		return err
	}
	j, records, err := adopt(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if !u.told(records) {
		record := journal.Record{Kind: journal.StepReopened, Run: u.by.id, Steps: steps}
		if len(steps) == 0 {
			record = journal.Record{Kind: journal.RunEnded, Run: u.by.id, Outcome: journal.RolledBack}
		}
		if err := j.Append(record); err != nil {
			return err
		}
	}
	return newMirror(run, u.epoch, r.dir, peers, u.note).sync(ctx, nil)
}
