package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/stored"
	"github.com/kup-project/kup/pkg/cluster"
)

// surveyed is etcd as a survey asks for it.
type surveyed struct {
	*etcd.Cluster
	storeSide
}

// storeSide is etcd as a scan asks for it: a copy of the store is looked into
// here, because only offline is every object seen as it is stored.
type storeSide struct {
	etcd *etcd.Cluster
	dir  string // of the cluster's state on this machine
}

const (
	copyPrefix = ".store-"
	// copyAge is when a copy that a killed kup left behind is nobody's any more.
	copyAge = time.Hour
)

// Stored implements survey.Store.
func (s storeSide) Stored(ctx context.Context, prefix string) (out cluster.Stored, err error) {
	if err := makeDurably(s.dir); err != nil {
		return out, err
	}
	s.removeLeftOver()
	dir, err := os.MkdirTemp(s.dir, copyPrefix)
	if err != nil {
		return out, fmt.Errorf("a copy of etcd's store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "etcd.db")
	if err := s.etcd.Copy(ctx, file); err != nil {
		return out, err
	}
	return stored.Read(ctx, file, prefix)
}

// removeLeftOver is no reason to stop: what stays behind only root and the user
// can read.
func (s storeSide) removeLeftOver() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), copyPrefix) && time.Since(info.ModTime()) > copyAge {
			_ = os.RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
}
