package cli

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
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
	all := shelves(ctx, peers)
	over, err := endedWell(ctx, r, all)
	if err == nil {
		// In this order: what kubeadm left is judged by what runs left.
		err = errors.Join(unasked(all), pruneKubeadm(ctx, kubeadmTemp, r.id, over, s.inv.Kubeadm.KeepBackups, hosts), pruneHosts(ctx, over, keep, hosts))
	}
	if err != nil {
		s.sys.tell("kup: what old runs left on hosts was not all removed: %v", err)
	}
}

// pruneHosts removes from all hosts the directories of runs that ended well and
// are older than the newest keep of these, the present one among them. over are those
// before it, the last one first.
func pruneHosts(ctx context.Context, over []string, keep int, hosts []remote.Host) error {
	old := over[min(len(over), max(0, keep-1)):]
	if len(old) == 0 {
		return nil
	}
	old = old[:min(len(old), mostPruned)]
	const script = `cd "$1" || exit 0
shift
for run in "$@"; do rm -rf "./$run"; done`
	return everywhere(ctx, hosts, append([]string{"sh", "-euc", script, "kup", detached.Base}, old...))
}

// kubeadmTemp is where kubeadm keeps what it replaced: manifests, and copies of etcd's
// whole data directory.
const kubeadmTemp = "/etc/kubernetes/tmp"

// pruneKubeadm removes kubeadm's own backups from all hosts, but for the newest keep
// of each kind. What is younger than what the present run, or one that is not over,
// saved on the host before it changed anything there is never removed; nor is anything
// where the present run saved nothing. It goes by the host's own clock.
func pruneKubeadm(ctx context.Context, temp, run string, over []string, keep int, hosts []remote.Host) error {
	const script = `base=$1 temp=$2 run=$3 keep=$4
shift 4
cd "$temp" 2>/dev/null || exit 0
[ -d "$base/$run/backup" ] || exit 0
before=$(date +%s)
for saved in "$base"/*/backup/*.tar; do
	of=${saved#"$base"/}
	of=${of%%/*}
	for ended in "$@"; do
		[ "$ended" != "$of" ] || continue 2
	done
	[ -f "$saved" ] || continue
	at=$(stat -c %Y "$saved")
	[ "$at" -ge "$before" ] || before=$at
done
for kind in manifests etcd; do
	left=0
	for old in $(ls -1 | grep -x "kubeadm-backup-$kind-[0-9-]*" | sort -r); do
		left=$((left + 1))
		if [ "$left" -gt "$keep" ] && [ "$(stat -c %Y "$old")" -lt "$before" ]; then
			rm -rf "./$old"
		fi
	done
done`
	argv := []string{"sh", "-euc", script, "kup", detached.Base, temp, run, strconv.Itoa(keep)}
	return everywhere(ctx, hosts, append(argv, over...))
}

// everywhere runs a command on all hosts and gathers what failed.
func everywhere(ctx context.Context, hosts []remote.Host, argv []string) error {
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(16)
	for _, h := range hosts {
		group.Go(func() error {
			_, err := h.Run(ctx, remote.Command{Argv: argv, Sudo: true})
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
