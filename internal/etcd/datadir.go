package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/verify"
)

// Built is the version of the etcd that is part of this program.
func Built() string { return version.Version }

// DataDir is the data directory of one member of a new cluster that begins with a
// snapshot's data.
type DataDir struct {
	Dir            string
	Name           string
	PeerURLs       []string
	InitialCluster string // name=url, with commas between, of all members
	Token          string
	// RevisionBump is how far the revision is raised, so that nobody who watched the
	// old cluster sees it go back; MarkCompacted makes them list anew.
	RevisionBump  uint64
	MarkCompacted bool
}

// DataDirError is a data directory that was not asked for in a way that can be done.
// Nothing was written.
type DataDirError struct{ Err error }

func (e *DataDirError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *DataDirError) Unwrap() error { return e.Err }

// Check tells what speaks against making the directory, before anything is read.
func (d DataDir) Check() error {
	bad := func(format string, args ...any) error { return &DataDirError{fmt.Errorf(format, args...)} }
	peers, err := types.NewURLs(d.PeerURLs)
	if err != nil {
		return bad("peer URLs %v: %w", d.PeerURLs, err)
	}
	all, err := types.NewURLsMap(d.InitialCluster)
	switch own := all[d.Name]; {
	case err != nil:
		return bad("initial cluster %q: %w", d.InitialCluster, err)
	case len(own) == 0:
		return bad("initial cluster %q does not name the member %s", d.InitialCluster, d.Name)
	case !slices.Equal(own.StringSlice(), peers.StringSlice()):
		return bad("the initial cluster has %s at %v, the peer URLs are %v", d.Name, own.StringSlice(), peers.StringSlice())
	case d.MarkCompacted && d.RevisionBump == 0:
		return bad("revisions can be marked as compacted only when they are raised")
	}
	entries, err := os.ReadDir(d.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &DataDirError{err}
	case len(entries) > 0:
		return bad("%s is not empty: it has %s", d.Dir, entries[0].Name())
	}
	return nil
}

// Restore makes the directory of a snapshot's file, which must have been verified, with
// the etcd that is part of this program. It is there whole, or empty.
func (d DataDir) Restore(ctx context.Context, file string) (err error) {
	defer recovered(&err)
	if err := d.Check(); err != nil {
		return err
	}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	// Below the directory, since that may be a file system of its own.
	part := filepath.Join(d.Dir, ".kup-restoring")
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	err = snapshot.NewV3(quiet()).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, OutputDataDir: part,
		Name: d.Name, PeerURLs: d.PeerURLs, InitialCluster: d.InitialCluster, InitialClusterToken: d.Token,
		RevisionBump: d.RevisionBump, MarkCompacted: d.MarkCompacted,
	})
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = verify.Verify(verify.Config{DataDir: part, ExactIndex: true, Logger: quiet()})
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", d.Dir, err)
	}
	return os.Rename(filepath.Join(part, "member"), filepath.Join(d.Dir, "member"))
}
