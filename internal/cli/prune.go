package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// prune removes the oldest snapshots of the cluster until keep are left: those of
// all its runs, or those in the inventory's directory. That directory may be shared
// with other clusters and other programs: only files named after a run that this
// machine knows of the cluster count. Those of the run that just ended are never
// removed.
func prune(clusterUID, run, directory string, keep int) error {
	base, err := stateDir(clusterUID)
	if err != nil {
		return err
	}
	pattern := filepath.Join(base, "*", "etcd-*.db")
	if directory != "" {
		pattern = filepath.Join(directory, "*-etcd-*.db")
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
		of := filepath.Base(filepath.Dir(f))
		if directory != "" {
			of, _, _ = strings.Cut(filepath.Base(f), "-etcd-")
			if !runName.MatchString(of) || !isDirectory(filepath.Join(base, of)) {
				continue
			}
		}
		info, err := os.Lstat(f)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		left++
		if of != run {
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

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
