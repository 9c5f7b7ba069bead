package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// The database library trusts its pages: on damaged ones it ends the process
// from goroutines of its own, where nothing can recover it. So the pages are
// walked here first, with bounds checked, before the library sees the file. The
// format is that of
// https://github.com/etcd-io/bbolt/tree/v1.5.0/internal/common.
const (
	headerBytes  = 16 // of a page: id, flags, count, overflow
	elementBytes = 16 // of a branch's or leaf's table
	metaBytes    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketElement = 0x01
	metaMagic     = 0xED0CDAED
	metaVersion   = 2
	noFreelist    = math.MaxUint64
)

// layout walks the pages of a database. Memory: a bit for each page, and one
// page for each level of the tree.
type layout struct {
	file     io.ReaderAt
	pageSize uint64
	pages    uint64
	seen     []uint64 // a bit for each page
}

// checkLayout walks every page that a database of the given size uses.
func checkLayout(ctx context.Context, file io.ReaderAt, size int64) error {
	l := &layout{file: file}
	root, freelist, err := l.metas(uint64(size))
	if err != nil {
		return err
	}
	l.seen = make([]uint64, l.pages/64+1)
	if err := errors.Join(l.mark(0, 1), l.mark(1, 1)); err != nil {
		return err
	}
	if freelist != noFreelist {
		if err := l.freelist(freelist); err != nil {
			return err
		}
	}
	return l.walk(ctx, root, nil, nil)
}

// metas reads the two pages that say where the rest is. A snapshot has the same
// in both.
func (l *layout) metas(size uint64) (root, freelist uint64, err error) {
	first := make([]byte, headerBytes+metaBytes)
	if _, err := l.file.ReadAt(first, 0); err != nil {
		return 0, 0, err
	}
	meta := first[headerBytes:]
	l.pageSize = uint64(binary.NativeEndian.Uint32(meta[8:]))
	if err := checkMeta(first, 0); err != nil {
		return 0, 0, err
	}
	if l.pageSize < 512 || l.pageSize > 1<<16 || l.pageSize&(l.pageSize-1) != 0 {
		return 0, 0, fmt.Errorf("pages of %d bytes", l.pageSize)
	}
	second := make([]byte, headerBytes+metaBytes)
	if _, err := l.file.ReadAt(second, int64(l.pageSize)); err != nil {
		return 0, 0, err
	}
	if err := checkMeta(second, 1); err != nil {
		return 0, 0, err
	}
	l.pages = binary.NativeEndian.Uint64(meta[40:])
	if l.pages != size/l.pageSize || size%l.pageSize != 0 {
		return 0, 0, fmt.Errorf("%d pages of %d bytes in a database of %d bytes", l.pages, l.pageSize, size)
	}
	return binary.NativeEndian.Uint64(meta[16:]), binary.NativeEndian.Uint64(meta[32:]), nil
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

// mark takes pages as used; each may be used once.
func (l *layout) mark(id, count uint64) error {
	if id >= l.pages || count > l.pages-id {
		return fmt.Errorf("page %d and %d more lie beyond the %d pages", id, count-1, l.pages)
	}
	for p := id; p < id+count; p++ {
		if l.seen[p/64]&(1<<(p%64)) != 0 {
			return fmt.Errorf("page %d is used twice", p)
		}
		l.seen[p/64] |= 1 << (p % 64)
	}
	return nil
}

// load reads a page with what it overflows into, and marks it.
func (l *layout) load(id uint64) ([]byte, error) {
	if id >= l.pages {
		return nil, fmt.Errorf("page %d lies beyond the %d pages", id, l.pages)
	}
	header := make([]byte, headerBytes)
	if _, err := l.file.ReadAt(header, int64(id*l.pageSize)); err != nil {
		return nil, err
	}
	if self := binary.NativeEndian.Uint64(header); self != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, self)
	}
	count := uint64(binary.NativeEndian.Uint32(header[12:])) + 1
	if err := l.mark(id, count); err != nil {
		return nil, err
	}
	page := make([]byte, count*l.pageSize)
	_, err := l.file.ReadAt(page, int64(id*l.pageSize))
	return page, err
}

func (l *layout) freelist(id uint64) error {
	page, err := l.load(id)
	if err != nil {
		return err
	}
	count, room := uint64(binary.NativeEndian.Uint16(page[10:])), uint64(len(page)-headerBytes)/8
	if count == math.MaxUint16 { // the count did not fit and comes first
		count, room = binary.NativeEndian.Uint64(page[headerBytes:]), room-1
	}
	if binary.NativeEndian.Uint16(page[8:]) != freelistPage || count > room {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	return nil
}

// walk checks a page and all below it, whose keys lie in [low, high).
func (l *layout) walk(ctx context.Context, id uint64, low, high []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	page, err := l.load(id)
	if err != nil {
		return err
	}
	if err := l.elements(ctx, page, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks a page's table. A small bucket is a page inside a value, so
// this is not always a page of the file.
func (l *layout) elements(ctx context.Context, page, low, high []byte) error {
	if len(page) < headerBytes {
		return errors.New("too short for a page")
	}
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage {
		return fmt.Errorf("of a kind that does not exist (%#x)", flags)
	}
	if count*elementBytes > len(page)-headerBytes || (flags == branchPage && count == 0) {
		return fmt.Errorf("a table of %d elements", count)
	}
	var before element
	for i := range count {
		e, err := readElement(page, headerBytes+i*elementBytes, flags)
		switch {
		case err != nil:
			return err
		case i == 0 && low != nil && bytes.Compare(e.key, low) < 0,
			i > 0 && bytes.Compare(before.key, e.key) >= 0,
			high != nil && bytes.Compare(e.key, high) >= 0:
			return fmt.Errorf("element %d is out of order", i)
		}
		if i > 0 {
			if err := l.below(ctx, before, e.key); err != nil {
				return err
			}
		}
		before = e
	}
	if count == 0 {
		return nil
	}
	return l.below(ctx, before, high)
}

// element is one row of a page's table.
type element struct {
	branch, bucket bool
	key, value     []byte
	child          uint64
}

func readElement(page []byte, at int, flags uint16) (element, error) {
	raw := page[at : at+elementBytes]
	e := element{branch: flags == branchPage}
	var pos, keySize, valueSize uint64
	if e.branch {
		pos, keySize = uint64(binary.NativeEndian.Uint32(raw)), uint64(binary.NativeEndian.Uint32(raw[4:]))
		e.child = binary.NativeEndian.Uint64(raw[8:])
	} else {
		e.bucket = binary.NativeEndian.Uint32(raw)&bucketElement != 0
		pos, keySize = uint64(binary.NativeEndian.Uint32(raw[4:])), uint64(binary.NativeEndian.Uint32(raw[8:]))
		valueSize = uint64(binary.NativeEndian.Uint32(raw[12:]))
	}
	start := uint64(at) + pos
	if start+keySize+valueSize > uint64(len(page)) {
		return e, errors.New("an element reaches beyond the page")
	}
	e.key, e.value = page[start:start+keySize], page[start+keySize:start+keySize+valueSize]
	return e, nil
}

// below follows an element to the pages below it.
func (l *layout) below(ctx context.Context, e element, high []byte) error {
	switch {
	case e.branch:
		return l.walk(ctx, e.child, e.key, high)
	case !e.bucket:
		return nil
	case len(e.value) < 16: // root page, sequence
		return fmt.Errorf("bucket %q is cut off", e.key)
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return l.walk(ctx, root, nil, nil)
	}
	if err := l.elements(ctx, e.value[16:], nil, nil); err != nil {
		return fmt.Errorf("bucket %q: %w", e.key, err)
	}
	return nil
}
