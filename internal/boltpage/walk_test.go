package boltpage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/kup-project/kup/internal/boltpage"
)

// database writes one with etcd's kind of rows and gives it as a file of a snapshot:
// with both first pages the same, and no free pages saved.
func database(t testing.TB, rows int) []byte {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, &bolt.Options{PageSize: 4096, NoFreelistSync: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(1, uint64(rows)))
	for from := 0; from < rows; from += 50 { // small transactions leave free pages
		err := db.Update(func(tx *bolt.Tx) error {
			key, err := tx.CreateBucketIfNotExists([]byte("key"))
			if err != nil {
				return err
			}
			meta, err := tx.CreateBucketIfNotExists([]byte("meta"))
			if err != nil {
				return err
			}
			for i := from; i < min(from+50, rows); i++ {
				size := random.IntN(300)
				if i%97 == 0 {
					size = 5000 + random.IntN(20000) // beyond a page
				}
				if err := key.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
					return err
				}
				if i%11 == 0 && i > 500 {
					if err := key.Delete(binary.BigEndian.AppendUint64(nil, uint64(i-500))); err != nil {
						return err
					}
				}
			}
			return meta.Put([]byte("term"), []byte{1})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&out); return err }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// byLibrary lists a bucket from its end, as bbolt itself reads it.
func byLibrary(t *testing.T, content []byte, bucket string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out []string
	err = db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte(bucket)).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			out = append(out, fmt.Sprintf("%x=%x", k, v))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLastReadsAsTheLibraryDoes(t *testing.T) {
	for _, rows := range []int{0, 1, 40, 5000, 20000} {
		content := database(t, rows)
		f, err := boltpage.Open(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if rows == 0 {
			if err := f.Last(t.Context(), []byte("key"), nil); !errors.Is(err, boltpage.ErrNoBucket) {
				t.Errorf("an empty database: %v", err)
			}
			continue
		}
		for _, bucket := range []string{"key", "meta"} {
			want := byLibrary(t, content, bucket)
			at := 0
			err := f.Last(t.Context(), []byte(bucket), func(k, v []byte) error {
				if got := fmt.Sprintf("%x=%x", k, v); at >= len(want) || got != want[at] {
					return fmt.Errorf("row %d is not the library's: %.60s", at, got)
				}
				at++
				return nil
			})
			if err != nil || at != len(want) {
				t.Errorf("%d rows, bucket %s: %d of %d, %v", rows, bucket, at, len(want), err)
			}
		}
	}
}

func TestLastEnds(t *testing.T) {
	content := database(t, 5000)
	f, err := boltpage.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	err = f.Last(ctx, []byte("key"), func(_, _ []byte) error { rows++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || rows > 500 {
		t.Errorf("after its context: %v, %d rows", err, rows)
	}
	enough := errors.New("enough")
	if err := f.Last(t.Context(), []byte("key"), func(_, _ []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the visitor's error: %v", err)
	}
}

func TestOpenRefusesAnotherSize(t *testing.T) {
	content := database(t, 100)
	for _, size := range []int{0, 100, 4096, len(content) - 4096, len(content) - 1} {
		if _, err := boltpage.Open(bytes.NewReader(content[:size]), int64(size)); err == nil {
			t.Errorf("%d of %d bytes: no error", size, len(content))
		}
	}
}

// TestLastSurvivesDamage writes over a file here and there: reading it ends in an
// answer, whichever.
func TestLastSurvivesDamage(t *testing.T) {
	good := database(t, 400)
	random := rand.New(rand.NewPCG(7, 7))
	failed := 0
	const tries = 3000
	for range tries {
		content := bytes.Clone(good)
		for range 1 + random.IntN(3) {
			// Where a page begins are its kind, its table and what it overflows into.
			at := random.IntN(len(good)/4096)*4096 + random.IntN(64)
			binary.NativeEndian.PutUint32(content[at:], random.Uint32()>>random.IntN(32))
		}
		file, err := boltpage.Open(bytes.NewReader(content), int64(len(content)))
		if err == nil {
			err = file.Last(t.Context(), []byte("key"), func(_, _ []byte) error { return nil })
		}
		if err != nil {
			failed++
		}
	}
	if failed < tries/4 {
		t.Errorf("damage was noticed %d times in %d", failed, tries)
	}
}

// FuzzLast: whatever a file holds, walking it ends in an answer, and no page is read
// more often than there are pages.
func FuzzLast(f *testing.F) {
	seed := database(f, 90)
	f.Add(seed, uint32(4096*3+16), uint64(0xffff), uint32(4096*4+8), uint64(1))
	f.Add(seed, uint32(4096*3+8), uint64(1), uint32(4096*5+24), uint64(3))
	f.Fuzz(func(t *testing.T, content []byte, at uint32, put uint64, at2 uint32, put2 uint64) {
		content = bytes.Clone(content)
		for _, edit := range []struct {
			at  uint32
			put uint64
		}{{at, put}, {at2, put2}} {
			if int(edit.at)+8 <= len(content) {
				binary.NativeEndian.PutUint64(content[edit.at:], edit.put)
			}
		}
		file, err := boltpage.Open(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		_ = file.Last(t.Context(), []byte("key"), func(k, v []byte) error { // either answer, but one
			if len(k)+len(v) > len(content) {
				t.Errorf("a row of %d bytes in a file of %d", len(k)+len(v), len(content))
			}
			return nil
		})
	})
}
