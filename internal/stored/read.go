package stored

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	rowsPerCheck = 4096 // rows between two looks at the context

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
	if prefix == "" {
		prefix = DefaultPrefix
	}
	r := reader{prefix: []byte(strings.TrimSuffix(path.Join("/", prefix), "/") + "/"), groups: newGroups(), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	if err := r.open(ctx, file); err != nil {
		return cluster.Stored{}, fmt.Errorf("read the objects in snapshot %s: %w", file, err)
	}
	out := r.groups.result()
	out.Revision, out.Prefix = r.newest, string(r.prefix)
	return out, nil
}

// open makes errors of panics: bbolt panics on pages that it cannot follow, and
// the memory map faults where the file was cut.
func (r *reader) open(ctx context.Context, file string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the database is damaged: %v; take another snapshot", p)
		}
	}()
	db, err := bolt.Open(file, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error { return r.read(ctx, tx) })
}

type reader struct {
	prefix []byte
	groups *groups
	newest int64 // revision
	// compacted is the revision up to which every key has one row.
	compacted int64
	seeds     [2]maphash.Seed
	seen      map[[2]uint64]struct{} // hashes of keys met at a newer revision
}

// read goes from the newest revision to the oldest, so that the first row of a
// key is the one that lives.
func (r *reader) read(ctx context.Context, tx *bolt.Tx) error {
	b := tx.Bucket(keyBucket)
	if b == nil {
		return errors.New("it has no keys: it is not a snapshot of an etcd 3 store")
	}
	if meta := tx.Bucket(metaBucket); meta != nil {
		if raw := meta.Get(finishedCompact); len(raw) >= 8 {
			r.compacted = int64(binary.BigEndian.Uint64(raw))
		}
	}
	r.seen = map[[2]uint64]struct{}{}
	var kv mvccpb.KeyValue
	rows := 0
	c := b.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		if rows%rowsPerCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rows++
		if len(k) != revisionBytes && len(k) != tombstoneBytes {
			return fmt.Errorf("a revision of %d bytes", len(k))
		}
		revision := int64(binary.BigEndian.Uint64(k))
		r.newest = max(r.newest, revision)
		if err := proto.Unmarshal(v, &kv); err != nil {
			return fmt.Errorf("revision %d: %w", revision, err)
		}
		if len(kv.Key) <= len(r.prefix) || string(kv.Key[:len(r.prefix)]) != string(r.prefix) {
			continue
		}
		dead := len(k) == tombstoneBytes
		if r.met(kv.Key, revision, dead) || dead {
			continue
		}
		r.groups.add(string(kv.Key[len(r.prefix):]), kv.Value)
	}
	return nil
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
