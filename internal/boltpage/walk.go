package boltpage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// maxDepth bounds the levels of a tree: with two elements a page it could hold more
// than any disk does.
const maxDepth = 48

// Last visits the rows of a bucket of the file from the last key to the first. What
// visit is given is only valid until it returns. It gives [ErrNoBucket] where there is
// none of that name. Memory: a page for each level of the tree.
func (f *File) Last(ctx context.Context, bucket []byte, visit func(key, value []byte) error) error {
	found := errors.New("found")
	var within Element
	look := walker{file: f, ctx: ctx, left: f.Pages, visit: func(e Element) error {
		if !e.Bucket || !bytes.Equal(e.Key, bucket) {
			return nil
		}
		within = e
		return found
	}}
	switch err := look.page(f.Root, 0); {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrNoBucket, bucket)
	case !errors.Is(err, found):
		return err
	}
	root, small, err := within.Below()
	if err != nil {
		return err
	}
	w := walker{file: f, ctx: ctx, left: f.Pages, visit: func(e Element) error { return visit(e.Key, e.Value) }}
	if root != 0 {
		return w.page(root, 0)
	}
	p, err := Table(small)
	if err != nil {
		return fmt.Errorf("bucket %q: %w", bucket, err)
	}
	return w.rows(p, 0)
}

// ErrNoBucket is a bucket that the file does not have.
var ErrNoBucket = errors.New("no such bucket")

// walker goes through a tree backwards.
type walker struct {
	file    *File
	ctx     context.Context //nolint:containedctx // of one walk
	left    uint64          // pages that may still be read: each is part of one tree only
	buffers [maxDepth][]byte
	visit   func(Element) error
}

func (w *walker) page(id uint64, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth == maxDepth || w.left == 0 {
		return fmt.Errorf("page %d is used twice", id)
	}
	w.left--
	raw, err := w.file.Read(id, w.buffers[depth])
	if err != nil {
		return err
	}
	w.buffers[depth] = raw
	p, err := Table(raw)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return w.rows(p, depth)
}

// rows visits those of a page, or what is below them.
func (w *walker) rows(p Page, depth int) error {
	for i := p.Count - 1; i >= 0; i-- {
		e, err := p.Element(i)
		switch {
		case err != nil:
		case e.Branch:
			err = w.page(e.Child, depth+1)
		default:
			err = w.visit(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
