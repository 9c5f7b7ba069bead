package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Save copies the data of all members, which must not run, to a directory that
// does not exist yet.
func (c *Cluster) Save(dir string) error {
	for _, m := range c.members {
		if m.Running() {
			return fmt.Errorf("member: save: etcd of %s runs", m.node.Name)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("member: save: %w", err)
	}
	if err := copyFile(c.dir, dir, stateFile); err != nil {
		return fmt.Errorf("member: save: %w", err)
	}
	for _, m := range c.members {
		if err := copyData(c.dir, dir, m.node.Name); err != nil {
			return fmt.Errorf("member: save etcd of %s: %w", m.node.Name, err)
		}
	}
	return nil
}

// Load prepares the cluster that Save left, in a directory that holds none; its
// version is the saved one. Where the nodes have other addresses now, it becomes
// another cluster with the same store, as after a restore.
func Load(saved string, c Config) (*Cluster, error) {
	s, err := readSaved(saved, c)
	if err != nil {
		return nil, err
	}
	moved := false
	for i, n := range c.Nodes {
		moved = moved || s.Members[i].IP != n.IP
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("member: load: %w", err)
	}
	if moved {
		err = s.move(saved, c)
	} else {
		err = s.copy(saved, c.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("member: load: %w", err)
	}
	return New(c)
}

func readSaved(saved string, c Config) (state, error) {
	var s state
	content, err := os.ReadFile(filepath.Join(saved, stateFile))
	if err != nil {
		return s, fmt.Errorf("member: load: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("member: load %s: %w", filepath.Join(saved, stateFile), err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, stateFile)); err == nil {
		return s, fmt.Errorf("member: load: %s holds a cluster already", c.Dir)
	}
	if len(s.Members) != len(c.Nodes) {
		return s, fmt.Errorf("member: load: %s holds %d members, not %d", saved, len(s.Members), len(c.Nodes))
	}
	for i, n := range c.Nodes {
		if s.Members[i].Name != n.Name {
			return s, fmt.Errorf("member: load: %s holds %s, not %s", saved, s.Members[i].Name, n.Name)
		}
	}
	return s, nil
}

func (s state) copy(saved, dir string) error {
	for _, m := range s.Members {
		if err := copyData(saved, dir, m.Name); err != nil {
			return err
		}
	}
	return copyFile(saved, dir, stateFile)
}

// move makes every member anew from the store that got furthest.
func (s state) move(saved string, c Config) error {
	lg := zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic))
	shrinkLog()
	db, err := s.furthest(lg, saved)
	if err != nil {
		return err
	}
	var initial []string
	for i, n := range c.Nodes {
		initial = append(initial, n.Name+"="+peerURL(n.IP))
		s.Members[i].IP = n.IP
	}
	for _, n := range c.Nodes {
		err := snapshot.NewV3(lg).Restore(snapshot.RestoreConfig{
			SnapshotPath: db, SkipHashCheck: true, // it is a database, with no checksum behind
			Name: n.Name, OutputDataDir: filepath.Join(c.Dir, n.Name, "data"),
			PeerURLs: []string{peerURL(n.IP)}, InitialCluster: strings.Join(initial, ","), InitialClusterToken: clusterToken,
		})
		if err != nil {
			return fmt.Errorf("etcd of %s: %w", n.Name, err)
		}
	}
	return (&Cluster{dir: c.Dir, state: s}).writeState()
}

func (s state) furthest(lg *zap.Logger, saved string) (string, error) {
	var best string
	var revision int64
	for _, m := range s.Members {
		db := datadir.ToBackendFileName(filepath.Join(saved, m.Name, "data"))
		status, err := snapshot.NewV3(lg).Status(db)
		if err != nil {
			return "", fmt.Errorf("etcd of %s: %w", m.Name, err)
		}
		if best == "" || status.Revision > revision {
			best, revision = db, status.Revision
		}
	}
	if best == "" {
		return "", errors.New("nothing is saved")
	}
	return best, nil
}

func copyData(from, to, node string) error {
	return os.CopyFS(filepath.Join(to, node, "data"), os.DirFS(filepath.Join(from, node, "data")))
}

func copyFile(from, to, name string) error {
	content, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, name), content, 0o600)
}
