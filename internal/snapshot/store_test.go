package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// source "saves" what it holds.
type source struct {
	content  string
	revision int64
	err      error
}

func (s source) Snapshot(_ context.Context, dir, name string, progress func(int64)) (Meta, error) {
	if progress != nil {
		progress(1)
	}
	if s.err != nil {
		return Meta{}, s.err
	}
	sum := sha256.Sum256([]byte(s.content))
	return Meta{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(s.content)), Revision: s.revision, EtcdVersion: "3.5.24", Members: []string{"a1"}},
		os.WriteFile(filepath.Join(dir, name), []byte(s.content), 0o600)
}

// prover takes a file for proven that begins as it should.
type prover struct{ err error }

var errRotten = errors.New("rotten")

func (p prover) Prove(_ context.Context, file, scratch string, want Meta) (Proof, error) {
	content, err := os.ReadFile(file)
	if err == nil && !strings.HasPrefix(string(content), "etcd") {
		err = errRotten
	}
	if _, statErr := os.Stat(scratch); statErr != nil {
		return Proof{}, statErr
	}
	return Proof{Revision: want.Revision, Size: int64(len(content))}, errors.Join(err, p.err)
}

const uid = "11111111-2222-3333-4444-555555555555"

// newStore has a state directory and a bucket, or what it is given as second place.
func newStore(t *testing.T, second ...Place) (*Store, string) {
	t.Helper()
	root := t.TempDir()
	base := filepath.Join(root, uid)
	if second == nil {
		_, target := startBucket(t)
		second = []Place{NewS3(target)}
	}
	return &Store{Cluster: uid, Work: root, Places: append([]Place{NewStateDirectory(base)}, second...)}, base
}

func id(n int) string { return fmt.Sprintf("20260102-0304%02d-abcdef", n) }

func at(n int) time.Time { return time.Date(2026, 1, 2, 3, 4, n, 0, time.UTC) }

// seals makes the store encrypt and gives who opens it.
func (s *Store) seals(t *testing.T) Identities {
	t.Helper()
	file, name := newKey(t)
	var err error
	s.Recipients, err = ParseRecipients([]string{name}, "")
	check(t, err)
	return load(t, file)
}

// fetch gets a snapshot's plain content.
func (s *Store) fetch(t *testing.T, name string, ids Identities) (Fetched, string, error) {
	t.Helper()
	w, err := NewWork(s.Work)
	check(t, err)
	defer func() { check(t, w.Close()) }()
	var f Fetched
	if filepath.Base(name) == name {
		f, err = s.Fetch(t.Context(), name, ids, w)
	} else {
		f, err = s.FetchFile(t.Context(), name, ids, w)
	}
	if err != nil {
		return f, "", err
	}
	content, err := os.ReadFile(f.Path)
	check(t, err)
	_, err = Verify(t.Context(), f, prover{}, nil, w)
	return f, string(content), err
}

// TestStoreRoundTrip: saved into both places, plain or encrypted, listed, fetched from
// either, and nothing is left in the working directory.
func TestStoreRoundTrip(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprint("encrypted ", encrypted), func(t *testing.T) {
			t.Parallel()
			s, base := newStore(t)
			var ids Identities
			suffix := ""
			if encrypted {
				ids, suffix = s.seals(t), ".age"
			}
			run := id(1)
			check(t, os.MkdirAll(filepath.Join(base, run), 0o700))
			m, err := s.Save(t.Context(), source{content: "etcd of a run", revision: 7}, nil, Order{ID: run, Hop: "1.34", At: at(1)})
			check(t, err)
			if m.Name != run+"-etcd-1.34.db"+suffix || m.Run != run || m.Hop != "1.34" || m.Cluster != uid || m.Encrypted() != encrypted || m.Rehearsed.With != Embedded {
				t.Errorf("described as %+v", m)
			}
			info, err := os.Stat(filepath.Join(base, run, "etcd-1.34.db"+suffix))
			check(t, err)
			if info.Mode().Perm() != 0o600 || info.Size() != m.StoredSize {
				t.Errorf("it has mode %o and %d bytes", info.Mode().Perm(), info.Size())
			}
			hand, err := s.Save(t.Context(), source{content: "etcd by hand", revision: 9}, nil, Order{ID: id(2), At: at(2)})
			check(t, err)
			l := s.List(t.Context())
			if len(l.Silent) != 0 || len(l.Snapshots) != 2 || l.Snapshots[0].Meta.Name != hand.Name || len(l.Snapshots[1].Copies) != 2 || l.Snapshots[1].Copies[1].Problem != "" {
				t.Errorf("listed: %+v", l)
			}
			for _, name := range []string{m.Name, strings.TrimSuffix(m.Name, ".age")} {
				f, content, err := s.fetch(t, name, ids)
				check(t, err)
				if content != "etcd of a run" || len(f.Copies) != 2 || !f.Described {
					t.Errorf("fetched %q: %+v", content, f)
				}
			}
			check(t, s.Places[0].Remove(t.Context(), m.Name))
			if _, content, err := s.fetch(t, m.Name, ids); err != nil || content != "etcd of a run" {
				t.Errorf("from the second place: %q, %v", content, err)
			}
			if _, _, err := s.fetch(t, m.Name, nil); encrypted != (err != nil) {
				t.Errorf("without an identity: %v", err)
			}
			wantNoWork(t, s)
		})
	}
}

func wantNoWork(t *testing.T, s *Store) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(s.Work, workPrefix+"*"))
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left in the working directory: %v", left)
	}
}

// faulty is a place that fails, or hangs, at one thing.
type faulty struct {
	Place
	put, list, open func() error
}

func (f faulty) String() string { return "faulty place" }

func (f faulty) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	if f.put != nil {
		if err := f.put(); err != nil {
			return err
		}
	}
	return f.Place.Put(ctx, name, content, size)
}

func (f faulty) List(ctx context.Context) ([]File, error) {
	if f.list != nil {
		if err := f.list(); err != nil {
			return nil, err
		}
	}
	return f.Place.List(ctx)
}

func (f faulty) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if f.open != nil {
		if err := f.open(); err != nil {
			return nil, err
		}
	}
	return f.Place.Open(ctx, name)
}

// hang waits until the test is over, whatever is cancelled: a file server that is gone.
func hang(t *testing.T) func() error {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return func() error { <-over; return errors.New("too late") }
}

// A place that hangs or fails hides nothing of the others, and is named.
func TestListWithAPlaceThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func() error{"hangs": hang(t), "fails": func() error { return errors.New("connection refused") }} {
		s, _ := newStore(t, faulty{Place: NewDirectory(t.TempDir()), list: trouble})
		s.Patience = 2 * time.Second // the own directory is a slow disk, too
		m, err := s.Save(t.Context(), source{content: "etcd", revision: 1}, nil, Order{ID: id(1), At: at(1)})
		check(t, err)
		l := s.List(t.Context())
		if len(l.Snapshots) != 1 || l.Snapshots[0].Meta.Name != m.Name || len(l.Silent) != 1 || l.Silent[0].Place != "faulty place" {
			t.Errorf("%s: %+v", name, l)
		}
		if _, content, err := s.fetch(t, m.Name, nil); err != nil || content != "etcd" {
			t.Errorf("%s: fetched %q, %v", name, content, err)
		}
		if _, _, err := s.fetch(t, "20260102-030405-ffffff-etcd-1.db", nil); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "faulty place") {
			t.Errorf("%s: who may have it is not named: %v", name, err)
		}
	}
}

// A second copy that cannot be made is an error that names the place; the first stays,
// and a later try under the same name ends well.
func TestSaveWithoutTheSecondPlace(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func() error{"hangs": hang(t), "is full": func() error { return syscall.ENOSPC }} {
		broken := true
		second := faulty{Place: NewDirectory(t.TempDir()), put: func() error {
			if broken {
				return trouble()
			}
			return nil
		}}
		s, _ := newStore(t, second)
		s.Patience = 2 * time.Second // the own directory is a slow disk, too
		var where *PlaceError
		if _, err := s.Save(t.Context(), source{content: "etcd", revision: 1}, nil, Order{ID: id(1), At: at(1)}); !errors.As(err, &where) || where.Place != "faulty place" {
			t.Errorf("%s: %v", name, err)
		}
		wantNoWork(t, s)
		if l := s.List(t.Context()); len(l.Snapshots) != 1 || len(l.Snapshots[0].Copies) != 1 {
			t.Errorf("%s: %+v", name, l)
		}
		if name == "hangs" {
			continue // what hangs still has the place
		}
		broken = false
		_, err := s.Save(t.Context(), source{content: "etcd anew", revision: 1}, nil, Order{ID: id(1), At: at(1)})
		check(t, err)
		if _, content, err := s.fetch(t, NameByHand(id(1), 1), nil); err != nil || content != "etcd anew" {
			t.Errorf("%s: fetched %q, %v", name, content, err)
		}
	}
}

// What fails before anything is stored leaves nothing behind, least of all plain files.
func TestSaveLeavesNothingPlain(t *testing.T) {
	t.Parallel()
	s, base := newStore(t)
	s.seals(t)
	refused := errors.New("members differ")
	if _, err := s.Save(t.Context(), source{err: refused}, nil, Order{ID: id(1), At: at(1)}); !errors.Is(err, refused) {
		t.Errorf("error: %v", err)
	}
	bad := errors.New("it did not start")
	if _, err := s.Save(t.Context(), source{content: "etcd"}, rehearser{err: bad}, Order{ID: id(1), At: at(1)}); !errors.Is(err, bad) {
		t.Errorf("error: %v", err)
	}
	s.Recipients.keys[0] = brokenRecipient{}
	if _, err := s.Save(t.Context(), source{content: "etcd"}, nil, Order{ID: id(1), At: at(1)}); err == nil {
		t.Error("it was saved unsealed")
	}
	wantNoWork(t, s)
	if files, _ := filepath.Glob(filepath.Join(base, "*", "*")); len(files) > 0 {
		t.Errorf("stored: %v", files)
	}
	// A plain file that an earlier try stored, before recipients were named, goes.
	s, _ = newStore(t)
	for range 2 {
		_, err := s.Save(t.Context(), source{content: "etcd", revision: 3}, nil, Order{ID: id(1), At: at(1)})
		check(t, err)
		s.seals(t)
	}
	if l := s.List(t.Context()); len(l.Snapshots) != 1 || !l.Snapshots[0].Meta.Encrypted() || len(l.Snapshots[0].Copies) != 2 {
		t.Errorf("listed: %+v", l)
	}
}

// rehearser answers as it is told.
type rehearser struct{ err error }

func (r rehearser) Rehearse(context.Context, string, Meta) (Rehearsal, error) {
	return Rehearsal{With: "image etcd:3.5.24 on cp-2", Version: "3.5.24"}, r.err
}

// brokenRecipient cannot be encrypted for.
type brokenRecipient struct{}

func (brokenRecipient) Wrap([]byte) ([]*age.Stanza, error) {
	return nil, errors.New("no card in the reader")
}

func TestRehearse(t *testing.T) {
	t.Parallel()
	want := Meta{Revision: 5, Keys: 2}
	got, err := Rehearse(t.Context(), rehearser{}, "", want)
	if err != nil || got.With != "image etcd:3.5.24 on cp-2" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = Rehearse(t.Context(), rehearser{fmt.Errorf("cp-2: no crictl: %w", ErrCannotRehearse)}, "", want)
	if err != nil || got.With != Embedded || !strings.Contains(got.Instead, "no crictl") || got.Revision != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = Rehearse(t.Context(), rehearser{errRotten}, "", want); !errors.Is(err, errRotten) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Rehearse(ctx, rehearser{ErrCannotRehearse}, "", want); err == nil {
		t.Error("a rehearsal that was cancelled counts")
	}
}

// TestDamagedCopies: a damaged copy is named, the other is used; when both are, the
// error says what is wrong.
func TestDamagedCopies(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		b, target := startBucket(t)
		s, base := newStore(t, NewS3(target))
		var ids Identities
		if encrypted {
			ids = s.seals(t)
		}
		m, err := s.Save(t.Context(), source{content: "etcd " + strings.Repeat("x", 1000), revision: 3}, nil, Order{ID: id(1), At: at(1)})
		check(t, err)
		here := filepath.Join(base, "snapshots", m.Name)
		good, err := os.ReadFile(here)
		check(t, err)
		check(t, os.WriteFile(here, good[:len(good)-10], 0o600))
		if l := s.List(t.Context()); !strings.Contains(l.Snapshots[0].Copies[0].Problem, "bytes of") {
			t.Errorf("listed: %+v", l.Snapshots[0])
		}
		f, content, err := s.fetch(t, m.Name, ids)
		if err != nil || !strings.HasPrefix(content, "etcd x") || !strings.Contains(f.Copies[0].Problem, "cut short") || f.Copies[1].Problem != "" {
			t.Errorf("fetched %q, %+v, %v", content, f.Copies, err)
		}
		key := target.Prefix + "/" + m.Name
		b.objects[key] = bytes.Clone(good)
		b.objects[key][len(good)-1] ^= 1
		var bad *BadError
		if _, _, err := s.fetch(t, m.Name, ids); !errors.As(err, &bad) || !strings.Contains(err.Error(), "cut short") || !strings.Contains(err.Error(), "its SHA-256 is") {
			t.Errorf("both damaged: %v", err)
		}
		wantNoWork(t, s)
	}
}

// TestFiles: a file that is named by its path is used where it is.
func TestFiles(t *testing.T) {
	t.Parallel()
	s, base := newStore(t)
	plain, err := s.Save(t.Context(), source{content: "etcd", revision: 3}, nil, Order{ID: id(1), At: at(1)})
	check(t, err)
	ids := s.seals(t)
	sealed, err := s.Save(t.Context(), source{content: "etcd", revision: 4}, nil, Order{ID: id(2), At: at(2)})
	check(t, err)
	file := func(m Meta) string { return filepath.Join(base, "snapshots", m.Name) }
	f, _, err := s.fetch(t, file(plain), nil)
	if err != nil || f.Path != file(plain) || !f.Described || f.Meta.Revision != 3 {
		t.Errorf("plain: %+v, %v", f, err)
	}
	renamed := filepath.Join(t.TempDir(), "my.snapshot") // told by its content
	check(t, os.Rename(file(sealed), renamed))
	f, content, err := s.fetch(t, renamed, ids)
	if err != nil || f.Described || content != "etcd" {
		t.Errorf("renamed: %q, %+v, %v", content, f, err)
	}
	var settings *SettingsError
	var bad *BadError
	for _, name := range []string{renamed + ".gone", filepath.Dir(renamed) + "/."} {
		if _, _, err := s.fetch(t, name, ids); !errors.As(err, &settings) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := filepath.Join(t.TempDir(), "x.age")
	check(t, os.WriteFile(none, []byte("etcd"), 0o600))
	if _, _, err := s.fetch(t, none, ids); !errors.As(err, &bad) {
		t.Errorf("sealed by name only: %v", err)
	}
	check(t, os.WriteFile(file(plain)+DescriptionSuffix, []byte("{"), 0o600))
	if _, _, err := s.fetch(t, file(plain), ids); !errors.As(err, &settings) {
		t.Errorf("a description that is none: %v", err)
	}
	check(t, os.WriteFile(file(plain)+DescriptionSuffix, []byte(`{"format": 99}`), 0o600))
	if _, _, err := s.fetch(t, file(plain), ids); !errors.As(err, &settings) {
		t.Errorf("a description of another format: %v", err)
	}
}

// That this machine cannot look is never said of the snapshot.
func TestErrorsOfThisMachine(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m, err := s.Save(t.Context(), source{content: "etcd", revision: 3}, nil, Order{ID: id(1), At: at(1)})
	check(t, err)
	w, err := NewWork(s.Work)
	check(t, err)
	defer w.Close()
	f, err := s.Fetch(t.Context(), m.Name, nil, w)
	check(t, err)
	var here *MachineError
	for _, no := range []error{syscall.ENOSPC, fs.ErrPermission, &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}} {
		if _, err := Verify(t.Context(), f, prover{fmt.Errorf("restore: %w", no)}, nil, w); !errors.As(err, &here) {
			t.Errorf("%v: %v", no, err)
		}
	}
	if _, err := Verify(t.Context(), f, prover{errRotten}, nil, w); errors.As(err, &here) || !errors.Is(err, errRotten) {
		t.Errorf("a rotten one: %v", err)
	}
	if err := w.Room(1 << 60); !errors.As(err, &here) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("no room: %v", err)
	}
	occupied := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(occupied, nil, 0o600))
	if _, err := NewWork(filepath.Join(occupied, "below")); !errors.As(err, &here) {
		t.Errorf("no directory: %v", err)
	}
}

// What a killed kup left is removed; what another one works in stays.
func TestWorkIsTidied(t *testing.T) {
	t.Parallel()
	below := t.TempDir()
	left := filepath.Join(below, workPrefix+"left")
	check(t, os.MkdirAll(left, 0o700))
	check(t, os.WriteFile(filepath.Join(left, "etcd.db"), []byte("plain"), 0o600))
	one, err := NewWork(below)
	check(t, err)
	two, err := NewWork(below)
	check(t, err)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	if info, err := os.Stat(one.Dir()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("one that is in use: %v", err)
	}
	check(t, errors.Join(one.Close(), two.Close()))
	if entries, _ := os.ReadDir(below); len(entries) > 0 {
		t.Errorf("left: %v", entries)
	}
}

// TestPrune: in each place the newest are kept, of runs and of those by hand on their
// own, and nothing of other clusters or other programs goes.
func TestPrune(t *testing.T) {
	t.Parallel()
	s, base := newStore(t)
	other, _ := newStore(t, s.Places[1])
	other.Cluster = "another"
	for i := range 4 {
		check(t, os.MkdirAll(filepath.Join(base, id(i)), 0o700))
		_, err := s.Save(t.Context(), source{content: "etcd", revision: 1}, nil, Order{ID: id(i), Hop: "1.34", At: at(i)})
		check(t, err)
		for _, store := range []*Store{s, other} {
			_, err = store.Save(t.Context(), source{content: "etcd", revision: 1}, nil, Order{ID: id(10 + i), At: at(10 + i)})
			check(t, err)
			if store == s {
				continue
			}
			// Saved under the same name: the shared bucket has the other's now. Its own
			// goes under another.
			_, err = s.Save(t.Context(), source{content: "etcd", revision: 2}, nil, Order{ID: id(20 + i), At: at(20 + i)})
			check(t, err)
		}
	}
	old := "20250101-000000-aaaaaa" // an older kup's, without a description
	unknown := "20250101-000000-bbbbbb"
	for _, name := range []string{old, unknown} {
		check(t, s.Places[1].Put(t.Context(), NameOfRun(name, "1.33"), strings.NewReader("x"), 1))
	}
	check(t, s.Prune(t.Context(), OfRuns, 2, id(0), func(run string) bool { return run == old }))
	names := func(store *Store, place int) []string {
		l := (&Store{Cluster: store.Cluster, Places: store.Places[place : place+1]}).List(t.Context())
		var out []string
		for _, s := range l.Snapshots {
			out = append(out, runOf(s.Meta.Name))
		}
		slices.Sort(out)
		return out
	}
	hand := []string{id(20), id(21), id(22), id(23)}
	if got := names(s, 0); !slices.Equal(got, append([]string{id(0), id(3), id(10), id(11), id(12), id(13)}, hand...)) {
		t.Errorf("here: %v", got)
	}
	if got := names(s, 1); !slices.Contains(got, unknown) || slices.Contains(got, old) || slices.Contains(got, id(1)) || !slices.Contains(got, id(0)) {
		t.Errorf("there: %v", got)
	}
	check(t, s.Prune(t.Context(), ByHand, 1, "", nil))
	if got := names(s, 0); !slices.Equal(got, []string{id(0), id(3), id(23)}) {
		t.Errorf("here: %v", got)
	}
	if got := names(other, 1); len(slices.DeleteFunc(got, func(n string) bool { return n == unknown })) != 4 {
		t.Errorf("the other cluster's: %v", got)
	}
}

// TestPruneKeepsWholeOnes: a copy that was cut short is none of those that are kept.
func TestPruneKeepsWholeOnes(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for i := range 3 {
		_, err := s.Save(t.Context(), source{content: "etcd", revision: 1}, nil, Order{ID: id(i), At: at(i)})
		check(t, err)
	}
	d := s.Places[0].(*Directory)
	check(t, os.Truncate(d.Path(NameByHand(id(2), 1)), 1))
	check(t, s.Prune(t.Context(), ByHand, 1, "", nil))
	var left []string
	for _, l := range (&Store{Cluster: s.Cluster, Places: s.Places[:1]}).List(t.Context()).Snapshots {
		left = append(left, runOf(l.Meta.Name))
	}
	if !slices.Equal(left, []string{id(2), id(1)}) {
		t.Errorf("left: %v", left)
	}
}
