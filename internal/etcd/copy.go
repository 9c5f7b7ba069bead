package etcd

import (
	"context"
	"errors"
	"os"
)

// Copy saves the store to a file that only root and the user can read, for
// looking into it: it is checked to be what the member sent, and not proven to
// be what a cluster can be restored from. For that there is
// [Cluster.Snapshot], which asks every member to hash its whole store.
//
// A store that was cut or damaged on the way is a *[SnapshotError], and the file
// is removed.
func (c *Cluster) Copy(ctx context.Context, path string) (err error) {
	o, err := c.observe(ctx)
	if err != nil {
		return err
	}
	source, err := o.source()
	if err != nil {
		return &SnapshotError{Path: path, Proof: ProofMembers, Err: err}
	}
	defer func() {
		if err != nil {
			if removeErr := os.Remove(path); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}()
	if err := source.conn.stream(ctx, path, func(int64) {}); err != nil {
		return &SnapshotError{Path: path, Proof: ProofStream, Err: err}
	}
	if _, _, err := checksum(ctx, path); err != nil {
		return &SnapshotError{Path: path, Proof: ProofTrailer, Err: err}
	}
	return nil
}
