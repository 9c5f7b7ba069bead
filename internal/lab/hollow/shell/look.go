package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ls lists names, one a line: ls [-1aAdl] [FILE]…
func ls(_ context.Context, p *Process) int {
	o, err := p.options("1aAdl", map[string]rune{"all": 'a', "almost-all": 'A', "directory": 'd'})
	if err != nil {
		return p.usage(2, err)
	}
	names := o.operands
	if len(names) == 0 {
		names = []string{"."}
	}
	var files, dirs []string
	code := 0
	for _, name := range names {
		info, err := p.FS.Lstat(p.Path(name))
		switch {
		case err != nil:
			p.Errorf("cannot access '%s': %s", name, errnoText(err))
			code = 2
		case !o.has('d') && p.isDir(name, info, o.has('l')):
			dirs = append(dirs, name)
		default:
			files = append(files, name)
		}
	}
	slices.Sort(files)
	slices.Sort(dirs)
	var out strings.Builder
	for _, name := range files {
		p.listed(&out, name, name, o.has('l'))
	}
	for i, dir := range dirs {
		if len(names) > 1 {
			if i > 0 || len(files) > 0 {
				out.WriteString("\n")
			}
			out.WriteString(dir + ":\n")
		}
		entries, err := p.FS.ReadDir(p.Path(dir))
		if err != nil {
			p.fail(2, err)
			code = 2
			continue
		}
		if o.has('a') {
			out.WriteString(".\n..\n")
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") || o.has('a') || o.has('A') {
				p.listed(&out, dir+"/"+entry.Name(), entry.Name(), o.has('l'))
			}
		}
	}
	_, err = io.WriteString(p.Stdout, out.String())
	return p.written(code, err)
}

// isDir tells whether a name is listed as a directory; a link to one is, but not
// in the long form.
func (p *Process) isDir(name string, info fs.FileInfo, long bool) bool {
	if info.Mode()&fs.ModeSymlink != 0 && !long {
		if target, err := p.FS.Stat(p.Path(name)); err == nil {
			return target.IsDir()
		}
	}
	return info.IsDir()
}

func (p *Process) listed(out *strings.Builder, file, name string, long bool) {
	info, err := p.FS.Lstat(p.Path(file))
	if !long || err != nil {
		out.WriteString(name + "\n")
		return
	}
	if target, err := p.FS.ReadLink(p.Path(file)); err == nil {
		name += " -> " + target
	}
	fmt.Fprintf(out, "%s 1 root root %d %s %s\n", modeText(info.Mode()), info.Size(), info.ModTime().UTC().Format("Jan _2 15:04"), name)
}

// modeText is a mode as ls -l prints it.
func modeText(mode fs.FileMode) string {
	kind := "-"
	switch {
	case mode.IsDir():
		kind = "d"
	case mode&fs.ModeSymlink != 0:
		kind = "l"
	case mode&fs.ModeDevice != 0:
		kind = "c"
	}
	return kind + mode.Perm().String()[1:]
}

// octal is a mode as chmod takes it.
func octal(mode fs.FileMode) string {
	bits := uint64(mode.Perm())
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return strconv.FormatUint(bits, 8)
}

// stat prints what -c asks for: stat [-L] -c FORMAT FILE…
func stat(_ context.Context, p *Process) int {
	o, err := p.options("Lc:", map[string]rune{"dereference": 'L', "format": 'c'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 || !o.has('c') {
		return p.Errorf("give -c FORMAT and a file; other forms are not modelled")
	}
	code := 0
	for _, name := range o.operands {
		look := p.FS.Lstat
		if o.has('L') {
			look = p.FS.Stat
		}
		info, err := look(p.Path(name))
		if err != nil {
			code = p.Errorf("cannot statx '%s': %s", name, errnoText(err))
			continue
		}
		text, err := statText(o.value('c'), name, info)
		if err != nil {
			return p.usage(1, err)
		}
		if _, err := fmt.Fprintln(p.Stdout, text); err != nil {
			return p.written(code, err)
		}
	}
	return code
}

func statText(format, name string, info fs.FileInfo) (string, error) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch format[i] {
		case '%':
			out.WriteByte('%')
		case 's':
			out.WriteString(strconv.FormatInt(info.Size(), 10))
		case 'a':
			out.WriteString(octal(info.Mode()))
		case 'A':
			out.WriteString(modeText(info.Mode()))
		case 'n':
			out.WriteString(name)
		case 'F':
			out.WriteString(kind(info))
		case 'u', 'g':
			out.WriteString("0")
		case 'U', 'G':
			out.WriteString("root")
		case 'Y':
			out.WriteString(strconv.FormatInt(info.ModTime().Unix(), 10))
		case 'i':
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				out.WriteString(strconv.FormatUint(sys.Ino, 10))
			}
		default:
			return "", fmt.Errorf("the format %%%c is not modelled", format[i])
		}
	}
	return out.String(), nil
}

func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeDevice != 0:
		return "character special file"
	case info.Size() == 0:
		return "regular empty file"
	}
	return "regular file"
}

// finding is what find looks for.
type finding struct {
	names  []string // patterns, all must match
	kind   string   // f, d or l
	deep   int      // negative: no limit
	out    strings.Builder
	failed bool
}

// find walks trees: find [DIRECTORY]… [-name P] [-type T] [-maxdepth N] [-print].
func find(_ context.Context, p *Process) int {
	args := p.Args[1:]
	var roots []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	f := &finding{deep: -1}
	if err := f.arguments(args); err != nil {
		return p.usage(1, err)
	}
	for _, root := range roots {
		f.walk(p, root, 0)
	}
	code := 0
	if f.failed {
		code = 1
	}
	_, err := io.WriteString(p.Stdout, f.out.String())
	return p.written(code, err)
}

func (f *finding) arguments(args []string) error {
	for len(args) > 0 {
		name := args[0]
		if args = args[1:]; name == "-print" {
			continue
		}
		if len(args) == 0 {
			return fmt.Errorf("missing argument to '%s'", name)
		}
		value := args[0]
		args = args[1:]
		var err error
		switch name {
		case "-name":
			_, err = path.Match(value, "")
			f.names = append(f.names, value)
		case "-type":
			f.kind = value
		case "-maxdepth":
			f.deep, err = strconv.Atoi(value)
		default:
			err = errors.New("the predicate is not modelled")
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, value, err)
		}
	}
	return nil
}

func (f *finding) walk(p *Process, name string, depth int) {
	info, err := p.FS.Lstat(p.Path(name))
	if err != nil {
		p.Errorf("'%s': %s", name, errnoText(err))
		f.failed = true
		return
	}
	if f.matches(info) {
		f.out.WriteString(name + "\n")
	}
	if !info.IsDir() || depth == f.deep {
		return
	}
	entries, err := p.FS.ReadDir(p.Path(name))
	if err != nil {
		return // it has just gone
	}
	for _, entry := range entries {
		f.walk(p, strings.TrimSuffix(name, "/")+"/"+entry.Name(), depth+1)
	}
}

func (f *finding) matches(info fs.FileInfo) bool {
	for _, pattern := range f.names {
		if ok, err := path.Match(pattern, info.Name()); !ok || err != nil {
			return false
		}
	}
	switch f.kind {
	case "f":
		return info.Mode().IsRegular()
	case "d":
		return info.IsDir()
	case "l":
		return info.Mode()&fs.ModeSymlink != 0
	}
	return true
}
