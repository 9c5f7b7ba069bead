package etcd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
)

// FuzzTrailer: in whatever pieces a snapshot arrives, the verdict is that of the whole.
func FuzzTrailer(f *testing.F) {
	page := bytes.Repeat([]byte("page"), 1024)
	f.Add(page, uint16(1), uint16(4096))
	f.Add(page, uint16(31), uint16(33))
	f.Add([]byte{}, uint16(32), uint16(7))
	f.Fuzz(func(t *testing.T, content []byte, first, second uint16) {
		pages := append(bytes.Clone(content), make([]byte, (512-len(content)%512)%512)...)
		sum := sha256.Sum256(pages)
		good := append(bytes.Clone(pages), sum[:]...)
		want := error(nil)
		if len(pages) == 0 {
			want = ErrTruncated
		}
		if got := inPieces(good, int(first), int(second)); !errors.Is(got, want) {
			t.Errorf("a whole one: %v, want %v", got, want)
		}
		if got := inPieces(good[:len(good)-1], int(first), int(second)); !errors.Is(got, ErrTruncated) {
			t.Errorf("a byte short: %v", got)
		}
		for _, at := range []int{0, len(pages) / 2, len(good) - 1} {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if got := inPieces(bad, int(first), int(second)); len(pages) > 0 && !errors.Is(got, ErrChecksum) {
				t.Errorf("a bit at %d: %v", at, got)
			}
		}
	})
}

// inPieces gives the verdict on a file that arrives in pieces of two sizes.
func inPieces(file []byte, first, second int) error {
	check := &trailer{body: sha256.New()}
	for i := 0; len(file) > 0; i++ {
		size := max(1, []int{first, second}[i%2])
		size = min(size, len(file))
		_, _ = check.Write(file[:size])
		file = file[size:]
	}
	return check.fits()
}
