package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Fetched is a snapshot on this machine, plain.
type Fetched struct {
	Path string
	Meta Meta
	// Described: the description was found; otherwise only the name is known.
	Described bool
	Copies    []Copy // none: a file that was named by its path
}

// Fetch gets the snapshot of a name, which may lack its ending .age, and reads every
// copy of it: the first one that is what was stored is used where it is, or brought
// into the working directory, and decrypted there. When none is, the error says what is
// wrong with the first.
func (s *Store) Fetch(ctx context.Context, name string, ids Identities, work *Work) (Fetched, error) {
	listing := s.List(ctx)
	at := slices.IndexFunc(listing.Snapshots, func(l Listed) bool { return l.Meta.Name == name || l.Meta.Name == name+sealedSuffix })
	if at < 0 {
		errs := []error{fmt.Errorf("%s: %w", name, ErrUnknown)}
		for _, silent := range listing.Silent {
			errs = append(errs, silent)
		}
		return Fetched{}, &SettingsError{Err: errors.Join(errs...), Hint: "kup snapshot list names those that are known; a file is named by its path"}
	}
	l := listing.Snapshots[at]
	out := Fetched{Meta: l.Meta, Described: l.Described}
	var first error
	for _, p := range s.Places {
		if !slices.ContainsFunc(l.Copies, func(c Copy) bool { return c.Place == p.String() }) {
			continue
		}
		path, err := s.read(ctx, p, l, work, out.Path == "")
		if ctx.Err() != nil {
			return Fetched{}, ctx.Err()
		}
		if isMachine(err) {
			return Fetched{}, err
		}
		c := Copy{Place: p.String()}
		if err != nil {
			c.Problem = err.Error()
			first = errors.Join(first, err)
		}
		if out.Path == "" {
			out.Path = path
		}
		out.Copies = append(out.Copies, c)
	}
	if out.Path == "" {
		return out, first
	}
	return s.opened(ctx, out, ids, work)
}

// FetchFile is Fetch for a file of this machine; its description is looked for
// beside it. It is used where it is, unless it is encrypted.
func (s *Store) FetchFile(ctx context.Context, path string, ids Identities, work *Work) (Fetched, error) {
	out := Fetched{Path: path, Meta: Meta{Name: filepath.Base(path)}}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return out, &SettingsError{Err: err, Hint: "name a file, or a snapshot that kup snapshot list names"}
	case !info.Mode().IsRegular():
		return out, &SettingsError{Err: fmt.Errorf("%s is not a file", path), Hint: "name a file, or a snapshot that kup snapshot list names"}
	}
	text, err := os.ReadFile(path + DescriptionSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return out, OfMachine("read a description", err)
	default:
		if err := json.Unmarshal(text, &out.Meta); err != nil || out.Meta.Format > MetaFormat {
			return out, &SettingsError{Err: fmt.Errorf("%s is not a description that this kup reads", path+DescriptionSuffix), Hint: "move it away to verify the file without it"}
		}
		out.Described = true
	}
	out.Meta.Name = filepath.Base(path) // it may have been renamed since
	return s.opened(ctx, out, ids, work)
}

func isMachine(err error) bool {
	var m *MachineError
	return errors.As(err, &m)
}

// read reads a copy to its end. The path is that of a whole one, when it is wanted.
func (s *Store) read(ctx context.Context, p Place, l Listed, work *Work, wanted bool) (string, error) {
	name := l.Meta.Name
	var got stored
	var err error
	d, local := p.(*Directory)
	if local || !wanted {
		sum := sha256.New()
		got.size, err = s.copyOut(ctx, p, name, sum)
		got.sha256 = hex.EncodeToString(sum.Sum(nil))
		if local {
			got.path = d.Path(name)
		}
	} else if err = work.Room(l.Meta.StoredSize); err == nil {
		got, err = write(work.Path(name), func(w io.Writer) error {
			_, err := s.copyOut(ctx, p, name, w)
			return err
		})
	}
	if isMachine(err) {
		return "", err
	}
	if err != nil {
		return "", &PlaceError{Place: p.String(), Op: "read " + name, Err: err}
	}
	if l.Described {
		if err := l.Meta.is(got); err != nil {
			return "", errors.Join(&BadError{Name: name + " in " + p.String(), Err: err}, discardUnless(local, got.path))
		}
	}
	return got.path, nil
}

// discardUnless removes a copy that was brought here.
func discardUnless(local bool, path string) error {
	if local || path == "" {
		return nil
	}
	return os.Remove(path)
}

// is tells whether a stored file is the one that was described.
func (m Meta) is(s stored) error {
	switch {
	case s.size < m.StoredSize:
		return fmt.Errorf("%w: it was cut short, %d bytes of %d are there", ErrReplaced, s.size, m.StoredSize)
	case s.sha256 != m.StoredSHA256:
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrReplaced, s.sha256, m.StoredSHA256)
	}
	return nil
}

// opened decrypts what was fetched, if it is encrypted: told by its content, since
// files are renamed.
func (s *Store) opened(ctx context.Context, f Fetched, ids Identities, work *Work) (Fetched, error) {
	in, err := os.Open(f.Path)
	if err != nil {
		return f, OfMachine("read "+f.Path, err)
	}
	defer func() { _ = in.Close() }() // only read
	head := make([]byte, len(sealedBeginning))
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return f, err
	}
	if string(head[:n]) != sealedBeginning {
		if Sealed(f.Path) {
			return f, &BadError{Name: f.Meta.Name, Err: fmt.Errorf("%w: it does not begin as an age file does", ErrSealed)}
		}
		return f, nil // a plain one is proven by whoever proves snapshots
	}
	info, err := in.Stat()
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = work.Room(info.Size())
	}
	if err != nil {
		return f, err
	}
	plain, err := ids.open(ctx, in, work.Path("plain.db"), f.Meta)
	f.Path = plain.path
	return f, err
}
