package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
)

// Recipients are for whom snapshots are encrypted. Without any they are stored plain.
type Recipients struct {
	names []string
	keys  []age.Recipient
}

// ParseRecipients reads age recipients, those listed and those in a file, one a line,
// where # begins a comment. An empty file name names none.
func ParseRecipients(list []string, file string) (Recipients, error) {
	var r Recipients
	add := func(name, where string) error {
		keys, err := age.ParseRecipients(strings.NewReader(name))
		if err != nil || len(keys) != 1 {
			// The text is not repeated: somebody may have put a secret key there.
			return &SettingsError{Err: fmt.Errorf("%s is not an age recipient", where), Hint: "write the public key that age-keygen prints: age1…"}
		}
		if !slices.Contains(r.names, name) {
			r.names, r.keys = append(r.names, name), append(r.keys, keys...)
		}
		return nil
	}
	for i, name := range list {
		if err := add(strings.TrimSpace(name), fmt.Sprintf("snapshots.recipients[%d]", i)); err != nil {
			return Recipients{}, err
		}
	}
	if file == "" {
		return r, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return Recipients{}, &SettingsError{Err: fmt.Errorf("snapshots.recipientsFile: %w", err), Hint: "write the file, one age1… a line, or remove the field"}
	}
	before := len(r.names)
	for i, line := range strings.Split(string(content), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := add(line, fmt.Sprintf("%s, line %d,", file, i+1)); err != nil {
			return Recipients{}, err
		}
	}
	if len(r.names) == before && len(list) == 0 {
		return Recipients{}, &SettingsError{Err: fmt.Errorf("snapshots.recipientsFile: %s names no recipient", file), Hint: "write one age1… a line, or remove the field"}
	}
	return r, nil
}

// Names gives the recipients, sorted.
func (r Recipients) Names() []string { return slices.Sorted(slices.Values(r.names)) }

// None tells whether there are none: snapshots are stored plain.
func (r Recipients) None() bool { return len(r.keys) == 0 }

// Identities open what was encrypted for their recipients.
type Identities []age.Identity

// LoadIdentities reads a file as age-keygen writes it. Like a private key of SSH it
// must not be readable by others. An empty name gives none.
func LoadIdentities(file string) (Identities, error) {
	if file == "" {
		return nil, nil
	}
	fail := func(err error, hint string) (Identities, error) {
		return nil, &SettingsError{Err: fmt.Errorf("--identity: %w", err), Hint: hint}
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return fail(err, "name the file that age-keygen wrote")
	case info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0:
		return fail(fmt.Errorf("%s can be read by others (mode %04o)", file, info.Mode().Perm()), "chmod 600 "+file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fail(err, "name the file that age-keygen wrote")
	}
	ids, err := age.ParseIdentities(bytes.NewReader(content))
	if err != nil { // its text may repeat what is in the file
		return fail(fmt.Errorf("%s holds no age identity", file), "name the file that age-keygen wrote; one with a passphrase is opened first: age -d")
	}
	return ids, nil
}

// sealedBeginning is how an age file begins.
const sealedBeginning = "age-encryption.org/"

// stored is a file as it will be stored.
type stored struct {
	path   string
	sha256 string
	size   int64
}

// seal encrypts a file into another, which is whole and on disk, or not there.
func (r Recipients) seal(ctx context.Context, plain, sealed string) (s stored, err error) {
	in, err := os.Open(plain)
	if err != nil {
		return s, err
	}
	defer func() { _ = in.Close() }() // only read
	return write(sealed, func(out io.Writer) error {
		w, err := age.Encrypt(out, r.keys...)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, contextReader{ctx, in})
		return errors.Join(err, w.Close())
	})
}

// open decrypts a stored file into another, which is whole, or not there.
func (ids Identities) open(ctx context.Context, in io.Reader, plain string, m Meta) (stored, error) {
	if len(ids) == 0 {
		return stored{}, &SettingsError{Err: fmt.Errorf("%s is encrypted%s", m.Name, forWhom(m)), Hint: "name the file with the age identity that opens it: --identity FILE"}
	}
	out, err := age.Decrypt(in, ids...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return stored{}, &SettingsError{Err: fmt.Errorf("%s is encrypted%s, and the identity given opens it not", m.Name, forWhom(m)), Hint: "name another file: --identity FILE"}
	case err != nil:
		return stored{}, &BadError{Name: m.Name, Err: fmt.Errorf("%w: %w", ErrSealed, err)}
	}
	sealed := &reading{r: contextReader{ctx, out}}
	s, err := write(plain, func(w io.Writer) error {
		_, err := io.Copy(w, sealed)
		return err
	})
	if sealed.err != nil && ctx.Err() == nil {
		return stored{}, &BadError{Name: m.Name, Err: fmt.Errorf("%w: %w", ErrSealed, sealed.err)}
	}
	return s, err
}

func forWhom(m Meta) string {
	if !m.Encrypted() {
		return ""
	}
	return " for " + strings.Join(m.EncryptedFor, ", ")
}

// reading tells errors of what is read from those of where it is written.
type reading struct {
	r   io.Reader
	err error // but the end
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.err = err
	}
	return n, err
}

// write makes a file of mode 0600 that is not there yet, counts and digests what is
// written to it, and syncs it. One that failed is removed.
func write(path string, fill func(io.Writer) error) (s stored, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s, &MachineError{Op: "write a working copy", Err: err}
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path) // the error is told already
		}
	}()
	digest := sha256.New()
	count := &counting{w: io.MultiWriter(f, digest)}
	err = fill(count)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		if count.err != nil {
			err = &MachineError{Op: "write a working copy", Err: count.err}
		}
		return s, err
	}
	return stored{path: path, sha256: hex.EncodeToString(digest.Sum(nil)), size: count.n}, nil
}

// counting counts what is written and keeps the error of writing.
type counting struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.n += int64(n); err != nil {
		c.err = err
	}
	return n, err
}
