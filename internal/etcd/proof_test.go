package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestVerifyDamage damages a snapshot in every way that a disk, a network or a
// person does.
func TestVerifyDamage(t *testing.T) {
	t.Parallel()
	lab := startCluster(t, 1)
	c := lab.connect(t)
	fill(t, c, 200)
	s, err := c.Snapshot(t.Context(), t.TempDir(), "good.db", nil)
	check(t, err)
	good, err := os.ReadFile(s.Path)
	check(t, err)
	end := len(good) - sha256.Size
	unrecorded := s // as when only the members' answers are known
	unrecorded.SHA256 = ""

	flipped := func(at int) []byte {
		b := append([]byte(nil), good...)
		b[at] ^= 0x40
		return b
	}
	tests := map[string]struct {
		content []byte
		want    Snapshot
		proof   ProofName
		cause   error
	}{
		"empty":                   {nil, s, ProofTrailer, ErrTruncated},
		"only a trailer":          {good[end:], s, ProofTrailer, ErrTruncated},
		"without its trailer":     {good[:end], s, ProofTrailer, ErrTruncated},
		"one byte short":          {good[:len(good)-1], s, ProofTrailer, ErrTruncated},
		"a page short":            {good[:len(good)-4096], s, ProofTrailer, ErrChecksum},
		"trailer's first byte":    {flipped(end), s, ProofTrailer, ErrChecksum},
		"trailer's last byte":     {flipped(len(good) - 1), s, ProofTrailer, ErrChecksum},
		"trailer of a lie":        {resealed(flipped(0x2100)), s, ProofDigest, nil},
		"text":                    {resealed(make([]byte, 4096)), unrecorded, ProofStructure, nil},
		"half, with a checksum":   {resealed(good[:len(good)/8192*4096+sha256.Size]), unrecorded, "", nil},
		"hash of another's data":  {good, withHash(unrecorded, s.Hash+1), ProofHash, ErrHash},
		"compacted further since": {good, withCompaction(unrecorded, s.Revision+5), ProofHash, errPassed},
	}
	for _, at := range []int{0, 17, 4096 + 20, 2*4096 + 3, end / 2, end - 1} {
		tests[fmt.Sprintf("bit at %d", at)] = struct {
			content []byte
			want    Snapshot
			proof   ProofName
			cause   error
		}{flipped(at), s, ProofTrailer, ErrChecksum}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snapshot.db")
			check(t, os.WriteFile(path, tt.content, 0o600))
			_, err := Verify(t.Context(), path, tt.want)
			if tt.proof != "" {
				wantProof(t, err, tt.proof, tt.cause)
			}
			if err == nil {
				t.Error("it was taken for good")
			}
			if left := names(t, filepath.Dir(path)); len(left) != 1 {
				t.Errorf("left beside it: %v", left)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, err := Verify(t.Context(), s.Path+".gone", s)
		wantProof(t, err, ProofTrailer, os.ErrNotExist)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Verify(ctx, s.Path, s); !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("every page, with a checksum that lies", func(t *testing.T) { testLies(t, good, unrecorded) })
}

// testLies flips bits on every page and puts a fitting checksum under it: as if
// the member's own disk had gone bad. What is found is an error, never a crash;
// what is not found must be in bytes that nobody reads.
func testLies(t *testing.T, good []byte, want Snapshot) {
	path := filepath.Join(t.TempDir(), "snapshot.db")
	missed := 0
	for page := 0; page < len(good)-sha256.Size; page += 4096 {
		b := append([]byte(nil), good...)
		for _, at := range []int{8, 10, 16, 24, 40, 4000} {
			b[page+at] ^= 0x04
		}
		check(t, os.WriteFile(path, resealed(b), 0o600))
		p, err := Verify(t.Context(), path, want)
		if err != nil {
			continue
		}
		missed++
		if p.Point != want.Point() || p.Keys != want.Keys {
			t.Errorf("page %d: damaged data passed: %+v", page/4096, p)
		}
	}
	t.Logf("%d of %d pages were not read", missed, len(good)/4096)
}

// FuzzLayout: whatever a file holds, walking it ends in an answer.
func FuzzLayout(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096})
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		small, err := tx.CreateBucket([]byte("small"))
		if err != nil {
			return err
		}
		large, err := tx.CreateBucket([]byte("large"))
		if err != nil {
			return err
		}
		for i := range 200 {
			if err := large.Put(fmt.Appendf(nil, "%04d", i), make([]byte, 100)); err != nil {
				return err
			}
		}
		return small.Put([]byte("a"), []byte("b"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint32(4096*3+16), uint64(0xffff), uint32(4096*4+8), uint64(1))
	f.Fuzz(func(t *testing.T, file []byte, at uint32, put uint64, at2 uint32, put2 uint64) {
		file = append([]byte(nil), file...)
		for _, edit := range []struct {
			at  uint32
			put uint64
		}{{at, put}, {at2, put2}} {
			if int(edit.at)+8 <= len(file) {
				binary.NativeEndian.PutUint64(file[edit.at:], edit.put)
			}
		}
		_ = checkLayout(t.Context(), bytes.NewReader(file), int64(len(file))) // either answer, but one
	})
}

// resealed puts a fitting checksum under a file's content.
func resealed(file []byte) []byte {
	body := file[:len(file)/512*512]
	sum := sha256.Sum256(body)
	return append(append([]byte(nil), body...), sum[:]...)
}

func withHash(s Snapshot, hash uint32) Snapshot {
	s.Hash = hash
	return s
}

func withCompaction(s Snapshot, revision int64) Snapshot {
	s.CompactRevision = revision
	return s
}
