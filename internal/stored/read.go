package stored

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kup-project/kup/internal/boltpage"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	// A row's key is a revision: main, separator, sub, and a mark on tombstones.
	revisionBytes  = 8 + 1 + 8
	tombstoneBytes = revisionBytes + 1

	// DefaultPrefix is what API servers put in front of their keys unless
	// --etcd-prefix says otherwise.
	DefaultPrefix = "/registry"
)

// The buckets and the key of an etcd 3 store (go.etcd.io/etcd/server/v3/storage/schema).
var (
	keyBucket       = []byte("key")
	metaBucket      = []byte("meta")
	finishedCompact = []byte("finishedCompactRev")
)

// Read tells what the objects below the API servers' prefix (empty: /registry)
// are stored as in the snapshot file. The file should have been proven
// before: a damaged one gives an error, or wrong counts.
//
// Memory grows with the number of kinds and of keys written since etcd's last
// compaction (API servers ask for one every five minutes), not with the file.
func Read(ctx context.Context, file, prefix string) (cluster.Stored, error) {
	found := newGroups()
	r := newReader(prefix)
	r.take = func(key string, row row) error {
		found.add(key, row.value)
		return nil
	}
	if err := r.open(ctx, file); err != nil {
		return cluster.Stored{}, fmt.Errorf("read the objects in snapshot %s: %w", file, err)
	}
	out := found.result()
	out.Revision, out.Prefix = r.newest, string(r.prefix)
	return out, nil
}

func newReader(prefix string) *reader {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return &reader{prefix: []byte(strings.TrimSuffix(path.Join("/", prefix), "/") + "/"), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (r *reader) open(ctx context.Context, path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A database is made of pages of at least 512 bytes; what is over is the SHA-256.
	db, err := boltpage.Open(f, info.Size()/512*512)
	if err == nil {
		err = r.read(ctx, db)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w; take another snapshot", err)
	}
	return err
}

type reader struct {
	prefix []byte
	// take is given every living object, by its key below the prefix.
	take   func(key string, row row) error
	newest int64 // revision
	// compacted is the revision up to which every key has one row.
	compacted int64
	seeds     [2]maphash.Seed
	seen      map[[2]uint64]struct{} // hashes of keys met at a newer revision
}

// read goes from the newest revision to the oldest, so that the first row of a
// key is the one that lives.
func (r *reader) read(ctx context.Context, db *boltpage.File) error {
	err := db.Last(ctx, metaBucket, func(key, value []byte) error {
		if bytes.Equal(key, finishedCompact) && len(value) >= 8 {
			r.compacted = int64(binary.BigEndian.Uint64(value))
		}
		return nil
	})
	if err != nil && !errors.Is(err, boltpage.ErrNoBucket) {
		return err
	}
	r.seen = map[[2]uint64]struct{}{}
	err = db.Last(ctx, keyBucket, r.row)
	if errors.Is(err, boltpage.ErrNoBucket) {
		return errors.New("it has no keys: it is not a snapshot of an etcd 3 store")
	}
	return err
}

// row takes one revision of a key.
func (r *reader) row(k, v []byte) error {
	if len(k) != revisionBytes && len(k) != tombstoneBytes {
		return fmt.Errorf("a revision of %d bytes", len(k))
	}
	revision := int64(binary.BigEndian.Uint64(k))
	r.newest = max(r.newest, revision)
	row, err := keyValue(v)
	if err != nil {
		return fmt.Errorf("revision %d: %w", revision, err)
	}
	if len(row.key) <= len(r.prefix) || !bytes.HasPrefix(row.key, r.prefix) {
		return nil
	}
	dead := len(k) == tombstoneBytes
	if r.met(row.key, revision, dead) || dead {
		return nil
	}
	row.written = revision
	return r.take(string(row.key[len(r.prefix):]), row)
}

// row is one revision of a key. Key and value are only valid while it is visited.
type row struct {
	key, value    []byte
	made, written int64 // revisions: of the key's first write, and of this one
}

// keyValue reads a row, without copying: fields 1, 2 and 5 of etcd's mvccpb.KeyValue.
func keyValue(message []byte) (row, error) {
	var r row
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			return row{}, protowire.ParseError(size)
		}
		_, _, tag := protowire.ConsumeTag(message)
		switch {
		case number == 1 && kind == protowire.BytesType:
			r.key, _ = protowire.ConsumeBytes(message[tag:])
		case number == 2 && kind == protowire.VarintType:
			made, _ := protowire.ConsumeVarint(message[tag:])
			r.made = int64(made)
		case number == 5 && kind == protowire.BytesType:
			r.value, _ = protowire.ConsumeBytes(message[tag:])
		}
		message = message[size:]
	}
	return r, nil
}

// met tells whether a newer row of the key was seen, and remembers the key where
// an older one may follow. Below the last compaction none can.
func (r *reader) met(key []byte, revision int64, dead bool) bool {
	sum := [2]uint64{maphash.Bytes(r.seeds[0], key), maphash.Bytes(r.seeds[1], key)}
	if _, met := r.seen[sum]; met {
		return true
	}
	if dead || revision > r.compacted {
		r.seen[sum] = struct{}{}
	}
	return false
}
