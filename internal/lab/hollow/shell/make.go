package shell

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// writeNew opens a file for new content.
const writeNew = os.O_WRONLY | os.O_CREATE | os.O_TRUNC

// parseMode reads a mode: octal, or symbolic such as u+x,go-w.
func parseMode(text string, now fs.FileMode) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(text, 8, 12); err == nil {
		mode := fs.FileMode(n & 0o777)
		for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
			if n&bit != 0 {
				mode |= flag
			}
		}
		return mode, nil
	}
	mode := now
	for clause := range strings.SplitSeq(text, ",") {
		who := strings.TrimRight(clause, "+-=rwxX")
		action := clause[len(who):]
		if action == "" || strings.Trim(who, "ugoa") != "" || strings.IndexByte("+-=", action[0]) < 0 || strings.Trim(action[1:], "rwxX") != "" {
			return 0, fmt.Errorf("invalid mode: '%s'", text)
		}
		mode = altered(mode, who, action[0], action[1:])
	}
	return mode, nil
}

// altered does one symbolic clause.
func altered(mode fs.FileMode, who string, operator byte, letters string) fs.FileMode {
	if who == "" || strings.Contains(who, "a") {
		who = "ugo"
	}
	var bits, all fs.FileMode
	for _, class := range who {
		shift := map[rune]int{'u': 6, 'g': 3, 'o': 0}[class]
		all |= 0o7 << shift
		for _, letter := range letters {
			value := map[rune]fs.FileMode{'r': 4, 'w': 2, 'x': 1}[letter]
			if letter == 'X' && (mode.IsDir() || mode&0o111 != 0) {
				value = 1
			}
			bits |= value << shift
		}
	}
	switch operator {
	case '+':
		return mode | bits
	case '-':
		return mode &^ bits
	}
	return mode&^all | bits
}

func mkdir(_ context.Context, p *Process) int {
	o, err := p.options("pm:v", map[string]rune{"parents": 'p', "mode": 'm'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	mode := p.newMode(0o777)
	if o.has('m') {
		if mode, err = parseMode(o.value('m'), mode); err != nil {
			return p.usage(1, err)
		}
	}
	code := 0
	for _, name := range o.operands {
		if err := p.makeDir(p.Path(name), mode, o.has('p')); err != nil {
			code = p.Errorf("cannot create directory '%s': %s", name, errnoText(err))
		}
	}
	return code
}

// makeDir makes a directory. Only the last one gets a mode that was asked for.
func (p *Process) makeDir(name string, mode fs.FileMode, parents bool) error {
	if !parents {
		return p.FS.Mkdir(name, mode)
	}
	if info, err := p.FS.Stat(name); err == nil {
		if !info.IsDir() {
			return syscall.EEXIST
		}
		return nil
	}
	if err := p.FS.MkdirAll(path.Dir(path.Clean(name)), p.newMode(0o777)|0o300); err != nil {
		return err
	}
	if err := p.FS.Mkdir(name, mode); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// mktemp makes a new file or, with -d, directory: mktemp [-dq] [-p DIR] [TEMPLATE].
func mktemp(_ context.Context, p *Process) int {
	o, err := p.options("dqp:t", map[string]rune{"directory": 'd', "quiet": 'q', "tmpdir": 'p', "suffix": 's'})
	if err != nil {
		return p.usage(1, err)
	}
	template := "tmp.XXXXXXXXXX"
	dir := "/tmp"
	if len(o.operands) > 0 {
		template, dir = o.operands[0], ""
	}
	if o.has('p') {
		dir = o.value('p')
	}
	if o.has('t') && dir == "" {
		dir = "/tmp"
	}
	if dir != "" {
		template = dir + "/" + template
	}
	end := strings.LastIndex(template, "X") + 1
	begin := len(strings.TrimRight(template[:end], "X"))
	if end-begin < 3 {
		return p.Errorf("too few X's in template '%s'", template)
	}
	for range 100 {
		name := template[:begin] + strings.Repeat(rand.Text(), 1+(end-begin)/26)[:end-begin] + template[end:]
		if o.has('d') {
			err = p.FS.Mkdir(p.Path(name), 0o700)
		} else if f, opened := p.FS.OpenFile(p.Path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); opened == nil {
			err = f.Close()
		} else {
			err = opened
		}
		if err == nil {
			_, err = fmt.Fprintln(p.Stdout, name)
			return p.written(0, err)
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return p.Errorf("failed to create file or directory via template '%s': %s", template, errnoText(err))
}

func touch(_ context.Context, p *Process) int {
	o, err := p.options("cam", map[string]rune{"no-create": 'c'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	code := 0
	for _, name := range o.operands {
		file := p.Path(name)
		_, err := p.FS.Stat(file)
		switch {
		case err == nil:
			now := p.Shell.now()
			err = p.FS.Chtimes(file, now, now)
		case errors.Is(err, fs.ErrNotExist) && o.has('c'):
			err = nil
		default:
			err = p.FS.WriteFile(file, nil, p.newMode(0o666))
		}
		if err != nil {
			code = p.Errorf("cannot touch '%s': %s", name, errnoText(err))
		}
	}
	return code
}

func chmod(_ context.Context, p *Process) int {
	o, err := p.options("Rf", map[string]rune{"recursive": 'R'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) < 2 {
		return p.missing()
	}
	code := 0
	for _, name := range o.operands[1:] {
		if err := p.chmod(p.Path(name), o.operands[0], o.has('R')); err != nil {
			code = p.Errorf("cannot access '%s': %s", name, errnoText(err))
		}
	}
	return code
}

func (p *Process) chmod(name, mode string, recursive bool) error {
	info, err := p.FS.Stat(name)
	if err != nil {
		return err
	}
	bits, err := parseMode(mode, info.Mode())
	if err != nil {
		return err
	}
	if err := p.FS.Chmod(name, bits); err != nil || !recursive || !info.IsDir() {
		return err
	}
	entries, err := p.FS.ReadDir(name)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink != 0 {
			continue
		}
		if err := p.chmod(name+"/"+entry.Name(), mode, true); err != nil {
			return err
		}
	}
	return nil
}

// chown changes nothing, since there are no owners, but finds what it is asked for.
func chown(_ context.Context, p *Process) int {
	o, err := p.options("Rhf", map[string]rune{"recursive": 'R', "no-dereference": 'h'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) < 2 {
		return p.missing()
	}
	code := 0
	for _, name := range o.operands[1:] {
		if _, err := p.FS.Lstat(p.Path(name)); err != nil {
			code = p.Errorf("cannot access '%s': %s", name, errnoText(err))
		}
	}
	return code
}

// ln makes links: ln -s [-fn] TARGET NAME. There are no hard links.
func ln(_ context.Context, p *Process) int {
	o, err := p.options("sfnT", map[string]rune{"symbolic": 's', "force": 'f', "no-dereference": 'n', "no-target-directory": 'T'})
	if err != nil {
		return p.usage(1, err)
	}
	if !o.has('s') {
		return p.Errorf("hard links are not modelled")
	}
	if len(o.operands) != 2 {
		return p.missing()
	}
	target, name := o.operands[0], p.Path(o.operands[1])
	look := p.FS.Stat
	if o.has('n') || o.has('T') {
		look = p.FS.Lstat
	}
	if info, err := look(name); err == nil && info.IsDir() && !o.has('T') {
		name += "/" + path.Base(target)
	}
	if o.has('f') {
		if err := p.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p.fail(1, err)
		}
	}
	if err := p.FS.Symlink(target, name); err != nil {
		return p.Errorf("failed to create symbolic link '%s': %s", o.operands[1], errnoText(err))
	}
	return 0
}

// readlink prints where a link points or, with -f, what a path leads to.
func readlink(_ context.Context, p *Process) int {
	o, err := p.options("fen", map[string]rune{"canonicalize": 'f', "canonicalize-existing": 'e', "no-newline": 'n'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	code := 0
	for _, name := range o.operands {
		var target string
		if o.has('f') || o.has('e') {
			target, err = p.canonical(name, o.has('e'))
		} else {
			target, err = p.FS.ReadLink(p.Path(name))
		}
		if err != nil {
			code = 1 // without a word, as the real one
			continue
		}
		if !o.has('n') {
			target += "\n"
		}
		if _, err := fmt.Fprint(p.Stdout, target); err != nil {
			return p.written(code, err)
		}
	}
	return code
}

func realpath(_ context.Context, p *Process) int {
	o, err := p.options("e", map[string]rune{"canonicalize-existing": 'e'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	code := 0
	for _, name := range o.operands {
		target, err := p.canonical(name, o.has('e'))
		if err != nil {
			code = p.fail(1, named(name, err))
			continue
		}
		if _, err := fmt.Fprintln(p.Stdout, target); err != nil {
			return p.written(code, err)
		}
	}
	return code
}

// canonical gives the path without links; its last component may be missing,
// unless exists is asked for.
func (p *Process) canonical(name string, exists bool) (string, error) {
	if exists {
		if _, err := p.FS.Stat(p.Path(name)); err != nil {
			return "", err
		}
	}
	return p.FS.Resolve(p.Path(name))
}
