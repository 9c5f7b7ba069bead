package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Proof is what was found in a snapshot that passed every check.
type Proof struct {
	SHA256 string `json:"sha256"` // of the whole file, hexadecimal
	Size   int64  `json:"size"`   // bytes
	// Revision is the newest revision, Keys how many keys live at it, Rows how
	// many revisions of keys are stored.
	Revision int64 `json:"revision"`
	Keys     int64 `json:"keys"`
	Rows     int64 `json:"rows"`
	// Point is the hash that the restored data have, equal to the members'.
	Point Point `json:"point"`
	// Members are the ids in the file, hexadecimal, sorted.
	Members []string `json:"members"`
	// StorageVersion is the schema's version; empty below etcd 3.6.
	StorageVersion string `json:"storageVersion,omitempty"`
}

// Verify proves a file again, against what was recorded when it was taken: the
// trailing SHA-256, the recorded digest, the structure of the database and every
// row, the cluster it names, a restore into a throw-away directory beside it,
// and the hash of what the restore gives. Fields of want that are empty are not
// compared. Errors are *SnapshotError, naming the proof that failed.
func Verify(ctx context.Context, path string, want Snapshot) (Proof, error) {
	return VerifyIn(ctx, path, filepath.Dir(path), want)
}

// VerifyIn is [Verify] with the throw-away directory made in scratch.
func VerifyIn(ctx context.Context, path, scratch string, want Snapshot) (Proof, error) {
	return prove(ctx, path, scratch, want, unasked)
}

// unasked stands for members that cannot be asked.
func unasked(context.Context, int64) (Point, error) { return Point{}, errPassed }

// prove makes all proofs. Again asks the members for their hash at another
// revision, for when a compaction came between their answer and the file.
func prove(ctx context.Context, path, scratch string, want Snapshot, again func(context.Context, int64) (Point, error)) (Proof, error) {
	var p Proof
	fail := func(proof ProofName, err error) (Proof, error) {
		return Proof{}, &SnapshotError{Path: path, Proof: proof, Err: err}
	}
	var err error
	if p.SHA256, p.Size, err = checksum(ctx, path); err != nil {
		return fail(ProofTrailer, err)
	}
	if want.SHA256 != "" && want.SHA256 != p.SHA256 {
		return fail(ProofDigest, fmt.Errorf("the file was replaced: its SHA-256 is %s, not %s", p.SHA256, want.SHA256))
	}
	content, err := inspect(ctx, path)
	if err != nil {
		return fail(ProofStructure, err)
	}
	p.Rows, p.Members, p.StorageVersion = content.rows, content.members, content.storageVersion
	if err := belongs(content.members, want.Members); err != nil {
		return fail(ProofIdentity, err)
	}
	// Always the same name, so that what a killed kup left here is removed.
	dir := filepath.Join(scratch, filepath.Base(path)+".restore")
	if err := os.RemoveAll(dir); err != nil {
		return fail(ProofRestore, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := restore(ctx, path, dir)
	if err != nil {
		return fail(ProofRestore, err)
	}
	defer store.close()
	p.Revision, p.Keys, err = store.count(ctx)
	if err == nil && p.Revision < content.newest {
		err = fmt.Errorf("the restored store ends at revision %d, the file at %d", p.Revision, content.newest)
	}
	if err != nil {
		return fail(ProofRestore, err)
	}
	if p.Point, err = settle(ctx, store, p.Revision, want, again); err != nil {
		return fail(ProofHash, err)
	}
	return p, nil
}

// settle compares the restored store's hash with the members'. Where the file is
// the one compacted further, the members are asked again at the file's own
// newest revision; where they are, the throw-away copy is compacted as they
// were: the hash depends on nothing but data, revision and compaction.
func settle(ctx context.Context, store *restored, newest int64, want Snapshot, again func(context.Context, int64) (Point, error)) (Point, error) {
	target := want.Point()
	if target.Revision == 0 { // nothing was recorded
		return store.hash(ctx, Point{Revision: newest})
	}
	for range hashTries {
		got, err := store.hash(ctx, target)
		if err != nil && !errors.Is(err, errPassed) {
			return Point{}, err
		}
		if err == nil && got.CompactRevision == target.CompactRevision {
			if got.Hash != target.Hash {
				return Point{}, fmt.Errorf("%w: at revision %d, compacted at %d, the file has hash %08x, the members %08x",
					ErrHash, got.Revision, got.CompactRevision, got.Hash, target.Hash)
			}
			return got, nil
		}
		if target, err = again(ctx, newest); err != nil {
			return Point{}, err
		}
	}
	return Point{}, fmt.Errorf("%w, %d times in a row", errPassed, hashTries)
}

// checksum reads the file once: the trailer must be the SHA-256 of all before
// it. It gives the digest of the whole.
func checksum(ctx context.Context, path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	// A database is made of pages, so that what is over is the trailer.
	if size = info.Size(); size <= sha256.Size || size%512 != sha256.Size {
		return "", size, ErrTruncated
	}
	whole, body := sha256.New(), sha256.New()
	in := contextReader{ctx, f}
	if _, err := io.CopyN(io.MultiWriter(whole, body), in, size-sha256.Size); err != nil {
		return "", size, err
	}
	trailer := make([]byte, sha256.Size)
	if _, err := io.ReadFull(in, trailer); err != nil {
		return "", size, err
	}
	if !slices.Equal(trailer, body.Sum(nil)) {
		return "", size, ErrChecksum
	}
	_, _ = whole.Write(trailer) // a hash takes everything
	return hex.EncodeToString(whole.Sum(nil)), size, nil
}

// belongs compares the members that a file names with those of the cluster. Ids
// are made from a cluster's own token and addresses. One in common is enough: a
// file may name members that were removed since.
func belongs(found, want []string) error {
	if len(want) == 0 {
		return nil
	}
	for _, id := range want {
		if slices.Contains(found, id) {
			return nil
		}
	}
	return fmt.Errorf("%w: it names the members %s, the cluster has %s",
		ErrForeign, strings.Join(found, ", "), strings.Join(want, ", "))
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it; it lives for one copy
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
