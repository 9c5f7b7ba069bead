package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// prune removes the oldest snapshots of the cluster until keep are left: those
// of all its runs, or those in the inventory's directory. Those of the run that
// just ended are never removed.
func prune(clusterUID, run, directory string, keep int) error {
	base, err := stateDir(clusterUID)
	if err != nil {
		return err
	}
	pattern, mine := filepath.Join(base, "*", "etcd-*.db"), filepath.Join(base, run, "etcd-*.db")
	if directory != "" {
		pattern, mine = filepath.Join(directory, "*-etcd-*.db"), filepath.Join(directory, run+"-etcd-*.db")
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("look for old snapshots: %w", err)
	}
	type snapshot struct {
		path string
		at   time.Time
	}
	var old []snapshot
	left := 0
	for _, f := range files {
		info, err := os.Lstat(f)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		left++
		if own, err := filepath.Match(mine, f); err == nil && !own {
			old = append(old, snapshot{f, info.ModTime()})
		}
	}
	slices.SortFunc(old, func(a, b snapshot) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.path, b.path)) })
	var errs []error
	for _, s := range old {
		if left <= keep {
			break
		}
		errs = append(errs, os.Remove(s.path))
		left--
	}
	return errors.Join(errs...)
}
