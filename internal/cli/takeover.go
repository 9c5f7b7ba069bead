package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
)

// This file finds runs by what control planes keep of them; mirror.go puts it there.

// shelf is what one control plane keeps.
type shelf struct {
	host remote.Host
	runs []knownRun
	err  error // it could not be asked
}

// listScript names every run below $1 that has a journal, and the last epoch in it.
const listScript = `for j in "$1"/*/journal.jsonl; do
[ -s "$j" ] || continue
r=${j%/*}
echo "${r##*/} $(sed -n 's/.*"epoch":\([0-9]*\).*/\1/p' "$j" | tail -n 1)"
done`

// shelves asks every control plane which runs it knows.
func shelves(ctx context.Context, hosts []remote.Host) []shelf {
	out := make([]shelf, len(hosts))
	var group errgroup.Group
	for i, h := range hosts {
		group.Go(func() error {
			out[i].host = h
			out[i].runs, out[i].err = runsOn(ctx, h)
			return nil
		})
	}
	_ = group.Wait() // errors are by shelf
	return out
}

func runsOn(ctx context.Context, h remote.Host) ([]knownRun, error) {
	result, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", listScript, "kup", detached.Base}, Sudo: true})
	if err != nil {
		return nil, fmt.Errorf("look for runs: %w", err)
	}
	var out []knownRun
	for line := range strings.Lines(string(result.Stdout)) {
		id, epoch, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(epoch, 10, 64); err == nil && namesDirectory.MatchString(id) {
			out = append(out, knownRun{id, n})
		}
	}
	return out, nil
}

// has tells whether the shelf knows the run.
func (s shelf) has(id string) bool {
	return slices.ContainsFunc(s.runs, func(k knownRun) bool { return k.id == id })
}

// read gives the shelf's copy of a run.
func (s shelf) read(ctx context.Context, id string) (*runRecord, error) {
	dir := path.Join(detached.Base, id)
	planText, err := s.host.ReadFile(ctx, path.Join(dir, planFile))
	if err != nil {
		return nil, fmt.Errorf("plan of run %s: %w", id, err)
	}
	journalText, err := s.host.ReadFile(ctx, path.Join(dir, journal.File))
	if err != nil {
		return nil, fmt.Errorf("journal of run %s: %w", id, err)
	}
	r, err := readRun(id, s.host.String()+":"+dir, planText, journalText)
	if err == nil {
		r.where = s.host.String()
	}
	return r, err
}

// unasked are the errors of shelves that could not be asked.
func unasked(shelves []shelf) error {
	errs := make([]error, len(shelves))
	for i, s := range shelves {
		errs[i] = s.err
	}
	return errors.Join(errs...)
}

// known gathers the runs of this machine and of the shelves, the last one first,
// each with the highest epoch that anybody has of it.
func known(local []knownRun, shelves []shelf) []knownRun {
	epochs := map[string]int64{}
	add := func(runs []knownRun) {
		for _, k := range runs {
			epochs[k.id] = max(epochs[k.id], k.epoch)
		}
	}
	add(local)
	for _, s := range shelves {
		add(s.runs)
	}
	out := make([]knownRun, 0, len(epochs))
	for id, epoch := range epochs {
		out = append(out, knownRun{id, epoch})
	}
	slices.SortFunc(out, func(a, b knownRun) int { return cmp.Or(later(b, a), cmp.Compare(a.id, b.id)) })
	return out
}

// gathered is one run as all who know it have it.
type gathered struct {
	*runRecord       // the copy that begins with all the others
	damaged    error // of copies that were passed over
}

// gather reads every copy of a run: this machine's first, when its cluster is
// known. A copy that is damaged is passed over as long as another is whole.
func gather(ctx context.Context, clusterUID, id string, shelves []shelf) (*gathered, error) {
	copies, errs := readAll(ctx, id, shelves)
	if clusterUID == "" && len(copies) > 0 {
		clusterUID = copies[0].plan.Facts.Identity.UID
	}
	if clusterUID != "" {
		r, err := readHere(clusterUID, id)
		if err != nil {
			errs = append(errs, err)
		} else if r != nil {
			copies = slices.Insert(copies, 0, r)
		}
	}
	copies = slices.DeleteFunc(copies, func(r *runRecord) bool {
		return len(r.records) == 0 || r.plan.Facts.Identity.UID != clusterUID
	})
	damaged := errors.Join(errs...)
	if len(copies) == 0 {
		return nil, cmp.Or(damaged, errNoRun)
	}
	best, err := longest(copies)
	if err != nil {
		return nil, err
	}
	return &gathered{best, damaged}, nil
}

// readAll reads the copies that shelves have of a run, in their order.
func readAll(ctx context.Context, id string, shelves []shelf) (whole []*runRecord, damaged []error) {
	read, failed := make([]*runRecord, len(shelves)), make([]error, len(shelves))
	var group errgroup.Group
	for i, s := range shelves {
		if s.has(id) {
			group.Go(func() error {
				read[i], failed[i] = s.read(ctx, id)
				return nil
			})
		}
	}
	_ = group.Wait() // errors are by shelf
	for i := range shelves {
		if failed[i] != nil {
			damaged = append(damaged, failed[i])
		} else if read[i] != nil {
			whole = append(whole, read[i])
		}
	}
	return whole, damaged
}

// readHere reads this machine's copy of a run; nil when it has none.
func readHere(clusterUID, id string) (*runRecord, error) {
	base, err := stateDir(clusterUID)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(base, id)
	if _, err := os.Stat(filepath.Join(dir, journal.File)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return loadRun(dir)
}

// findRun gives the run of the cluster that was last gone on with, by this machine
// and by the shelves.
func findRun(ctx context.Context, clusterUID string, shelves []shelf) (*gathered, error) {
	var local []knownRun
	if clusterUID != "" {
		var err error
		if local, err = runsHere(clusterUID); err != nil {
			return nil, err
		}
	}
	for _, k := range known(local, shelves) {
		g, err := gather(ctx, clusterUID, k.id, shelves)
		if errors.Is(err, errNoRun) {
			continue // of a cluster that these hosts were in before
		}
		return g, err
	}
	return nil, errNoRun
}

// fetchSmall brings the baselines and comparisons that a run made on another
// machine into its directory here, from the first control plane that has them whole.
func fetchSmall(ctx context.Context, r *runRecord, dir string, shelves []shelf) error {
	for _, a := range r.state.Artefacts {
		if !isSmall(a) {
			continue
		}
		file := filepath.Join(dir, filepath.Base(a.Path))
		if b, err := os.ReadFile(file); err == nil && digest(b) == a.Digest {
			continue
		}
		b, err := fetch(ctx, r.id, a, shelves)
		if err == nil && b != nil {
			err = writeDurably(file, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch gives the content of an artefact; nil when nobody has it.
func fetch(ctx context.Context, run string, a journal.Artefact, shelves []shelf) ([]byte, error) {
	for _, s := range shelves {
		b, err := s.host.ReadFile(ctx, path.Join(detached.Base, run, filepath.Base(a.Path)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s of hop %s: %w", a.Name, a.Hop, err)
		}
		if digest(b) == a.Digest {
			return b, nil
		}
	}
	return nil, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
