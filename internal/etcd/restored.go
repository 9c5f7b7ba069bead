package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/verify"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// restored is a snapshot restored into a directory of its own, read by etcd's
// storage code as a starting member would. It is thrown away afterwards.
type restored struct {
	backend backend.Backend
	kv      mvcc.KV
}

// quiet is a logger that says nothing and turns "fatal" into a panic, which is
// recovered: etcd's storage code would end the process.
func quiet() *zap.Logger {
	return zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic))
}

// restore makes a data directory of the snapshot, as an operator would, checks
// that its log and its database fit together, and opens it.
func restore(ctx context.Context, path, dir string) (r *restored, err error) {
	defer recovered(&err)
	const name, peer = "proof", "http://127.0.0.1:2380" // never listened on
	err = snapshot.NewV3(quiet()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        path,
		Name:                name,
		OutputDataDir:       dir,
		PeerURLs:            []string{peer},
		InitialCluster:      name + "=" + peer,
		InitialClusterToken: name,
	})
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := verify.Verify(verify.Config{DataDir: dir, ExactIndex: true, Logger: quiet()}); err != nil {
		return nil, err
	}
	return open(dir)
}

func open(dir string) (r *restored, err error) {
	config := backend.DefaultBackendConfig(quiet())
	config.Path = datadir.ToBackendFileName(dir)
	config.UnsafeNoFsync = true // it is thrown away
	b := backend.New(config)
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("etcd's storage code gave up: %v", p), b.Close())
		}
	}()
	// Leases are not read: they are no part of what members compare.
	kv := mvcc.NewStore(quiet(), b, &lease.FakeLessor{}, mvcc.StoreConfig{})
	return &restored{backend: b, kv: kv}, nil
}

// close ends the store; the directory is removed by whoever made it.
func (r *restored) close() {
	_ = r.kv.Close() // nothing of it is kept
	_ = r.backend.Close()
}

// count gives the newest revision and how many keys live at it.
func (r *restored) count(ctx context.Context) (revision, keys int64, err error) {
	defer recovered(&err)
	out, err := r.kv.Range(ctx, []byte{0}, []byte{}, mvcc.RangeOptions{CountOnly: true})
	if err != nil {
		return 0, 0, err
	}
	return out.Rev, int64(out.Count), nil
}

// hash gives the store's hash at a point's revision, compacted as far as the
// point says when it is not yet. It gives errPassed when the store is compacted
// beyond the revision, or ends before it.
func (r *restored) hash(ctx context.Context, at Point) (p Point, err error) {
	defer recovered(&err)
	got, _, err := r.kv.HashStorage().HashByRev(at.Revision)
	if err == nil && got.CompactRevision < at.CompactRevision {
		if err = r.compact(ctx, at.CompactRevision); err == nil {
			got, _, err = r.kv.HashStorage().HashByRev(at.Revision)
		}
	}
	switch {
	case errors.Is(err, mvcc.ErrCompacted), errors.Is(err, mvcc.ErrFutureRev):
		return Point{}, fmt.Errorf("%w: the file has no revision %d, or no compaction at %d", errPassed, at.Revision, at.CompactRevision)
	case err != nil:
		return Point{}, err
	}
	return Point{Revision: got.Revision, CompactRevision: got.CompactRevision, Hash: got.Hash}, nil
}

// compact compacts the throw-away copy and waits for it.
func (r *restored) compact(ctx context.Context, revision int64) error {
	done, err := r.kv.Compact(traceutil.Get(ctx), revision)
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
