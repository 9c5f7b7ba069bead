package step

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kup-project/kup/pkg/plan"
)

// Snapshot is a saved and proven copy of etcd's data.
type Snapshot struct {
	Path string `json:"-"` // on the operator's machine
	// Stored is the SHA-256 of the file as it is stored there, hexadecimal, SHA256 that
	// of the data: they are the same unless it is encrypted.
	Stored    string `json:"stored"`
	SHA256    string `json:"sha256"`
	Encrypted bool   `json:"encrypted,omitempty"`
	Revision  int64  `json:"revision"`
	Keys      int64  `json:"keys"` // that live at the revision
	Size      int64  `json:"size"` // bytes of the data
	Member    string `json:"member"`
	// HashRevision, CompactRevision and Hash are the point on which the members and the
	// file agree.
	HashRevision    int64  `json:"hashRevision"`
	CompactRevision int64  `json:"compactRevision"`
	Hash            uint32 `json:"hash"`
	// Rehearsed is how the restore of an encrypted one was rehearsed while it was plain.
	Rehearsed Rehearsal `json:"rehearsed"`
	// Says is what else is to be told of it: where and for whom it is kept.
	Says []string `json:"-"`
}

// snapshotFacts names the file that keeps a hop's Snapshot.
const snapshotFacts = "snapshot-facts"

// Snapshots saves a snapshot of the run's hop where the run's snapshots are kept, and
// proves it by reading it back. What an earlier try left behind for that hop is
// replaced.
type Snapshots interface {
	Snapshot(ctx context.Context, hop string, progress func(bytes int64)) (Snapshot, error)
}

// Reading takes the bytes of a snapshot that were read so far, and notes every further
// 64 MiB; fewer than before: it is read again.
func Reading(note func(text string)) func(bytes int64) {
	const every = 64 << 20
	var said int64
	return func(bytes int64) {
		if bytes < said || bytes-said >= every {
			said = bytes
			note(fmt.Sprintf("%d MiB read", bytes>>20))
		}
	}
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
	snap, err := r.snapshots.Snapshot(ctx, hop, Reading(func(text string) { r.observer.Note(s.ID, text) }))
	if err != nil {
		return failed(s, "save an etcd snapshot", err, "")
	}
	a := Artefact{Name: ArtefactSnapshot, Hop: hop, Path: snap.Path, Digest: "sha256:" + snap.Stored}
	if err := Verify(ctx, nil, a); err != nil {
		return failed(s, "read the snapshot back", err, "")
	}
	facts, err := json.Marshal(snap)
	if err == nil {
		err = writeDurably(r.keeper.path(snapshotFacts, hop), append(facts, '\n'))
	}
	if err != nil {
		return failed(s, "note what was found of the snapshot", err, "")
	}
	r.observer.Note(s.ID, fmt.Sprintf("revision %d of member %s, %d MiB", snap.Revision, snap.Member, snap.Size>>20))
	for _, text := range snap.Says {
		r.observer.Note(s.ID, text)
	}
	return r.keeper.artefacts.Put(ctx, a)
}
