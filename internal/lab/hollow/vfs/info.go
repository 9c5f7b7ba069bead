package vfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// info is what was known of a node when it was asked for.
type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
	inode    uint64
}

var _ fs.FileInfo = info{}

// dirSize is the size that directories have on most file systems.
const dirSize = 4096

func infoOf(name string, n *node) info {
	i := info{name: path.Base(name), size: int64(len(n.content)), mode: n.mode, modified: n.modified, inode: n.inode}
	switch {
	case n.mode.IsDir():
		i.size = dirSize
	case n.mode&fs.ModeSymlink != 0:
		i.size = int64(len(n.target))
	}
	return i
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }

// Sys gives a *syscall.Stat_t, as os.Stat does: everything belongs to root.
func (i info) Sys() any {
	at := syscall.NsecToTimespec(i.modified.UnixNano())
	return &syscall.Stat_t{Ino: i.inode, Nlink: 1, Size: i.size, Atim: at, Mtim: at, Ctim: at}
}

// Stat follows symbolic links, Lstat does not follow the last.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat is Stat that does not follow a link in the last place.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *FS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p, err := f.existing(name, follow)
	if err != nil {
		return nil, failed(op, name, err)
	}
	return infoOf(name, p.node), nil
}

// ReadDir lists a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p, err := f.existing(name, true)
	if err == nil && !p.node.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, failed("open", name, err)
	}
	list := make([]fs.DirEntry, 0, len(p.node.entries))
	for entry, n := range p.node.entries {
		list = append(list, fs.FileInfoToDirEntry(infoOf(entry, n)))
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// ReadLink gives where a symbolic link points.
func (f *FS) ReadLink(name string) (string, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p, err := f.existing(name, false)
	if err == nil && p.node.mode&fs.ModeSymlink == 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", failed("readlink", name, err)
	}
	return p.node.target, nil
}

// Resolve gives the path without links that a path leads to. All of it but the
// last component must be there.
func (f *FS) Resolve(name string) (string, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p, err := f.walk(name, true)
	if err != nil {
		return "", failed("lstat", name, err)
	}
	return p.path, nil
}
