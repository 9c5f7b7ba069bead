package member

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

var errNothingStored = errors.New("nothing is stored")

// Corrupt stops the member, changes one stored value behind its back and starts it
// again as what it was.
func (m *Member) Corrupt(ctx context.Context) error {
	if err := m.Stop(ctx); err != nil {
		return err
	}
	if err := corrupt(datadir.ToBackendFileName(m.data())); err != nil {
		return fmt.Errorf("member: change the data of %s: %w", m.node.Name, err)
	}
	if err := m.Start(ctx, ""); err != nil {
		return err
	}
	return m.Ready(ctx)
}

// corrupt changes the last byte of the newest value.
func corrupt(file string) error {
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		rows := tx.Bucket(schema.Key.Name())
		if rows == nil {
			return errNothingStored
		}
		last := rows.Cursor()
		for key, value := last.Last(); key != nil; key, value = last.Prev() {
			if len(value) > 0 {
				changed := append([]byte(nil), value...)
				changed[len(changed)-1] ^= 1
				return rows.Put(key, changed)
			}
		}
		return errNothingStored
	})
	return errors.Join(err, db.Close())
}
