package vfs

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// permissions are the mode bits that can be changed.
const permissions = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Mkdir makes one directory.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	return f.add("mkdir", name, func() *node { return f.newNode(fs.ModeDir | perm&permissions) })
}

// Symlink makes name a symbolic link to target, which need not exist.
func (f *FS) Symlink(target, name string) error {
	return f.add("symlink", name, func() *node {
		n := f.newNode(fs.ModeSymlink | 0o777)
		n.target = target
		return n
	})
}

// add makes a new entry.
func (f *FS) add(op, name string, make func() *node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.walk(name, false)
	if err == nil && p.node != nil {
		err = syscall.EEXIST
	}
	if err != nil {
		return failed(op, name, err)
	}
	p.dir.entries[p.name] = make()
	p.dir.modified = f.clock()
	f.tell(p.path)
	return nil
}

// MkdirAll makes a directory and the missing ones above it, all with the mode.
func (f *FS) MkdirAll(name string, perm fs.FileMode) error {
	if at, err := f.Stat(name); err == nil {
		if !at.IsDir() {
			return failed("mkdir", name, syscall.ENOTDIR)
		}
		return nil
	}
	if parent := path.Dir(strings.TrimRight(name, "/")); parent != name && parent != "." {
		if err := f.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := f.Mkdir(name, perm); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Remove removes a file, a link or an empty directory.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.existing(name, false)
	switch {
	case err != nil:
	case p.dir == nil:
		err = syscall.EBUSY
	case len(p.node.entries) > 0:
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return failed("remove", name, err)
	}
	f.drop(p)
	return nil
}

// RemoveAll removes a path and what is below it. One that is not there is no error.
func (f *FS) RemoveAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.existing(name, false)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err == nil && p.dir == nil {
		err = syscall.EBUSY
	}
	if err != nil {
		return failed("remove", name, err)
	}
	f.drop(p)
	return nil
}

func (f *FS) drop(p place) {
	delete(p.dir.entries, p.name)
	p.dir.modified = f.clock()
	f.forget(p.node)
	f.tell(p.path)
}

// Rename moves an entry and replaces what has the new name, a directory only when
// it is empty.
func (f *FS) Rename(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, err := f.existing(oldName, false)
	if err != nil {
		return failed("rename", oldName, err)
	}
	to, err := f.walk(newName, false)
	if err != nil {
		return failed("rename", newName, err)
	}
	if err := movable(from, to); err != nil {
		return failed("rename", newName, err)
	}
	if to.node == from.node {
		return nil
	}
	if to.node != nil {
		f.drop(to)
	}
	delete(from.dir.entries, from.name)
	to.dir.entries[to.name] = from.node
	from.dir.modified, to.dir.modified = f.clock(), f.clock()
	f.tell(from.path)
	f.tell(to.path)
	return nil
}

func movable(from, to place) error {
	switch {
	case from.dir == nil || to.dir == nil:
		return syscall.EBUSY
	case from.node.mode.IsDir() && strings.HasPrefix(to.path+"/", from.path+"/") && to.path != from.path:
		return syscall.EINVAL
	case to.onlyDir && !from.node.mode.IsDir():
		return syscall.ENOTDIR
	case to.node == nil:
		return nil
	case to.node.mode.IsDir() && !from.node.mode.IsDir():
		return syscall.EISDIR
	case !to.node.mode.IsDir() && from.node.mode.IsDir():
		return syscall.ENOTDIR
	case to.node != from.node && len(to.node.entries) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// Chmod sets the permissions of what a path leads to.
func (f *FS) Chmod(name string, mode fs.FileMode) error {
	return f.alter("chmod", name, func(n *node) { n.mode = n.mode&^permissions | mode&permissions })
}

// Chtimes sets the modification time; access times are not kept.
func (f *FS) Chtimes(name string, _, modified time.Time) error {
	return f.alter("chtimes", name, func(n *node) { n.modified = modified })
}

func (f *FS) alter(op, name string, change func(*node)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.existing(name, true)
	if err != nil {
		return failed(op, name, err)
	}
	change(p.node)
	f.tell(p.path)
	return nil
}

// seer is told of changes below a directory.
type seer struct {
	below string // ends in a slash
	tell  chan struct{}
}

// Changes gives a channel that becomes readable when anything at or below the path
// has changed since it was last read; end stops that. The path has no links in it
// and need not exist.
func (f *FS) Changes(name string) (changed <-chan struct{}, end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &seer{below: strings.TrimRight(path.Clean(name), "/") + "/", tell: make(chan struct{}, 1)}
	f.seers = append(f.seers, s)
	return s.tell, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seers = slices.DeleteFunc(f.seers, func(other *seer) bool { return other == s })
	}
}

// tell tells of a change at a path, which is also one of everything below it.
func (f *FS) tell(changed string) {
	changed += "/"
	for _, s := range f.seers {
		if !strings.HasPrefix(changed, s.below) && !strings.HasPrefix(s.below, changed) {
			continue
		}
		select {
		case s.tell <- struct{}{}:
		default: // it has not read of the last one yet
		}
	}
}

// names gives the entries of a directory in order.
func (n *node) names() []string { return slices.Sorted(maps.Keys(n.entries)) }
