package step

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/plan"
)

// Snapshot is a saved and proven copy of etcd's data.
type Snapshot struct {
	Path     string // on the operator's machine
	SHA256   string // of the whole file as it is stored there, hexadecimal
	Revision int64
	Size     int64 // bytes of the data
	Member   string
	// Says is what else is to be told of it: how its restore was rehearsed, where
	// and for whom it is kept.
	Says []string
}

// Snapshots saves a snapshot of the run's hop where the run's snapshots are kept, and
// proves it by reading it back. What an earlier try left behind for that hop is
// replaced.
type Snapshots interface {
	Snapshot(ctx context.Context, hop string, progress func(bytes int64)) (Snapshot, error)
}

// snapshot: the truth is the run's artefact and its digest.
type snapshot struct {
	snapshots Snapshots
	keeper    keeper
	observer  Observer
}

func (r *snapshot) Done(ctx context.Context, s plan.Step) (bool, error) {
	return r.keeper.has(ctx, hopOf(s), ArtefactSnapshot, "")
}

func (r *snapshot) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	hop := hopOf(s)
	if done, err := r.keeper.has(ctx, hop, ArtefactSnapshot, ""); done || err != nil {
		return err
	}
	const every = 64 << 20
	var said int64
	progress := func(bytes int64) {
		if bytes < said || bytes-said >= every { // less: it is being read again
			said = bytes
			r.observer.Note(s.ID, fmt.Sprintf("%d MiB read", bytes>>20))
		}
	}
	snap, err := r.snapshots.Snapshot(ctx, hop, progress)
	if err != nil {
		return failed(s, "save an etcd snapshot", err, "")
	}
	a := Artefact{Name: ArtefactSnapshot, Hop: hop, Path: snap.Path, Digest: "sha256:" + snap.SHA256}
	if err := Verify(ctx, nil, a); err != nil {
		return failed(s, "read the snapshot back", err, "")
	}
	r.observer.Note(s.ID, fmt.Sprintf("revision %d of member %s, %d MiB", snap.Revision, snap.Member, snap.Size>>20))
	for _, text := range snap.Says {
		r.observer.Note(s.ID, text)
	}
	return r.keeper.artefacts.Put(ctx, a)
}
