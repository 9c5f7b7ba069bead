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
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
)

// newKey makes an identity's file and its recipient.
func newKey(t *testing.T) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	check(t, err)
	file = filepath.Join(t.TempDir(), "identity.txt")
	check(t, os.WriteFile(file, []byte("# created today\n"+id.String()+"\n"), 0o600))
	return file, id.Recipient().String()
}

func load(t *testing.T, file string) Identities {
	t.Helper()
	ids, err := LoadIdentities(file)
	check(t, err)
	return ids
}

// TestSealRoundTrip: each recipient opens what was sealed, with kup and with age alone,
// and nobody else does.
func TestSealRoundTrip(t *testing.T) {
	t.Parallel()
	one, oneName := newKey(t)
	two, twoName := newKey(t)
	other, _ := newKey(t)
	list := filepath.Join(t.TempDir(), "recipients.txt")
	check(t, os.WriteFile(list, []byte("# the safe\n\n"+twoName+"\n"+oneName+"\n"), 0o600))
	r, err := ParseRecipients([]string{oneName}, list)
	check(t, err)
	if got := r.Names(); len(got) != 2 {
		t.Errorf("recipients: %v", got)
	}
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	content := bytes.Repeat([]byte("etcd"), 300_000)
	check(t, os.WriteFile(plain, content, 0o600))
	s, err := r.seal(t.Context(), plain, filepath.Join(dir, "x.age"))
	check(t, err)
	sealedContent, err := os.ReadFile(s.path)
	check(t, err)
	if sum := sha256.Sum256(sealedContent); s.sha256 != hex.EncodeToString(sum[:]) || s.size != int64(len(sealedContent)) {
		t.Errorf("it was described as %+v", s)
	}
	if bytes.Contains(sealedContent, []byte("etcdetcd")) {
		t.Error("it is readable")
	}
	m := Meta{Name: "x.age", EncryptedFor: r.Names()}
	for i, file := range []string{one, two} {
		got, err := load(t, file).open(t.Context(), bytes.NewReader(sealedContent), filepath.Join(dir, fmt.Sprint("again", i)), m)
		check(t, err)
		back, err := os.ReadFile(got.path)
		check(t, err)
		if !bytes.Equal(back, content) {
			t.Error("something else came back")
		}
		by, err := age.Decrypt(bytes.NewReader(sealedContent), load(t, file)...) // as the age tool does
		check(t, err)
		if back, err := io.ReadAll(by); err != nil || !bytes.Equal(back, content) {
			t.Errorf("by age alone: %v", err)
		}
	}
	var settings *SettingsError
	for name, ids := range map[string]Identities{"another's": load(t, other), "none": nil} {
		to := filepath.Join(dir, "never")
		if _, err := ids.open(t.Context(), bytes.NewReader(sealedContent), to, m); !errors.As(err, &settings) || !strings.Contains(err.Error(), oneName) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was left: %v", name, err)
		}
	}
}

// What was sealed and then cut or altered is a bad snapshot, and leaves nothing plain.
func TestSealedAndDamaged(t *testing.T) {
	t.Parallel()
	file, name := newKey(t)
	r, err := ParseRecipients([]string{name}, "")
	check(t, err)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	check(t, os.WriteFile(plain, bytes.Repeat([]byte("etcd"), 100_000), 0o600))
	s, err := r.seal(t.Context(), plain, filepath.Join(dir, "x.age"))
	check(t, err)
	good, err := os.ReadFile(s.path)
	check(t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{
		"cut by a byte": good[:len(good)-1], "half": good[:len(good)/2], "only its head": good[:300], "a bit": flipped, "more": append(bytes.Clone(good), 'x'),
	} {
		var bad *BadError
		to := filepath.Join(dir, "never")
		if _, err := load(t, file).open(t.Context(), bytes.NewReader(content), to, Meta{Name: "x.age"}); !errors.As(err, &bad) || !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was left: %v", name, err)
		}
	}
}

// Where a working copy cannot be written is this machine's matter, and none is left
// half-written.
func TestSealWithoutRoom(t *testing.T) {
	t.Parallel()
	file, name := newKey(t)
	r, err := ParseRecipients([]string{name}, "")
	check(t, err)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	check(t, os.WriteFile(plain, bytes.Repeat([]byte("etcd"), 100_000), 0o600))
	s, err := r.seal(t.Context(), plain, filepath.Join(dir, "x.age"))
	check(t, err)
	var machine *MachineError
	in, err := os.Open(s.path)
	check(t, err)
	defer in.Close()
	if _, err := load(t, file).open(t.Context(), in, filepath.Join(dir, "no", "directory"), Meta{}); !errors.As(err, &machine) {
		t.Errorf("open: %v", err)
	}
	if _, err := r.seal(t.Context(), plain, filepath.Join(dir, "no", "directory")); !errors.As(err, &machine) {
		t.Errorf("seal: %v", err)
	}
	// The error of writing is kept apart from that of reading, which a copy joins.
	full := &counting{w: fullDisk{}}
	if _, err := io.Copy(full, bytes.NewReader([]byte("x"))); !errors.Is(err, syscall.ENOSPC) || !errors.Is(full.err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v, %v", err, full.err)
	}
	_, err = write(filepath.Join(dir, "none"), func(w io.Writer) error {
		w.(*counting).err = syscall.ENOSPC
		return errors.New("short write")
	})
	if !errors.As(err, &machine) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestSealIsCancelled(t *testing.T) {
	t.Parallel()
	_, name := newKey(t)
	r, err := ParseRecipients([]string{name}, "")
	check(t, err)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	check(t, os.WriteFile(plain, []byte("etcd"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.seal(ctx, plain, filepath.Join(dir, "x.age")); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}

// What the operator gives is refused with a hint, and no key is ever repeated.
func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file, name := newKey(t)
	secret, err := os.ReadFile(file)
	check(t, err)
	secretKey := strings.Split(string(secret), "\n")[1]
	write := func(text string, mode fs.FileMode) string {
		path := filepath.Join(t.TempDir(), "f")
		check(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for what, try := range map[string]func() error{
		"mistyped":          func() error { _, err := ParseRecipients([]string{name[:len(name)-1] + "q"}, ""); return err },
		"a secret key":      func() error { _, err := ParseRecipients([]string{secretKey}, ""); return err },
		"two in one":        func() error { _, err := ParseRecipients([]string{name + "\n" + name}, ""); return err },
		"no file":           func() error { _, err := ParseRecipients(nil, "/nonexistent/recipients"); return err },
		"an empty file":     func() error { _, err := ParseRecipients(nil, write("# nobody\n", 0o600)); return err },
		"a file of secrets": func() error { _, err := ParseRecipients(nil, write(secretKey, 0o600)); return err },
		"no identity":       func() error { _, err := LoadIdentities("/nonexistent/identity"); return err },
		"others can read":   func() error { _, err := LoadIdentities(write(secretKey, 0o644)); return err },
		"no age identity":   func() error { _, err := LoadIdentities(write("AGE-SECRET-KEY-1"+secretKey[20:], 0o600)); return err },
	} {
		var settings *SettingsError
		err := try()
		if !errors.As(err, &settings) || settings.Hint == "" {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if strings.Contains(err.Error()+settings.Hint, secretKey[20:40]) {
			t.Errorf("%s: the key is repeated: %v", what, err)
		}
	}
	if r, err := ParseRecipients(nil, ""); err != nil || !r.None() {
		t.Errorf("none: %v", err)
	}
	if ids, err := LoadIdentities(""); err != nil || ids != nil {
		t.Errorf("none: %v", err)
	}
}
