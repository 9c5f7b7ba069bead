package boltpage

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

const (
	headerBytes  = 16 // of a page: id, flags, count, overflow
	elementBytes = 16 // of a branch's or leaf's table
	metaBytes    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	metaMagic   = 0xED0CDAED
	metaVersion = 2
)

// NoFreelist is the freelist of a file that holds none, as etcd's do not.
const NoFreelist = math.MaxUint64

// File is a database.
type File struct {
	PageSize, Pages uint64
	// Root is the page where the table of buckets begins, Freelist the one with the
	// list of free pages, or [NoFreelist].
	Root, Freelist uint64

	content io.ReaderAt
}

// Open reads the two pages that say where the rest is. Both must be valid and agree
// with the size, in bytes, which is how a snapshot is written.
func Open(content io.ReaderAt, size int64) (*File, error) {
	first := make([]byte, headerBytes+metaBytes)
	if _, err := content.ReadAt(first, 0); err != nil {
		return nil, err
	}
	meta := first[headerBytes:]
	f := &File{content: content, PageSize: uint64(binary.NativeEndian.Uint32(meta[8:]))}
	if err := checkMeta(first, 0); err != nil {
		return nil, err
	}
	if f.PageSize < 512 || f.PageSize > 1<<16 || f.PageSize&(f.PageSize-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes", f.PageSize)
	}
	second := make([]byte, headerBytes+metaBytes)
	if _, err := content.ReadAt(second, int64(f.PageSize)); err != nil {
		return nil, err
	}
	if err := checkMeta(second, 1); err != nil {
		return nil, err
	}
	f.Root, f.Freelist = binary.NativeEndian.Uint64(meta[16:]), binary.NativeEndian.Uint64(meta[32:])
	f.Pages = binary.NativeEndian.Uint64(meta[40:])
	if f.Pages != uint64(size)/f.PageSize || uint64(size)%f.PageSize != 0 {
		return nil, fmt.Errorf("%d pages of %d bytes in a database of %d bytes", f.Pages, f.PageSize, size)
	}
	return f, nil
}

func checkMeta(page []byte, id uint64) error {
	meta := page[headerBytes:]
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaBytes-8]) // a hash takes everything
	if binary.NativeEndian.Uint64(page) != id || binary.NativeEndian.Uint16(page[8:]) != metaPage ||
		binary.NativeEndian.Uint32(meta) != metaMagic || binary.NativeEndian.Uint32(meta[4:]) != metaVersion ||
		binary.NativeEndian.Uint64(meta[metaBytes-8:]) != sum.Sum64() {
		return fmt.Errorf("page %d is no valid beginning of a database", id)
	}
	return nil
}
