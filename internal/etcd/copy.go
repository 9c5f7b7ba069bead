package etcd

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"os"
	"slices"
)

// Copy saves the store to a file that only root and the user can read, for
// looking into it: it is checked to be what the member sent, and not proven to
// be what a cluster can be restored from. For that there is
// [Cluster.Snapshot], which asks every member to hash its whole store. It is not
// synced to disk either: it is good for as long as this machine runs.
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
	check := &trailer{body: sha256.New()}
	if err := source.conn.save(ctx, path, check, func(*os.File) error { return nil }); err != nil {
		return &SnapshotError{Path: path, Proof: ProofStream, Err: err}
	}
	if err := check.fits(); err != nil {
		return &SnapshotError{Path: path, Proof: ProofTrailer, Err: err}
	}
	return nil
}

// trailer checks a snapshot on its way: its last bytes must be the SHA-256 of all
// before them.
type trailer struct {
	body hash.Hash
	last []byte // at most as many bytes as a trailer has
	size int64
}

func (t *trailer) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	if over := len(t.last) + len(p) - sha256.Size; over > 0 { // which many bytes are no trailer
		kept := min(over, len(t.last))
		_, _ = t.body.Write(t.last[:kept]) // a hash takes everything
		_, _ = t.body.Write(p[:over-kept])
		t.last = append(slices.Clone(t.last[kept:]), p[over-kept:]...)
	} else {
		t.last = append(t.last, p...)
	}
	return len(p), nil
}

// fits tells of what was cut off or damaged.
func (t *trailer) fits() error {
	// A database is made of pages, so that what is over is the trailer.
	if t.size <= sha256.Size || t.size%512 != sha256.Size {
		return ErrTruncated
	}
	if !slices.Equal(t.last, t.body.Sum(nil)) {
		return ErrChecksum
	}
	return nil
}
