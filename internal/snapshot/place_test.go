package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const someName = "20260102-030405-abcdef-etcd-100.db"

// TestPlaces holds every kind of place to what [Place] says.
func TestPlaces(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T) Place{
		"directory": func(t *testing.T) Place { return NewDirectory(filepath.Join(t.TempDir(), "not", "there", "yet")) },
		"state":     func(t *testing.T) Place { return NewStateDirectory(filepath.Join(t.TempDir(), "uid")) },
		"s3": func(t *testing.T) Place {
			_, target := startBucket(t)
			return NewS3(target)
		},
	}
	for kind, make := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			t.Run("round trip", func(t *testing.T) { testRoundTrip(t, make(t)) })
			t.Run("never used", func(t *testing.T) { testUnused(t, make(t)) })
			t.Run("a copy that breaks off", func(t *testing.T) { testBroken(t, make(t)) })
			t.Run("names", func(t *testing.T) { testNames(t, make(t)) })
		})
	}
}

func testRoundTrip(t *testing.T, p Place) {
	large := bytes.Repeat([]byte("0123456789abcdef"), (partBytes+partBytes/2)/16) // two parts
	for _, content := range [][]byte{{}, []byte("small"), large, []byte("replaced")} {
		check(t, p.Put(t.Context(), someName, bytes.NewReader(content), int64(len(content))))
		if got := readAll(t, p, someName); !bytes.Equal(got, content) {
			t.Fatalf("%d bytes came back as %d others", len(content), len(got))
		}
		files, err := p.List(t.Context())
		check(t, err)
		if len(files) != 1 || files[0].Name != someName || files[0].Size != int64(len(content)) || files[0].Modified.IsZero() {
			t.Fatalf("listed: %+v", files)
		}
	}
	check(t, p.Remove(t.Context(), someName))
	check(t, p.Remove(t.Context(), someName))
	if _, err := p.Open(t.Context(), someName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what was removed: %v", err)
	}
}

func testUnused(t *testing.T, p Place) {
	files, err := p.List(t.Context())
	check(t, err)
	if len(files) != 0 {
		t.Errorf("it has %v", files)
	}
	if _, err := p.Open(t.Context(), someName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened: %v", err)
	}
	check(t, p.Remove(t.Context(), someName))
}

// testBroken: what was there stays as it was, and nothing half-written has a name.
func testBroken(t *testing.T, p Place) {
	check(t, p.Put(t.Context(), someName, strings.NewReader("before"), 6))
	broken := errors.New("the disk is gone")
	for name, content := range map[string]io.Reader{
		"an error":          io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)),
		"an early end":      strings.NewReader("half"),
		"an early end, big": io.LimitReader(zeroes{}, partBytes+5),
	} {
		if err := p.Put(t.Context(), someName, content, 2*partBytes); err == nil {
			t.Fatalf("%s: it was stored", name)
		}
		if got := readAll(t, p, someName); string(got) != "before" {
			t.Fatalf("%s: %d bytes are there now", name, len(got))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Put(ctx, someName, strings.NewReader("behind"), 6); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	files, err := p.List(t.Context())
	check(t, err)
	if len(files) != 1 {
		t.Errorf("left behind: %+v", files)
	}
}

// testNames: a place lists snapshots and their descriptions, all of them, and only those.
func testNames(t *testing.T, p Place) {
	var want []string
	for i := range 8 {
		want = append(want, fmt.Sprintf("20260102-03040%d-abcdef-etcd-1.34.db.age", i), fmt.Sprintf("20260102-03040%d-abcdef-etcd-1.34.db.age.json", i))
	}
	for _, name := range append([]string{"notes.txt", "nightly-etcd-1.db"}, want...) {
		check(t, p.Put(t.Context(), name, strings.NewReader("x"), 1))
	}
	files, err := p.List(t.Context())
	check(t, err)
	var got []string
	for _, f := range files {
		got = append(got, f.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// Files are for their owner only, whatever the umask; those of a run are in its
// directory.
func TestDirectoryModesAndLayout(t *testing.T) {
	t.Parallel()
	base := filepath.Join(t.TempDir(), "uid")
	p := NewStateDirectory(base)
	const run = "20260102-030405-abcdef"
	check(t, os.MkdirAll(filepath.Join(base, run), 0o700))
	check(t, p.Put(t.Context(), NameOfRun(run, "1.34"), strings.NewReader("x"), 1))
	check(t, p.Put(t.Context(), NameByHand("20260102-030406-abcdef", 100), strings.NewReader("x"), 1))
	for path, mode := range map[string]fs.FileMode{
		run + "/etcd-1.34.db": 0o600, "snapshots": 0o700, "snapshots/20260102-030406-abcdef-etcd-100.db": 0o600,
	} {
		info, err := os.Stat(filepath.Join(base, path))
		check(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
	files, err := p.List(t.Context())
	check(t, err)
	if len(files) != 2 {
		t.Errorf("listed: %+v", files)
	}
	check(t, os.WriteFile(filepath.Join(base, run, "etcd-1.34.db.old"), nil, 0o600)) // put aside by hand
	if again, err := p.List(t.Context()); err != nil || len(again) != 2 {
		t.Errorf("listed: %+v, %v", again, err)
	}
}

func TestDirectoryNamesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	p := NewDirectory(filepath.Join(base, "inner"))
	check(t, os.WriteFile(filepath.Join(base, "secret"), []byte("s"), 0o600))
	for _, name := range []string{"../secret", "", ".", "..", "a/b", ".hidden"} {
		if err := p.Put(t.Context(), name, strings.NewReader("x"), 1); err == nil {
			t.Errorf("%q was stored", name)
		}
		if _, err := p.Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was opened: %v", name, err)
		}
		check(t, p.Remove(t.Context(), name))
	}
	if _, err := os.Stat(filepath.Join(base, "secret")); err != nil {
		t.Error(err)
	}
}

// Leftovers of a killed kup are removed once they are nobody's; a copy under way stays.
func TestDirectoryRemovesOldParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, partPrefix+"1"), filepath.Join(dir, partPrefix+"2")
	for _, f := range []string{old, fresh} {
		check(t, os.WriteFile(f, []byte("half"), 0o600))
	}
	check(t, os.Chtimes(old, time.Now(), time.Now().Add(-2*partAge)))
	check(t, NewDirectory(dir).Put(t.Context(), someName, strings.NewReader("x"), 1))
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error(err)
	}
}

// A bucket is opened by its first use only, and says what is wrong with it.
func TestS3Refusals(t *testing.T) {
	b, target := startBucket(t)
	asked := 0
	b.before = func(http.ResponseWriter, *http.Request) bool { asked++; return false }
	list := func(change func(*S3Target)) error {
		other := target
		change(&other)
		_, err := NewS3(other).List(t.Context())
		return err
	}
	var settings *SettingsError
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	if err := list(func(s *S3Target) { s.CredentialsFile += ".gone" }); !errors.As(err, &settings) {
		t.Errorf("no credentials file: %v", err)
	}
	if err := list(func(s *S3Target) { s.CredentialsFile = "" }); !errors.As(err, &settings) {
		t.Errorf("no credentials: %v", err)
	}
	open := filepath.Join(t.TempDir(), "open")
	check(t, os.WriteFile(open, []byte("x"), 0o644)) //nolint:gosec // that is the point
	if err := list(func(s *S3Target) { s.CredentialsFile = open }); !errors.As(err, &settings) || !strings.HasPrefix(settings.Hint, "chmod 600") {
		t.Errorf("credentials that others can read: %v", err)
	}
	if asked != 0 {
		t.Errorf("the store was asked %d times without credentials", asked)
	}
	if err := list(func(s *S3Target) { s.Bucket = "other" }); err == nil || !strings.Contains(err.Error(), "the bucket does not exist") {
		t.Errorf("no bucket: %v", err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	check(t, os.WriteFile(wrong, []byte("[default]\naws_access_key_id = other\naws_secret_access_key = hunter3\n"), 0o600))
	err := list(func(s *S3Target) { s.CredentialsFile = wrong })
	if err == nil || !strings.Contains(err.Error(), "refuses these credentials") || strings.Contains(err.Error(), "hunter3") {
		t.Errorf("other credentials: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", fakeKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", fakeSecret)
	check(t, list(func(s *S3Target) { s.CredentialsFile = "" }))
}

// What is in pieces is cleared away by the client when it cannot be finished.
func TestS3AbortsWhatItCannotFinish(t *testing.T) {
	t.Parallel()
	b, target := startBucket(t)
	err := NewS3(target).Put(t.Context(), someName, io.LimitReader(zeroes{}, partBytes+5), 3*partBytes)
	if err == nil || len(b.objects) != 0 || b.aborted != 1 {
		t.Errorf("error %v, objects %d, aborted %d", err, len(b.objects), b.aborted)
	}
}

func readAll(t *testing.T, p Place, name string) []byte {
	t.Helper()
	r, err := p.Open(t.Context(), name)
	check(t, err)
	out, err := io.ReadAll(r)
	check(t, errors.Join(err, r.Close()))
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
