package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Listed is one snapshot and where it is.
type Listed struct {
	Meta Meta `json:"meta"`
	// Described: the description was found. Without one only name, size and time are
	// known.
	Described bool   `json:"described"`
	Copies    []Copy `json:"copies"`
}

// Copy is a snapshot in one place.
type Copy struct {
	Place string `json:"place"`
	// Problem is what is wrong with it, as far as was looked; empty: nothing.
	Problem string `json:"problem,omitempty"`
}

// Listing is what the places answered.
type Listing struct {
	Snapshots []Listed // the newest first
	// Silent are the places that did not answer. What the others have is listed.
	Silent []*PlaceError
}

// List asks all places side by side.
func (s *Store) List(ctx context.Context) Listing {
	found := make([][]Listed, len(s.Places))
	errs := make([]error, len(s.Places))
	var group errgroup.Group
	for i, p := range s.Places {
		group.Go(func() error {
			found[i], errs[i] = s.in(ctx, p)
			return nil
		})
	}
	_ = group.Wait() // errors are kept by place
	var out Listing
	byName := map[string]int{}
	for i, p := range s.Places {
		if errs[i] != nil {
			out.Silent = append(out.Silent, &PlaceError{Place: p.String(), Op: "list snapshots", Err: errs[i]})
		}
		for _, l := range found[i] {
			at, known := byName[l.Meta.Name]
			if !known {
				byName[l.Meta.Name] = len(out.Snapshots)
				out.Snapshots = append(out.Snapshots, l)
				continue
			}
			out.Snapshots[at].join(l)
		}
	}
	slices.SortFunc(out.Snapshots, func(a, b Listed) int {
		return cmp.Or(b.Meta.TakenAt.Compare(a.Meta.TakenAt), cmp.Compare(b.Meta.Name, a.Meta.Name))
	})
	return out
}

// join adds another place's copy.
func (l *Listed) join(other Listed) {
	switch {
	case !l.Described && other.Described:
		l.Meta, l.Described = other.Meta, true
	case l.Described && other.Described && l.Meta.StoredSHA256 != other.Meta.StoredSHA256:
		other.Copies[0].Problem = "another snapshot of the same name"
	}
	l.Copies = append(l.Copies, other.Copies...)
}

// in lists one place's snapshots of the cluster.
func (s *Store) in(ctx context.Context, p Place) ([]Listed, error) {
	files, err := attend(ctx, s.patience(), func(ctx context.Context, _ func()) ([]File, error) { return p.List(ctx) })
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	all := make([]Listed, len(files))
	var group errgroup.Group
	group.SetLimit(8)
	for i, f := range files {
		if !isOurs(f.Name) || strings.HasSuffix(f.Name, DescriptionSuffix) {
			continue
		}
		group.Go(func() error {
			all[i] = s.look(ctx, p, f, names[f.Name+DescriptionSuffix])
			return nil
		})
	}
	_ = group.Wait() // problems are kept by snapshot
	return slices.DeleteFunc(all, func(l Listed) bool {
		return l.Meta.Name == "" || (s.Cluster != "" && l.Described && l.Meta.Cluster != s.Cluster)
	}), ctx.Err()
}

// look looks at one snapshot's description.
func (s *Store) look(ctx context.Context, p Place, f File, described bool) Listed {
	l := Listed{Meta: Meta{Name: f.Name, TakenAt: f.Modified.UTC(), StoredSize: f.Size}, Copies: []Copy{{Place: p.String()}}}
	problem := &l.Copies[0].Problem
	if !described {
		*problem = "it has no description: an older kup took it, or its copying broke off"
		return l
	}
	m, err := attend(ctx, s.patience(), func(ctx context.Context, _ func()) (Meta, error) { return s.describe(ctx, p, f.Name) })
	if err != nil {
		*problem = err.Error()
		return l
	}
	l.Meta, l.Described = m, true
	if m.StoredSize != f.Size {
		*problem = fmt.Sprintf("it has %d bytes of %d", f.Size, m.StoredSize)
	}
	return l
}
