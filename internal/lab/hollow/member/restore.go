package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Restore puts a database in the place of the data of a member that does not run, which
// are set aside: as one of a new cluster, with the revision raised by bump and all
// before it compacted. It starts next as that version, whatever the others were.
func (m *Member) Restore(db []byte, bump int64, token, version string) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.Running() {
		return fmt.Errorf("member: etcd of %s runs", m.node.Name)
	}
	m.clear()
	v, err := parseVersion(version)
	if err != nil {
		return fmt.Errorf("member: etcd of %s: %w", m.node.Name, err)
	}
	aside, err := os.MkdirTemp(m.dir(), "restored-*")
	if err != nil {
		return fmt.Errorf("member: restore %s: %w", m.node.Name, err)
	}
	file := filepath.Join(aside, "snapshot.db")
	if err := errors.Join(os.WriteFile(file, db, 0o600), os.Rename(m.data(), filepath.Join(aside, "data"))); err != nil {
		return fmt.Errorf("member: restore %s: %w", m.node.Name, err)
	}
	var initial []string
	for _, other := range m.cluster.members {
		initial = append(initial, other.node.Name+"="+peerURL(other.node.IP))
	}
	err = snapshot.NewV3(zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic))).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, SkipHashCheck: true, Name: m.node.Name, OutputDataDir: m.data(), PeerURLs: []string{peerURL(m.node.IP)},
		InitialCluster: strings.Join(initial, ","), InitialClusterToken: token, RevisionBump: uint64(max(bump, 0)), MarkCompacted: bump > 0,
	})
	if err != nil {
		return fmt.Errorf("member: restore %s: %w", m.node.Name, err)
	}
	m.cluster.replaced(v.Line(), bump)
	return nil
}

// Restored gives what the store holds since a member was restored, once, and by how much
// the revision was raised. False: there is nothing new.
func (c *Cluster) Restored(ctx context.Context, prefix string) (values [][]byte, bump int64, ok bool, err error) {
	c.mu.Lock()
	bump, ok = c.raised, c.fresh
	c.mu.Unlock()
	if !ok {
		return nil, 0, false, nil
	}
	e, serves := c.serving()
	if !serves {
		return nil, 0, false, errNotServing
	}
	end := []byte(prefix)
	end[len(end)-1]++
	all, err := e.Server.Range(ctx, &pb.RangeRequest{Key: []byte(prefix), RangeEnd: end})
	if err != nil {
		return nil, 0, false, fmt.Errorf("member: read the restored store: %w", err)
	}
	for _, kv := range all.Kvs {
		values = append(values, kv.Value)
	}
	c.mu.Lock()
	c.fresh = false
	c.mu.Unlock()
	return values, bump, true, nil
}
