package boltpage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const bucketElement = 0x01

// Page is a page with what it overflows into. A small bucket is a page inside a
// value, see [Element.Small].
type Page struct {
	// Raw is all of it.
	Raw []byte
	// Branch: its elements lead to other pages, otherwise they hold values.
	Branch bool
	// Count is how many elements there are.
	Count int
}

// Element is one row of a page's table.
type Element struct {
	Branch, Bucket bool
	Key, Value     []byte // parts of the page
	Child          uint64 // a branch's page below
}

// Read gives a page of the file with what it overflows into, in the buffer when that
// is large enough.
func (f *File) Read(id uint64, buffer []byte) ([]byte, error) {
	if id >= f.Pages {
		return nil, fmt.Errorf("page %d lies beyond the %d pages", id, f.Pages)
	}
	raw := grown(buffer, f.PageSize)
	if _, err := f.content.ReadAt(raw, int64(id*f.PageSize)); err != nil {
		return nil, err
	}
	if self := binary.NativeEndian.Uint64(raw); self != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, self)
	}
	more := uint64(binary.NativeEndian.Uint32(raw[12:]))
	if more >= f.Pages-id {
		return nil, fmt.Errorf("page %d and %d more lie beyond the %d pages", id, more, f.Pages)
	}
	if more == 0 {
		return raw, nil
	}
	raw = grown(raw, (1+more)*f.PageSize)
	_, err := f.content.ReadAt(raw[f.PageSize:], int64((id+1)*f.PageSize))
	return raw, err
}

// grown gives size bytes that begin as b does.
func grown(b []byte, size uint64) []byte {
	if uint64(cap(b)) >= size {
		return b[:size]
	}
	out := make([]byte, size)
	copy(out, b)
	return out
}

// Table finds the elements of a page.
func Table(raw []byte) (Page, error) {
	if len(raw) < headerBytes {
		return Page{}, errors.New("too short for a page")
	}
	flags, count := binary.NativeEndian.Uint16(raw[8:]), int(binary.NativeEndian.Uint16(raw[10:]))
	if flags != branchPage && flags != leafPage {
		return Page{}, fmt.Errorf("of a kind that does not exist (%#x)", flags)
	}
	if count*elementBytes > len(raw)-headerBytes || (flags == branchPage && count == 0) {
		return Page{}, fmt.Errorf("a table of %d elements", count)
	}
	return Page{Raw: raw, Branch: flags == branchPage, Count: count}, nil
}

// Element gives the row at an index below Count.
func (p Page) Element(i int) (Element, error) {
	at := headerBytes + i*elementBytes
	row := p.Raw[at : at+elementBytes]
	e := Element{Branch: p.Branch}
	var pos, keySize, valueSize uint64
	if e.Branch {
		pos, keySize = uint64(binary.NativeEndian.Uint32(row)), uint64(binary.NativeEndian.Uint32(row[4:]))
		e.Child = binary.NativeEndian.Uint64(row[8:])
	} else {
		e.Bucket = binary.NativeEndian.Uint32(row)&bucketElement != 0
		pos, keySize = uint64(binary.NativeEndian.Uint32(row[4:])), uint64(binary.NativeEndian.Uint32(row[8:]))
		valueSize = uint64(binary.NativeEndian.Uint32(row[12:]))
	}
	start := uint64(at) + pos
	if start+keySize+valueSize > uint64(len(p.Raw)) {
		return e, errors.New("an element reaches beyond the page")
	}
	e.Key, e.Value = p.Raw[start:start+keySize], p.Raw[start+keySize:start+keySize+valueSize]
	return e, nil
}

// Below tells where a bucket's own table begins: on a page, or, where root is 0, on
// small, which is part of the value.
func (e Element) Below() (root uint64, small []byte, err error) {
	if len(e.Value) < 16 { // root page, sequence
		return 0, nil, fmt.Errorf("bucket %q is cut off", e.Key)
	}
	return binary.NativeEndian.Uint64(e.Value), e.Value[16:], nil
}

// FreePages checks a page that lists free ones.
func FreePages(raw []byte) error {
	count, room := uint64(binary.NativeEndian.Uint16(raw[10:])), uint64(len(raw)-headerBytes)/8
	if count == math.MaxUint16 { // the count did not fit and comes first
		count, room = binary.NativeEndian.Uint64(raw[headerBytes:]), room-1
	}
	if binary.NativeEndian.Uint16(raw[8:]) != freelistPage || count > room {
		return errors.New("no list of free pages")
	}
	return nil
}
