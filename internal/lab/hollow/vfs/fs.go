package vfs

import (
	"io/fs"
	"slices"
	"sync"
	"syscall"
	"time"
)

// FS is one host's file system. It is safe for concurrent use. Every error is a
// *fs.PathError with the errno that Linux gives.
type FS struct {
	mu    sync.RWMutex
	root  *node
	used  int64 // bytes of content that can be reached by a name
	limit int64 // of used; negative: none
	inode uint64
	clock func() time.Time
	seers []*seer
	locks map[*node]*holders
}

// node is a file, directory, symbolic link or device.
type node struct {
	inode    uint64
	mode     fs.FileMode // with the type bits
	modified time.Time
	content  []byte           // of a file
	shared   bool             // content belongs to a clone too: copy before writing
	unnamed  bool             // removed while it was open: it takes no space
	target   string           // of a symbolic link
	entries  map[string]*node // of a directory
}

// The devices that exist, by their name below /dev.
const (
	deviceNull = "null"
	deviceZero = "zero"
)

// New makes a file system with /dev/null, /dev/zero and /tmp, without a size limit.
func New() *FS {
	f := &FS{limit: -1, clock: time.Now, locks: map[*node]*holders{}}
	f.root = f.newNode(fs.ModeDir | 0o755)
	dev := f.newNode(fs.ModeDir | 0o755)
	f.root.entries["dev"] = dev
	f.root.entries["tmp"] = f.newNode(fs.ModeDir | fs.ModeSticky | 0o777)
	for _, name := range []string{deviceNull, deviceZero} {
		n := f.newNode(fs.ModeDevice | fs.ModeCharDevice | 0o666)
		n.target = name
		dev.entries[name] = n
	}
	return f
}

// SetClock sets where modification times come from; the default is time.Now.
func (f *FS) SetClock(now func() time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = now
}

// SetFree says how many bytes of content may still be added; what goes beyond
// fails with ENOSPC. Negative: no limit.
func (f *FS) SetFree(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limit = -1; bytes >= 0 {
		f.limit = f.used + bytes
	}
}

// Size gives the bytes of content there are, and how many may be added; free is
// negative when there is no limit.
func (f *FS) Size() (used, free int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.limit < 0 {
		return f.used, -1
	}
	return f.used, max(0, f.limit-f.used)
}

// Clone gives a copy that shares file contents until one side writes. Locks,
// open files and change notices stay behind.
func (f *FS) Clone() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &FS{
		root: f.root.clone(), used: f.used, limit: f.limit, inode: f.inode, clock: f.clock, locks: map[*node]*holders{},
	}
}

func (n *node) clone() *node {
	c := *n
	if n.mode.IsRegular() {
		n.shared, c.shared = true, true
	}
	if n.entries != nil {
		c.entries = make(map[string]*node, len(n.entries))
		for name, entry := range n.entries {
			c.entries[name] = entry.clone()
		}
	}
	return &c
}

func (f *FS) newNode(mode fs.FileMode) *node {
	f.inode++
	n := &node{inode: f.inode, mode: mode, modified: f.clock()}
	if mode.IsDir() {
		n.entries = map[string]*node{}
	}
	return n
}

// write puts b into the file at the offset, and fills a gap with zeros. Nothing
// is written when there is no room for all of it.
func (f *FS) write(n *node, b []byte, offset int64) error {
	size := max(int64(len(n.content)), offset+int64(len(b)))
	if err := f.grow(n, size-int64(len(n.content))); err != nil {
		return err
	}
	if n.shared {
		n.content, n.shared = slices.Clone(n.content), false
	}
	if missing := size - int64(len(n.content)); missing > 0 {
		n.content = append(n.content, make([]byte, missing)...)
	}
	copy(n.content[offset:], b)
	n.modified = f.clock()
	return nil
}

func (f *FS) truncate(n *node) {
	if !n.unnamed {
		f.used -= int64(len(n.content))
	}
	n.content, n.shared, n.modified = nil, false, f.clock()
}

// grow accounts for more bytes of a file.
func (f *FS) grow(n *node, more int64) error {
	if n.unnamed {
		return nil
	}
	if f.limit >= 0 && more > 0 && f.used+more > f.limit {
		return syscall.ENOSPC
	}
	f.used += more
	return nil
}

// forget accounts for a node that has lost its name, and for all below it.
func (f *FS) forget(n *node) {
	if n.mode.IsRegular() {
		f.used -= int64(len(n.content))
		n.unnamed = true
	}
	for _, entry := range n.entries {
		f.forget(entry)
	}
}
