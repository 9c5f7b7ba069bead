package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/kup-project/kup/internal/snapshot"
)

// prune removes, from every place, the oldest snapshots that runs of the cluster took,
// until keep are left there; those of the run that just ended are never removed. A file
// without a description counts when this machine knows the run that it is named after.
func prune(ctx context.Context, store *snapshot.Store, run string, keep int) error {
	base, err := stateDir(store.Cluster)
	if err != nil {
		return err
	}
	return store.Prune(ctx, snapshot.OfRuns, keep, run, func(of string) bool {
		return runName.MatchString(of) && isDirectory(filepath.Join(base, of))
	})
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
