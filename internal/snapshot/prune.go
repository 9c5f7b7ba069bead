package snapshot

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
)

// Kind is whose snapshots are pruned.
type Kind int

// Snapshots of runs and those taken by hand are counted on their own: taking one by
// hand never removes a run's way back.
const (
	OfRuns Kind = iota
	ByHand
)

// Prune removes the oldest snapshots of a kind from every place until keep are left
// there. Places may be shared with other clusters and other programs: only what is
// described as this cluster's counts, and of files without a description those of a
// run that known knows. Those whose name begins with id are never removed.
func (s *Store) Prune(ctx context.Context, kind Kind, keep int, id string, known func(run string) bool) error {
	var errs []error
	for _, p := range s.Places {
		if err := s.pruneIn(ctx, p, kind, keep, id, known); err != nil {
			errs = append(errs, &PlaceError{Place: p.String(), Op: "remove old snapshots", Err: err})
		}
	}
	return errors.Join(errs...)
}

func (s *Store) pruneIn(ctx context.Context, p Place, kind Kind, keep int, id string, known func(string) bool) error {
	all, err := s.in(ctx, p)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l Listed) bool {
		switch {
		case !l.Described:
			return kind == ByHand || !known(runOf(l.Meta.Name))
		case l.Meta.Cluster != s.Cluster:
			return true
		}
		return (l.Meta.Run == "") != (kind == ByHand)
	})
	slices.SortFunc(all, func(a, b Listed) int { // the oldest first
		return cmp.Or(a.Meta.TakenAt.Compare(b.Meta.TakenAt), cmp.Compare(a.Meta.Name, b.Meta.Name))
	})
	left := 0 // that can be relied on, as far as listing tells
	for _, l := range all {
		if l.counts() {
			left++
		}
	}
	var errs []error
	for _, l := range all {
		if left <= keep {
			break
		}
		if id != "" && strings.HasPrefix(l.Meta.Name, id+"-") {
			continue
		}
		errs = append(errs, s.remove(ctx, p, l.Meta.Name))
		if l.counts() {
			left--
		}
	}
	return errors.Join(errs...)
}

// counts tells whether a snapshot is one of those that are kept: a copy that was cut short
// since must not push out a whole one. Of one without a description nothing more is known.
func (l *Listed) counts() bool { return !l.Described || l.Copies[0].Problem == "" }

// remove removes the description first: what is left of a removal that broke off is a
// file that says so.
func (s *Store) remove(ctx context.Context, p Place, name string) error {
	return attended(ctx, s.patience(), func(ctx context.Context, _ func()) error {
		if err := p.Remove(ctx, name+DescriptionSuffix); err != nil {
			return err
		}
		return p.Remove(ctx, name)
	})
}
