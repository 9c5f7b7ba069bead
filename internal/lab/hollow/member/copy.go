package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Copy is a database file, read as a starting etcd reads it.
type Copy struct {
	dir     string
	backend backend.Backend
	kv      mvcc.KV
}

// OpenCopy opens a copy of a database. It must be closed.
func OpenCopy(db []byte) (c *Copy, err error) {
	dir, err := os.MkdirTemp("", "kup-hollow-etcd-")
	if err != nil {
		return nil, err
	}
	c = &Copy{dir: dir}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	logger := zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic))
	config := backend.DefaultBackendConfig(logger)
	config.Path, config.UnsafeNoFsync = filepath.Join(dir, "db"), true
	if err := os.WriteFile(config.Path, db, 0o600); err != nil {
		return nil, err
	}
	c.backend = backend.New(config)
	c.kv = mvcc.NewStore(logger, c.backend, &lease.FakeLessor{}, mvcc.StoreConfig{})
	return c, nil
}

// Count gives the newest revision and how many keys live at it.
func (c *Copy) Count(ctx context.Context) (revision, keys int64, err error) {
	out, err := c.kv.Range(ctx, []byte{0}, []byte{}, mvcc.RangeOptions{CountOnly: true})
	if err != nil {
		return 0, 0, err
	}
	return out.Rev, int64(out.Count), nil
}

// Hash gives the hash at a revision, and the revision that the store is compacted at.
func (c *Copy) Hash(revision int64) (hash uint32, compacted int64, err error) {
	h, _, err := c.kv.HashStorage().HashByRev(revision)
	return h.Hash, h.CompactRevision, err
}

// Compact forgets what was before a revision.
func (c *Copy) Compact(ctx context.Context, revision int64) error {
	done, err := c.kv.Compact(traceutil.Get(ctx), revision)
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

// Close removes the copy.
func (c *Copy) Close() error {
	var errs []error
	if c.kv != nil {
		errs = append(errs, c.kv.Close())
	}
	if c.backend != nil {
		errs = append(errs, c.backend.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
