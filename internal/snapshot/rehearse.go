package snapshot

import (
	"context"
	"errors"
)

// Rehearser restores a plain snapshot aside with the etcd that the cluster itself
// runs, reads it back and removes what it made. Nothing of the cluster is touched.
//
// An error that is [ErrCannotRehearse] says that it could not be tried there: the
// rehearsal with the etcd that is built in stands, and the report says why. Any other
// error is about the snapshot: it cannot be relied on.
type Rehearser interface {
	// Rehearse restores file, a plain snapshot on this machine, and compares what
	// the restore gives with want. Fields of want that are empty are not compared.
	Rehearse(ctx context.Context, file string, want Meta) (Rehearsal, error)
}

// Rehearsal is a restore that was tried aside and gave what it should.
type Rehearsal struct {
	// With names the etcd that restored it: "image registry.k8s.io/etcd:3.5.24-0 on
	// cp-2", "binary /usr/local/bin/etcdutl on cp-2", or [Embedded].
	With string `json:"with"`
	// Version is that etcd's: 3.5.24.
	Version string `json:"version,omitempty"`
	// Instead says why it was not the cluster's own etcd; empty: it was, or nobody
	// was there to ask.
	Instead string `json:"instead,omitempty"`
	// Revision and Keys are what the restored store ends at and how many keys live
	// there.
	Revision int64 `json:"revision,omitempty"`
	Keys     int64 `json:"keys,omitempty"`
}

// Embedded is what a [Rehearsal] with the etcd that is part of kup says.
const Embedded = "the etcd built into kup"

// ErrCannotRehearse is wrapped by a [Rehearser] that could not try at all.
var ErrCannotRehearse = errors.New("the restore could not be rehearsed with the cluster's own etcd")
