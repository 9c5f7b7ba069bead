package etcd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

const (
	maxComplaints = 3    // of the database's check that an error repeats
	rowsPerCheck  = 4096 // rows between two looks at the context

	// A row's key is a revision: main, separator, sub, and a mark on tombstones.
	revisionBytes  = 8 + 1 + 8
	tombstoneBytes = revisionBytes + 1
)

// contents is what a snapshot's file says without being restored.
type contents struct {
	rows           int64
	newest         int64 // revision
	members        []string
	storageVersion string
}

// inspect checks the database's pages and reads every row, without changing the
// file. Memory grows with the number of pages, not with what they hold.
func inspect(ctx context.Context, path string) (c contents, err error) {
	defer recovered(&err)
	if err := walkFile(ctx, path); err != nil {
		return c, err
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
		if err := sound(tx); err != nil {
			return err
		}
		if v := schema.ReadStorageVersionFromSnapshot(tx); v != nil {
			c.storageVersion = v.String()
		}
		if c.members, err = memberIDs(tx); err != nil {
			return err
		}
		return c.read(ctx, tx)
	})
	return c, err
}

// walkFile checks the pages of a snapshot, which end before its checksum.
func walkFile(ctx context.Context, path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkLayout(ctx, f, info.Size()-sha256.Size)
}

// sound runs the database's own check. The channel is read to its end, or the
// goroutine that fills it would stay.
func sound(tx *bolt.Tx) error {
	var errs all
	more := 0
	for err := range tx.Check() {
		if len(errs) < maxComplaints {
			errs = append(errs, err)
		} else {
			more++
		}
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", more))
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

func memberIDs(tx *bolt.Tx) ([]string, error) {
	b := tx.Bucket(schema.Members.Name())
	if b == nil {
		return nil, errors.New("the file has no members: it is not a snapshot of an etcd 3 store")
	}
	var ids []string
	err := b.ForEach(func(k, _ []byte) error {
		ids = append(ids, string(k))
		return nil
	})
	slices.Sort(ids)
	return ids, err
}

// read goes over the stored revisions of all keys. What passes here cannot make
// etcd's own code give up in the middle of a restore.
func (c *contents) read(ctx context.Context, tx *bolt.Tx) error {
	b := tx.Bucket(schema.Key.Name())
	if b == nil {
		return errors.New("the file has no keys: it is not a snapshot of an etcd 3 store")
	}
	var kv mvccpb.KeyValue
	return b.ForEach(func(k, v []byte) error {
		if c.rows%rowsPerCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c.rows++
		if len(k) != revisionBytes && len(k) != tombstoneBytes {
			return fmt.Errorf("row %d: its revision has %d bytes", c.rows, len(k))
		}
		c.newest = mvcc.BytesToRev(k).Main
		if err := proto.Unmarshal(v, &kv); err != nil {
			return fmt.Errorf("row %d, revision %d: %w", c.rows, c.newest, err)
		}
		return nil
	})
}

// recovered makes an error of a panic: etcd's storage code panics on data that
// it cannot read.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("etcd's storage code gave up: %v", r))
	}
}
