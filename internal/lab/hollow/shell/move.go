package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// destinations gives, for each source, where it goes: the last operand, or below
// it when that is a directory.
func (p *Process) destinations(o *options) (sources []string, to func(source string) string, err error) {
	operands := o.operands
	if o.has('t') {
		operands = append(operands, o.value('t'))
	}
	if len(operands) < 2 {
		return nil, nil, errors.New("missing file operand")
	}
	last := operands[len(operands)-1]
	sources = operands[:len(operands)-1]
	info, err := p.FS.Stat(p.Path(last))
	isDir := err == nil && info.IsDir() && !o.has('T')
	if len(sources) > 1 && !isDir {
		return nil, nil, fmt.Errorf("target '%s' is not a directory", last)
	}
	return sources, func(source string) string {
		if isDir {
			return strings.TrimSuffix(last, "/") + "/" + path.Base(source)
		}
		return last
	}, nil
}

// cp copies files, and with -r directories; -p and -a keep modes and times.
func cp(_ context.Context, p *Process) int {
	o, err := p.options("pfrRaTt:dn", map[string]rune{"recursive": 'r', "archive": 'a', "preserve": 'p', "force": 'f', "no-target-directory": 'T', "target-directory": 't'})
	if err != nil {
		return p.usage(1, err)
	}
	sources, to, err := p.destinations(o)
	if err != nil {
		return p.usage(1, err)
	}
	c := copying{p: p, keep: o.has('p') || o.has('a'), recursive: o.has('r') || o.has('R') || o.has('a'), links: o.has('a') || o.has('d'), fresh: o.has('n')}
	code := 0
	for _, source := range sources {
		if err := c.copy(source, to(source)); err != nil {
			code = p.fail(1, err)
		}
	}
	return code
}

// copying is how cp copies.
type copying struct {
	p         *Process
	keep      bool // modes and times
	recursive bool
	links     bool // copy links as links
	fresh     bool // do not replace anything
}

func (c copying) copy(from, to string) error {
	files := c.p.FS
	look := files.Stat
	if c.links || c.recursive {
		look = files.Lstat
	}
	info, err := look(c.p.Path(from))
	if err != nil {
		return fmt.Errorf("cannot stat '%s': %s", from, errnoText(err))
	}
	there, err := files.Stat(c.p.Path(to))
	switch {
	case err == nil && c.fresh:
		return nil
	case err == nil && there.Sys().(*syscall.Stat_t).Ino == info.Sys().(*syscall.Stat_t).Ino:
		return fmt.Errorf("'%s' and '%s' are the same file", from, to)
	case info.IsDir():
		return c.copyDir(from, to, info)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := files.ReadLink(c.p.Path(from))
		if err != nil {
			return err
		}
		return files.Symlink(target, c.p.Path(to))
	}
	content, err := files.ReadFile(c.p.Path(from))
	if err != nil {
		return err
	}
	if err := files.WriteFile(c.p.Path(to), content, c.p.newMode(info.Mode().Perm())); err != nil {
		return fmt.Errorf("cannot create or write '%s': %s", to, errnoText(err))
	}
	return c.attributes(to, info)
}

func (c copying) copyDir(from, to string, info fs.FileInfo) error {
	if !c.recursive {
		return fmt.Errorf("-r not specified; omitting directory '%s'", from)
	}
	files := c.p.FS
	if strings.HasPrefix(path.Clean(c.p.Path(to))+"/", path.Clean(c.p.Path(from))+"/") {
		return fmt.Errorf("cannot copy a directory, '%s', into itself, '%s'", from, to)
	}
	if err := files.Mkdir(c.p.Path(to), c.p.newMode(info.Mode().Perm())); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot create directory '%s': %s", to, errnoText(err))
	}
	entries, err := files.ReadDir(c.p.Path(from))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := c.copy(from+"/"+entry.Name(), to+"/"+entry.Name()); err != nil {
			return err
		}
	}
	return c.attributes(to, info)
}

func (c copying) attributes(to string, info fs.FileInfo) error {
	if !c.keep {
		return nil
	}
	if err := c.p.FS.Chmod(c.p.Path(to), info.Mode()); err != nil {
		return err
	}
	return c.p.FS.Chtimes(c.p.Path(to), info.ModTime(), info.ModTime())
}

func mv(_ context.Context, p *Process) int {
	o, err := p.options("fnTt:", map[string]rune{"force": 'f', "no-clobber": 'n', "no-target-directory": 'T', "target-directory": 't'})
	if err != nil {
		return p.usage(1, err)
	}
	sources, to, err := p.destinations(o)
	if err != nil {
		return p.usage(1, err)
	}
	code := 0
	for _, source := range sources {
		target := to(source)
		if _, err := p.FS.Lstat(p.Path(source)); err != nil {
			code = p.Errorf("cannot stat '%s': %s", source, errnoText(err))
			continue
		}
		if _, err := p.FS.Lstat(p.Path(target)); err == nil && o.has('n') {
			continue
		}
		if err := p.FS.Rename(p.Path(source), p.Path(target)); err != nil {
			code = p.Errorf("cannot move '%s' to '%s': %s", source, target, errnoText(err))
		}
	}
	return code
}

func rm(_ context.Context, p *Process) int {
	o, err := p.options("rRfdv", map[string]rune{"recursive": 'r', "force": 'f', "dir": 'd'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		if o.has('f') {
			return 0
		}
		return p.missing()
	}
	code := 0
	for _, name := range o.operands {
		if err := p.remove(name, o); err != nil {
			code = p.Errorf("cannot remove '%s': %s", name, errnoText(err))
		}
	}
	return code
}

func (p *Process) remove(name string, o *options) error {
	info, err := p.FS.Lstat(p.Path(name))
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	switch {
	case missing && o.has('f'):
		return nil
	case err != nil:
		return err
	case info.IsDir() && (o.has('r') || o.has('R')):
		return p.FS.RemoveAll(p.Path(name))
	case info.IsDir() && !o.has('d'):
		return syscall.EISDIR
	}
	return p.FS.Remove(p.Path(name))
}

func rmdir(_ context.Context, p *Process) int {
	o, err := p.options("", nil)
	if err != nil {
		return p.usage(1, err)
	}
	code := 0
	for _, name := range o.operands {
		info, err := p.FS.Lstat(p.Path(name))
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err == nil {
			err = p.FS.Remove(p.Path(name))
		}
		if err != nil {
			code = p.Errorf("failed to remove '%s': %s", name, errnoText(err))
		}
	}
	return code
}

// install copies files with a mode: install [-m MODE] SOURCE… TARGET, and -d to make
// directories.
func install(_ context.Context, p *Process) int {
	o, err := p.options("m:dDo:g:", map[string]rune{"mode": 'm', "directory": 'd', "owner": 'o', "group": 'g'})
	if err != nil {
		return p.usage(1, err)
	}
	mode := fs.FileMode(0o755)
	if o.has('m') {
		if mode, err = parseMode(o.value('m'), 0); err != nil {
			return p.usage(1, err)
		}
	}
	if o.has('d') {
		for _, name := range o.operands {
			if err := p.FS.MkdirAll(p.Path(name), 0o755); err != nil {
				return p.Errorf("cannot create directory '%s': %s", name, errnoText(err))
			}
			if err := p.FS.Chmod(p.Path(name), mode); err != nil {
				return p.fail(1, err)
			}
		}
		return 0
	}
	sources, to, err := p.destinations(o)
	if err != nil {
		return p.usage(1, err)
	}
	for _, source := range sources {
		if err := p.installOne(source, to(source), mode, o.has('D')); err != nil {
			return p.fail(1, err)
		}
	}
	return 0
}

// installOne replaces the target by a new file, so that programs that run keep the
// old one.
func (p *Process) installOne(source, target string, mode fs.FileMode, parents bool) error {
	content, err := p.slurp(source)
	if err != nil {
		return fmt.Errorf("cannot stat '%s': %s", source, errnoText(err))
	}
	if parents {
		if err := p.FS.MkdirAll(path.Dir(p.Path(target)), 0o755); err != nil {
			return err
		}
	}
	if err := p.FS.Remove(p.Path(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove '%s': %s", target, errnoText(err))
	}
	if err := p.FS.WriteFile(p.Path(target), content, mode); err != nil {
		return fmt.Errorf("cannot create regular file '%s': %s", target, errnoText(err))
	}
	return p.FS.Chmod(p.Path(target), mode)
}
