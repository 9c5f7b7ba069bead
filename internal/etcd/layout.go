package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kup-project/kup/internal/boltpage"
)

// The database library trusts its pages: on damaged ones it ends the process
// from goroutines of its own, where nothing can recover it. So the pages are
// walked here first, with bounds checked, before the library sees the file.

// layout walks the pages of a database. Memory: a bit for each page, and one
// page for each level of the tree.
type layout struct {
	file *boltpage.File
	seen []uint64 // a bit for each page
}

// checkLayout walks every page that a database of the given size uses.
func checkLayout(ctx context.Context, content io.ReaderAt, size int64) error {
	file, err := boltpage.Open(content, size)
	if err != nil {
		return err
	}
	l := &layout{file: file, seen: make([]uint64, file.Pages/64+1)}
	if err := errors.Join(l.mark(0, 1), l.mark(1, 1)); err != nil {
		return err
	}
	if file.Freelist != boltpage.NoFreelist {
		if err := l.freelist(file.Freelist); err != nil {
			return err
		}
	}
	return l.walk(ctx, file.Root, nil, nil)
}

// mark takes pages as used; each may be used once.
func (l *layout) mark(id, count uint64) error {
	if id >= l.file.Pages || count > l.file.Pages-id {
		return fmt.Errorf("page %d and %d more lie beyond the %d pages", id, count-1, l.file.Pages)
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
	page, err := l.file.Read(id, nil)
	if err != nil {
		return nil, err
	}
	return page, l.mark(id, uint64(len(page))/l.file.PageSize)
}

func (l *layout) freelist(id uint64) error {
	page, err := l.load(id)
	if err != nil {
		return err
	}
	if err := boltpage.FreePages(page); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
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
func (l *layout) elements(ctx context.Context, raw, low, high []byte) error {
	page, err := boltpage.Table(raw)
	if err != nil {
		return err
	}
	var before boltpage.Element
	for i := range page.Count {
		e, err := page.Element(i)
		switch {
		case err != nil:
			return err
		case i == 0 && low != nil && bytes.Compare(e.Key, low) < 0,
			i > 0 && bytes.Compare(before.Key, e.Key) >= 0,
			high != nil && bytes.Compare(e.Key, high) >= 0:
			return fmt.Errorf("element %d is out of order", i)
		}
		if i > 0 {
			if err := l.below(ctx, before, e.Key); err != nil {
				return err
			}
		}
		before = e
	}
	if page.Count == 0 {
		return nil
	}
	return l.below(ctx, before, high)
}

// below follows an element to the pages below it.
func (l *layout) below(ctx context.Context, e boltpage.Element, high []byte) error {
	switch {
	case e.Branch:
		return l.walk(ctx, e.Child, e.Key, high)
	case !e.Bucket:
		return nil
	}
	root, small, err := e.Below()
	switch {
	case err != nil:
		return err
	case root != 0:
		return l.walk(ctx, root, nil, nil)
	}
	if err := l.elements(ctx, small, nil, nil); err != nil {
		return fmt.Errorf("bucket %q: %w", e.Key, err)
	}
	return nil
}
