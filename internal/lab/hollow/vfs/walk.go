package vfs

import (
	"io/fs"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links a path may lead through, as on Linux.
const maxLinks = 40

// place is where a path leads: a directory and a name in it.
type place struct {
	dir  *node
	name string // empty for the root and what ends in ".."; then node is set
	node *node  // nil: no such entry
	path string // without links; of the entry
	// onlyDir: the path ended in a slash.
	onlyDir bool
}

// walk finds the place of a path. It fails when a directory on the way is missing;
// the last component may be. follow says whether it is followed if it is a link.
func (f *FS) walk(name string, follow bool) (place, error) {
	if name == "" {
		return place{}, syscall.ENOENT
	}
	if name[0] != '/' {
		return place{}, syscall.EINVAL
	}
	w := walker{dirs: []*node{f.root}, todo: split(name)}
	for len(w.todo) > 0 {
		p, done, err := w.next(follow)
		if done || err != nil {
			return p, err
		}
	}
	return place{node: w.dir(), path: w.path()}, nil
}

// walker is how far a walk has come.
type walker struct {
	dirs  []*node // from the root to where it is
	names []string
	todo  []string
	links int
}

func (w *walker) dir() *node { return w.dirs[len(w.dirs)-1] }

func (w *walker) path(more ...string) string {
	return "/" + strings.Join(append(w.names[:len(w.names):len(w.names)], more...), "/")
}

// next takes one component; done when it was the last.
func (w *walker) next(follow bool) (place, bool, error) {
	component := w.todo[0]
	w.todo = w.todo[1:]
	switch component {
	case ".", "":
		return place{}, false, nil
	case "..":
		if len(w.names) > 0 {
			w.dirs, w.names = w.dirs[:len(w.dirs)-1], w.names[:len(w.names)-1]
		}
		return place{}, false, nil
	}
	last := len(w.todo) == 0 || len(w.todo) == 1 && w.todo[0] == ""
	onlyDir := last && len(w.todo) == 1
	entry := w.dir().entries[component]
	switch {
	case entry != nil && entry.mode&fs.ModeSymlink != 0 && (!last || follow || onlyDir):
		if w.links++; w.links > maxLinks {
			return place{}, false, syscall.ELOOP
		}
		if strings.HasPrefix(entry.target, "/") {
			w.dirs, w.names = w.dirs[:1], nil
		}
		w.todo = append(split(entry.target), w.todo...)
		return place{}, false, nil
	case last:
		if onlyDir && entry != nil && !entry.mode.IsDir() {
			return place{}, false, syscall.ENOTDIR
		}
		return place{dir: w.dir(), name: component, node: entry, path: w.path(component), onlyDir: onlyDir}, true, nil
	case entry == nil:
		return place{}, false, syscall.ENOENT
	case !entry.mode.IsDir():
		return place{}, false, syscall.ENOTDIR
	}
	w.dirs, w.names = append(w.dirs, entry), append(w.names, component)
	return place{}, false, nil
}

// split gives the components of a path; an empty last one says that it ended in
// a slash.
func split(name string) []string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) > 0 && strings.HasSuffix(name, "/") {
		parts = append(parts, "")
	}
	return parts
}

// existing is walk for a path that must be there.
func (f *FS) existing(name string, follow bool) (place, error) {
	p, err := f.walk(name, follow)
	if err == nil && p.node == nil {
		err = syscall.ENOENT
	}
	return p, err
}

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
