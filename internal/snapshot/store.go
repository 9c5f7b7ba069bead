package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Source saves etcd's data into a file of a directory and proves it against the
// members; what it gives describes the data, not where they are stored.
type Source interface {
	Snapshot(ctx context.Context, dir, name string, progress func(bytes int64)) (Meta, error)
}

// Store is the snapshots of one cluster in all their places.
type Store struct {
	// Cluster is the uid of the namespace kube-system; empty: it is not known, and
	// those of all clusters are listed.
	Cluster string
	// Work is where plain copies may be while they are looked into: kup's own
	// directory of the cluster.
	Work string
	// Places, the first one on this machine: what it lacks was not saved.
	Places []Place
	// Recipients are for whom new snapshots are encrypted.
	Recipients Recipients
	// Note says what is going on; nil: nobody listens.
	Note func(text string)
	// Patience is how long a place may give no sign of life; 0: a minute.
	Patience time.Duration
}

func (s *Store) note(format string, args ...any) {
	if s.Note != nil {
		s.Note(fmt.Sprintf(format, args...))
	}
}

func (s *Store) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return patience
}

// Order says what to save.
type Order struct {
	// ID begins the name: a run's, or one made like it.
	ID string
	// Hop is the run's; empty: it is taken by hand.
	Hop string
	At  time.Time
	// Progress is told how many bytes were received; nil: nobody listens.
	Progress func(bytes int64)
}

// Save takes a snapshot, rehearses its restore, seals it and puts it into every
// place. Rehearser may be nil. It is saved only when every place has it; what some
// place has already stays there.
//
// The plain file is in the working directory only, and is removed from there before
// an encrypted one is put anywhere.
func (s *Store) Save(ctx context.Context, from Source, with Rehearser, o Order) (m Meta, err error) {
	work, err := NewWork(s.Work)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, work.Close()) }()
	const file = "etcd.db"
	if m, err = from.Snapshot(ctx, work.Dir(), file, o.Progress); err != nil {
		return Meta{}, OfMachine("save a snapshot", err)
	}
	m.Format, m.TakenAt, m.Cluster, m.Hop = MetaFormat, o.At.UTC().Truncate(time.Second), s.Cluster, o.Hop
	m.Name = NameByHand(o.ID, m.Revision)
	if o.Hop != "" {
		m.Run, m.Name = o.ID, NameOfRun(o.ID, o.Hop)
	}
	if m.Rehearsed, err = Rehearse(ctx, with, work.Path(file), m); err != nil {
		return Meta{}, err
	}
	ready, other := stored{path: work.Path(file), sha256: m.SHA256, size: m.Size}, m.Name+sealedSuffix
	if !s.Recipients.None() {
		if ready, err = s.Recipients.seal(ctx, work.Path(file), work.Path(file+sealedSuffix)); err == nil {
			err = os.Remove(work.Path(file))
		}
		if err != nil {
			return Meta{}, fmt.Errorf("encrypt the snapshot: %w", OfMachine("encrypt a snapshot", err))
		}
		m.EncryptedFor, m.Name, other = s.Recipients.Names(), m.Name+sealedSuffix, m.Name
	}
	m.StoredSHA256, m.StoredSize = ready.sha256, ready.size
	for _, p := range s.Places {
		if err := s.put(ctx, p, ready.path, m, other); err != nil {
			return Meta{}, err
		}
	}
	return m, nil
}

// Rehearse asks who rehearses, if anybody does. That it could not be tried there is
// no error: the proof with the embedded etcd was made already.
func Rehearse(ctx context.Context, with Rehearser, file string, want Meta) (Rehearsal, error) {
	embedded := Rehearsal{With: Embedded, Revision: want.Revision, Keys: want.Keys}
	if with == nil {
		return embedded, nil
	}
	r, err := with.Rehearse(ctx, file, want)
	if errors.Is(err, ErrCannotRehearse) && ctx.Err() == nil {
		embedded.Instead = err.Error()
		return embedded, nil
	}
	return r, err
}

// put puts a file and then its description into a place: what has none was never
// finished. A file of an earlier try that was sealed otherwise is removed.
func (s *Store) put(ctx context.Context, p Place, path string, m Meta, other string) error {
	s.note("storing %s (%d MiB) in %s", m.Name, m.StoredSize>>20, p)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	err = attended(ctx, s.patience(), func(ctx context.Context, tick func()) error {
		f, err := os.Open(path)
		if err != nil {
			return &MachineError{Op: "read the snapshot back", Err: err}
		}
		defer func() { _ = f.Close() }() // only read
		for _, name := range []string{other, other + DescriptionSuffix} {
			if err := p.Remove(ctx, name); err != nil {
				return err
			}
		}
		if err := p.Put(ctx, m.Name, ticking{f, tick}, m.StoredSize); err != nil {
			return err
		}
		return p.Put(ctx, m.Name+DescriptionSuffix, bytes.NewReader(text), int64(len(text)))
	})
	if err != nil {
		return &PlaceError{Place: p.String(), Op: "store " + m.Name, Err: err}
	}
	return nil
}

// describe reads a description.
func (s *Store) describe(ctx context.Context, p Place, name string) (m Meta, err error) {
	r, err := p.Open(ctx, name+DescriptionSuffix)
	if err != nil {
		return m, err
	}
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(r, most))
	if err = errors.Join(err, r.Close()); err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Meta{}, fmt.Errorf("its description cannot be read: %w", err)
	}
	switch {
	case m.Format > MetaFormat:
		return Meta{}, fmt.Errorf("its description has format %d, and this kup reads %d", m.Format, MetaFormat)
	case m.Name != name:
		return Meta{}, fmt.Errorf("its description is of %q", m.Name)
	}
	return m, nil
}

// copyOut copies a stored file out of a place and counts its bytes.
func (s *Store) copyOut(ctx context.Context, p Place, name string, to io.Writer) (int64, error) {
	out := &closable{w: to}
	defer out.close()
	return attend(ctx, s.patience(), func(ctx context.Context, tick func()) (int64, error) {
		r, err := p.Open(ctx, name)
		if err != nil {
			return 0, err
		}
		size, err := io.Copy(out, ticking{contextReader{ctx, r}, tick})
		return size, errors.Join(err, r.Close())
	})
}

// Sealed tells whether a name is that of an encrypted file.
func Sealed(name string) bool { return strings.HasSuffix(name, sealedSuffix) }
