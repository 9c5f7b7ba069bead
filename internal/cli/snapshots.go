package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
)

// This file fits etcd, the inventory and the runs to package snapshot.

// snapshots is where new snapshots of a cluster go. Nothing is opened yet.
func (s *session) snapshots(uid string) (*snapshot.Store, error) {
	base, err := stateDir(uid)
	if err != nil {
		return nil, err
	}
	work, err := stateRoot()
	if err != nil {
		return nil, err
	}
	inv := s.inv.Snapshots
	recipients, err := snapshot.ParseRecipients(inv.Recipients, inv.RecipientsFile)
	if err != nil {
		return nil, err
	}
	var first snapshot.Place = snapshot.NewStateDirectory(base)
	if inv.Directory != "" {
		first = snapshot.NewDirectory(inv.Directory)
	}
	store := &snapshot.Store{Cluster: uid, Work: work, Places: []snapshot.Place{first}, Recipients: recipients}
	if second := secondPlace(s.inv); second != nil {
		store.Places = append(store.Places, second)
	}
	return store, nil
}

// secondPlace is nil when there is none.
func secondPlace(inv *inventory.Inventory) snapshot.Place {
	second := inv.Snapshots.Second
	switch {
	case second.Directory != "":
		return snapshot.NewDirectory(second.Directory)
	case second.S3.Bucket != "":
		b := second.S3
		return snapshot.NewS3(snapshot.S3Target{
			Endpoint: b.Endpoint, Bucket: b.Bucket, Prefix: b.Prefix, Region: b.Region, CredentialsFile: b.CredentialsFile,
		})
	}
	return nil
}

// knownSnapshots is wherever snapshots may be found: also in kup's own directories
// while the inventory names another, and in those of all clusters while it is not
// known which one this is. It encrypts nothing.
func (s *session) knownSnapshots(uid string) (*snapshot.Store, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	store := &snapshot.Store{Cluster: uid, Work: root}
	if dir := s.inv.Snapshots.Directory; dir != "" {
		store.Places = append(store.Places, snapshot.NewDirectory(dir))
	}
	bases := []string{filepath.Join(root, uid)}
	if uid == "" {
		if bases, err = filepath.Glob(filepath.Join(root, "*")); err != nil {
			return nil, err
		}
	}
	for _, base := range bases {
		if uid != "" || isDirectory(base) {
			store.Places = append(store.Places, snapshot.NewStateDirectory(base))
		}
	}
	if second := secondPlace(s.inv); second != nil {
		store.Places = append(store.Places, second)
	}
	return store, nil
}

func (s *session) snapshotSource(bytesPerSecond int64) snapshotSource {
	return snapshotSource{cluster: s.etcd, bytesPerSecond: bytesPerSecond}
}

// snapshotSource is etcd as snapshots are saved from.
type snapshotSource struct {
	cluster        *etcd.Cluster
	bytesPerSecond int64 // 0: as fast as they come
}

// Snapshot implements snapshot.Source.
func (e snapshotSource) Snapshot(ctx context.Context, dir, name string, progress func(int64)) (snapshot.Meta, error) {
	s, err := e.cluster.SnapshotAt(ctx, dir, name, e.bytesPerSecond, progress)
	return snapshot.Meta{
		SHA256: s.SHA256, Size: s.Size, Revision: s.Revision, Keys: s.Keys,
		HashRevision: s.HashRevision, CompactRevision: s.CompactRevision, Hash: s.Hash,
		Member: s.Member, EtcdVersion: s.Version, EtcdCluster: s.ClusterID, Members: s.Members,
	}, err
}

// snapshotProver is etcd as snapshots are proven by.
type snapshotProver struct {
	cluster *etcd.Cluster // nil: the members are not asked
	why     string        // they are not
}

// Prove implements snapshot.Prover.
func (e snapshotProver) Prove(ctx context.Context, file, scratch string, want snapshot.Meta) (snapshot.Proof, error) {
	recorded := etcd.Snapshot{
		SHA256: want.SHA256, HashRevision: want.HashRevision, CompactRevision: want.CompactRevision, Hash: want.Hash, Members: want.Members,
	}
	var p etcd.Proof
	var compared string
	var err error
	if e.cluster != nil {
		p, compared, err = e.cluster.Verify(ctx, file, scratch, recorded)
	} else {
		p, err = etcd.VerifyIn(ctx, file, scratch, recorded)
		compared = recorded.Recorded() + "; the members were not asked: " + e.why
	}
	return snapshot.Proof{
		SHA256: p.SHA256, Size: p.Size, Revision: p.Revision, Keys: p.Keys, Members: p.Members,
		HashRevision: p.Point.Revision, CompactRevision: p.Point.CompactRevision, Hash: p.Point.Hash, Compared: compared,
	}, err
}

// runSnapshots saves a run's snapshots.
type runSnapshots struct {
	store  *snapshot.Store
	source snapshotSource
	run    string
	// bench gives where the plan rehearses the restore of a hop's snapshot; nil: nowhere.
	bench func(hop string) snapshot.Rehearser
}

func (s *session) runSnapshots(r *runRecord, store *snapshot.Store) runSnapshots {
	return runSnapshots{
		store: store, source: s.snapshotSource(int64(s.inv.Snapshots.Limit)), run: r.id,
		bench: func(hop string) snapshot.Rehearser { return s.benchOf(r, hop) },
	}
}

// Snapshot implements step.Snapshots. The file that is recorded is the one in the
// first place, encrypted where recipients are named: so are the copies of it that
// control planes get. Then the restore is rehearsed here, while there is a plain one, and
// the plan's own step tells of that; of a plain one it is that step's matter.
func (r runSnapshots) Snapshot(ctx context.Context, hop string, progress func(int64)) (step.Snapshot, error) {
	var with snapshot.Rehearser
	if !r.store.Recipients.None() {
		with = r.bench(hop)
	}
	m, err := r.store.Save(ctx, r.source, with, snapshot.Order{ID: r.run, Hop: hop, At: time.Now(), Progress: progress})
	if err != nil {
		return step.Snapshot{}, err
	}
	out := step.Snapshot{
		Stored: m.StoredSHA256, SHA256: m.SHA256, Encrypted: m.Encrypted(), Revision: m.Revision, Keys: m.Keys, Size: m.Size, Member: m.Member,
		HashRevision: m.HashRevision, CompactRevision: m.CompactRevision, Hash: m.Hash, Says: kept(m, r.store.Places),
	}
	if m.Encrypted() {
		out.Rehearsed = step.Rehearsal{With: m.Rehearsed.With, Version: m.Rehearsed.Version, Revision: m.Rehearsed.Revision, Keys: m.Rehearsed.Keys}
		if m.Rehearsed.With == snapshot.Embedded {
			out.Rehearsed = step.Rehearsal{Instead: cmp.Or(m.Rehearsed.Instead, "the plan names none")}
		}
	}
	if d, ok := r.store.Places[0].(*snapshot.Directory); ok {
		out.Path = d.Path(m.Name)
	}
	return out, nil
}

// kept says for whom a snapshot is encrypted and where else it is.
func kept(m snapshot.Meta, places []snapshot.Place) []string {
	var says []string
	if m.Encrypted() {
		says = append(says, fmt.Sprintf("encrypted for %d recipient(s)", len(m.EncryptedFor)))
	}
	for _, p := range places[1:] {
		says = append(says, "kept in "+p.String()+", too")
	}
	return says
}

func rehearsed(r snapshot.Rehearsal) string {
	with := r.With
	if r.With == snapshot.Embedded {
		with += " (" + etcd.Built() + ")"
	}
	if r.Instead != "" {
		with += ": " + r.Instead
	}
	return with
}

// namesFile tells whether an argument names a file rather than a stored snapshot.
func namesFile(arg string) bool {
	if filepath.Base(arg) != arg {
		return true
	}
	_, err := os.Stat(arg)
	return err == nil
}
