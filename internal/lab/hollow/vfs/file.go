package vfs

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// File is an open file. It stays usable when its name is removed.
type File interface {
	io.Reader
	io.Writer
	io.Seeker
	io.Closer
	Stat() (fs.FileInfo, error)
}

// OpenFile opens a file as os.OpenFile does, with the same flags. Directories can
// be opened for reading and only be asked for Stat.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, err := f.open(name, flag, perm)
	if err != nil {
		return nil, failed("open", name, err)
	}
	return h, nil
}

func (f *FS) open(name string, flag int, perm fs.FileMode) (*handle, error) {
	exclusive := flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL
	p, err := f.walk(name, !exclusive)
	if err != nil {
		return nil, err
	}
	access := flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	h := &handle{fs: f, name: name, path: p.path, node: p.node, write: access != os.O_RDONLY, read: access != os.O_WRONLY, atEnd: flag&os.O_APPEND != 0}
	switch {
	case p.node == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case p.node == nil && p.onlyDir:
		return nil, syscall.EISDIR
	case p.node == nil:
		h.node = f.newNode(perm &^ fs.ModeType)
		p.dir.entries[p.name] = h.node
		p.dir.modified = f.clock()
		f.tell(p.path)
		return h, nil
	case exclusive:
		return nil, syscall.EEXIST
	case p.node.mode.IsDir() && (h.write || flag&os.O_CREATE != 0):
		return nil, syscall.EISDIR
	case p.node.mode.IsRegular() && h.write && flag&os.O_TRUNC != 0:
		f.truncate(p.node)
		f.tell(p.path)
	}
	return h, nil
}

// handle is an open file with its own offset.
type handle struct {
	fs     *FS
	name   string // as it was opened
	path   string
	node   *node
	read   bool
	write  bool
	atEnd  bool // every write goes to the end
	closed bool
	offset int64
}

var _ File = (*handle)(nil)

func (h *handle) usable(op string, allowed bool) error {
	switch {
	case h.closed:
		return failed(op, h.name, fs.ErrClosed)
	case !allowed:
		return failed(op, h.name, syscall.EBADF)
	case h.node.mode.IsDir():
		return failed(op, h.name, syscall.EISDIR)
	}
	return nil
}

func (h *handle) Read(b []byte) (int, error) {
	h.fs.mu.Lock() // the offset is the handle's, and a handle may be shared too
	defer h.fs.mu.Unlock()
	if err := h.usable("read", h.read); err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, nil
	}
	if h.node.mode&fs.ModeDevice != 0 {
		if h.node.target != deviceZero {
			return 0, io.EOF
		}
		clear(b)
		return len(b), nil
	}
	if h.offset >= int64(len(h.node.content)) {
		return 0, io.EOF
	}
	n := copy(b, h.node.content[h.offset:])
	h.offset += int64(n)
	return n, nil
}

func (h *handle) Write(b []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.usable("write", h.write); err != nil {
		return 0, err
	}
	if h.node.mode&fs.ModeDevice != 0 || len(b) == 0 {
		return len(b), nil
	}
	if h.atEnd {
		h.offset = int64(len(h.node.content))
	}
	if err := h.fs.write(h.node, b, h.offset); err != nil {
		return 0, failed("write", h.name, err)
	}
	h.offset += int64(len(b))
	if !h.node.unnamed {
		h.fs.tell(h.path)
	}
	return len(b), nil
}

func (h *handle) Seek(offset int64, whence int) (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += h.offset
	case io.SeekEnd:
		offset += int64(len(h.node.content))
	}
	if offset < 0 {
		return 0, failed("seek", h.name, syscall.EINVAL)
	}
	h.offset = offset
	return offset, nil
}

func (h *handle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return failed("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	return nil
}

func (h *handle) Stat() (fs.FileInfo, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	return infoOf(h.name, h.node), nil
}

// ReadFile gives a file's content.
func (f *FS) ReadFile(name string) ([]byte, error) {
	h, err := f.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer h.Close() //nolint:errcheck // only read
	return io.ReadAll(h)
}

// WriteFile writes a file, replacing its content in place; a new one gets the
// mode. Missing directories are not made.
func (f *FS) WriteFile(name string, data []byte, perm fs.FileMode) error {
	h, err := f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if _, err := h.Write(data); err != nil {
		return err
	}
	return h.Close()
}
