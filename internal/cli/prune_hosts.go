package cli

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/snapshot"
)

// mostPruned bounds how many old runs one run clears away: housekeeping is not what
// the operator waits for.
const mostPruned = 10

// runName matches what newRunID makes. Nothing else is ever removed from a host.
var runName = regexp.MustCompile(`^\d{8}-\d{6}-[0-9a-f]{6}$`)

// tidy clears away, after a run that ended well, what older runs left: snapshots in
// all their places and their directories on the hosts. What fails is told and left.
func (s *session) tidy(ctx context.Context, r *runRecord, peers []remote.Host, store *snapshot.Store) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	keep := s.inv.Snapshots.Keep
	if err := prune(ctx, store, r.id, keep); err != nil {
		s.sys.tell("kup: old snapshots were not all removed: %v", err)
	}
	hosts := make([]remote.Host, 0, len(s.hosts.byNode))
	for _, h := range s.hosts.byNode {
		hosts = append(hosts, h)
	}
	if err := pruneHosts(ctx, r, keep, peers, hosts); err != nil {
		s.sys.tell("kup: what old runs left on hosts was not all removed: %v", err)
	}
}

// pruneHosts removes from all hosts the directories of runs that ended well and
// are older than the newest keep of these, this one among them.
func pruneHosts(ctx context.Context, r *runRecord, keep int, peers, hosts []remote.Host) error {
	all := shelves(ctx, peers)
	old, err := endedWell(ctx, r, all)
	if err != nil {
		return err
	}
	if old = old[min(len(old), max(0, keep-1)):]; len(old) == 0 {
		return unasked(all)
	}
	old = old[:min(len(old), mostPruned)]
	const script = `cd "$1" || exit 0
shift
for run in "$@"; do rm -rf "./$run"; done`
	var mu sync.Mutex
	errs := []error{unasked(all)}
	var group errgroup.Group
	group.SetLimit(16)
	for _, h := range hosts {
		group.Go(func() error {
			_, err := h.Run(ctx, remote.Command{Argv: append([]string{"sh", "-euc", script, "kup", detached.Base}, old...), Sudo: true})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			return nil
		})
	}
	_ = group.Wait() // errors are gathered
	return errors.Join(errs...)
}

// endedWell names the runs before this one that control planes still have and of
// which nothing is left to do, the last one first.
func endedWell(ctx context.Context, r *runRecord, all []shelf) ([]string, error) {
	uid := r.plan.Facts.Identity.UID
	local, err := runsHere(uid)
	if err != nil {
		return nil, err
	}
	runs := known(local, all)
	var out []string
	for _, k := range runs[slices.IndexFunc(runs, func(k knownRun) bool { return k.id == r.id })+1:] {
		if !runName.MatchString(k.id) || !slices.ContainsFunc(all, func(s shelf) bool { return s.has(k.id) }) {
			continue
		}
		if g, err := gather(ctx, uid, k.id, all); err == nil && g.over() {
			out = append(out, k.id)
		}
	}
	return out, nil
}
