package shell

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// archive is what tar was asked to do.
type archive struct {
	p       *Process
	mode    byte // c, x or t
	file    string
	dir     string // where members are looked for, or put
	steps   []archiveStep
	exclude []*regexp.Regexp
	stdout  bool // -O: contents to the standard output
	verbose bool
	gzip    bool
	warned  bool
}

// archiveStep is a directory to go to, or a member.
type archiveStep struct {
	dir    bool
	member string
}

// tarProgram makes, lists and extracts real archives. The order of --directory and
// of members matters, as it does for GNU tar.
func tarProgram(_ context.Context, p *Process) int {
	a := &archive{p: p, dir: p.Dir, file: "-"}
	if err := a.arguments(p.Args[1:]); err != nil {
		return p.usage(2, err)
	}
	var err error
	switch a.mode {
	case 'c':
		err = a.create()
	case 'x', 't':
		err = a.read()
	default:
		err = errors.New("You must specify one of the '-cxt' options") //nolint:staticcheck // as tar says it
	}
	if err != nil {
		return p.fail(2, err)
	}
	if a.warned {
		return 2
	}
	return 0
}

// tarFlags are the long flags and the letters they stand for; those without a
// letter have one here.
var tarFlags = map[string]byte{
	"create": 'c', "extract": 'x', "get": 'x', "list": 't', "file": 'f', "directory": 'C', "files-from": 'T', "exclude-from": 'X',
	"to-stdout": 'O', "verbose": 'v', "gzip": 'z', "preserve-permissions": 'p', "numeric-owner": 'p', "anchored": 'p', "absolute-names": 'P',
	"exclude": 'e',
}

// arguments parses what was given. The first word may be letters without a dash.
func (a *archive) arguments(args []string) error {
	for first := true; len(args) > 0; first = false {
		word, rest := args[0], args[1:]
		var err error
		switch {
		case strings.HasPrefix(word, "--"):
			rest, err = a.long(word, rest)
		case strings.HasPrefix(word, "-") && len(word) > 1:
			rest, err = a.letters(word[1:], rest, true)
		case first:
			rest, err = a.letters(word, rest, false)
		default:
			a.steps = append(a.steps, archiveStep{member: word})
		}
		if err != nil {
			return err
		}
		args = rest
	}
	return nil
}

func (a *archive) long(word string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(word[2:], "=")
	letter, known := tarFlags[name]
	switch {
	case !known:
		return nil, fmt.Errorf("unrecognized option '%s'", word)
	case given:
		return rest, a.flag(letter, value)
	}
	return a.letters(string(letter), rest, false)
}

// letters takes flags; the value of one is what follows it in the word, where it
// may be attached, or else the next argument.
func (a *archive) letters(letters string, rest []string, attached bool) ([]string, error) {
	for i := range len(letters) {
		value := ""
		if strings.IndexByte("fCTXe", letters[i]) >= 0 {
			if value = letters[i+1:]; attached && value != "" {
				return rest, a.flag(letters[i], value)
			}
			if len(rest) == 0 {
				return nil, fmt.Errorf("option requires an argument -- '%c'", letters[i])
			}
			value, rest = rest[0], rest[1:]
		}
		if err := a.flag(letters[i], value); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (a *archive) flag(letter byte, value string) error {
	switch letter {
	case 'c', 'x', 't':
		a.mode = letter
	case 'f':
		a.file = value
	case 'C':
		a.steps = append(a.steps, archiveStep{dir: true, member: value})
	case 'O':
		a.stdout = true
	case 'v':
		a.verbose = true
	case 'z':
		a.gzip = true
	case 'p', 'P':
	case 'T', 'X':
		text, err := a.p.slurp(value)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if letter == 'X' {
				a.leaveOut(line)
			} else {
				a.steps = append(a.steps, archiveStep{member: line})
			}
		}
	case 'e':
		a.leaveOut(value)
	default:
		return fmt.Errorf("invalid option -- '%c'", letter)
	}
	return nil
}

// leaveOut excludes what matches the pattern from its start on, and all below it.
func (a *archive) leaveOut(pattern string) {
	text := regexp.QuoteMeta(strings.TrimSuffix(pattern, "/"))
	text = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(text)
	a.exclude = append(a.exclude, regexp.MustCompile(`^(?s:`+text+`)(/|$)`))
}

func (a *archive) create() error {
	out := a.p.Stdout
	if a.file != "-" {
		f, err := a.p.FS.OpenFile(a.p.Path(a.file), writeNew, a.p.newMode(0o666))
		if err != nil {
			return named(a.file, err)
		}
		defer f.Close() //nolint:errcheck // in memory
		out = f
	}
	var ends []io.Closer
	if a.gzip {
		z := gzip.NewWriter(out)
		out, ends = z, append(ends, z)
	}
	w := tar.NewWriter(out)
	ends = append(ends, w)
	for _, step := range a.steps {
		if step.dir {
			a.chdir(step.member)
			continue
		}
		if err := a.add(w, strings.TrimLeft(step.member, "/")); err != nil {
			return err
		}
	}
	for _, end := range slices.Backward(ends) {
		if err := end.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) chdir(dir string) {
	if strings.HasPrefix(dir, "/") {
		a.dir = dir
		return
	}
	a.dir += "/" + dir
}

// add adds a member and what is below it. One that is not there is told of.
func (a *archive) add(w *tar.Writer, name string) error {
	if slices.ContainsFunc(a.exclude, func(re *regexp.Regexp) bool { return re.MatchString(name) }) {
		return nil
	}
	file := a.dir + "/" + name
	info, err := a.p.FS.Lstat(file)
	if err != nil {
		a.p.Errorf("%s: Cannot stat: %s", name, errnoText(err))
		a.warned = true
		return nil
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = a.p.FS.ReadLink(file); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	header.Name = strings.TrimSuffix(name, "/")
	header.ModTime, header.AccessTime, header.ChangeTime = info.ModTime().Truncate(time.Second), time.Time{}, time.Time{}
	header.Uname, header.Gname, header.Format = "", "", tar.FormatGNU
	if info.IsDir() {
		header.Name += "/"
	}
	content := []byte(nil)
	if info.Mode().IsRegular() {
		if content, err = a.p.FS.ReadFile(file); err != nil {
			return err
		}
		header.Size = int64(len(content))
	}
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := w.Write(content); err != nil || !info.IsDir() {
		return err
	}
	entries, err := a.p.FS.ReadDir(file)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := a.add(w, header.Name+entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// read lists or extracts.
func (a *archive) read() error {
	in, err := a.p.source(a.file)
	if err != nil {
		return err
	}
	defer in.Close()
	var from io.Reader = in
	if a.gzip {
		if from, err = gzip.NewReader(in); err != nil {
			return fmt.Errorf("%s: %w", a.file, err)
		}
	}
	var wanted []string
	for _, step := range a.steps {
		if step.dir {
			a.chdir(step.member)
		} else {
			wanted = append(wanted, strings.Trim(step.member, "/"))
		}
	}
	found := map[string]bool{}
	r := tar.NewReader(from)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.file, err)
		}
		member, ok := selected(strings.Trim(header.Name, "/"), wanted)
		if !ok {
			continue
		}
		found[member] = true
		if err := a.one(header, r); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		if !found[name] {
			a.p.Errorf("%s: Not found in archive", name)
			a.warned = true
		}
	}
	return nil
}

// selected tells whether a member was asked for, and through which name.
func selected(name string, wanted []string) (string, bool) {
	for _, w := range wanted {
		if name == w || strings.HasPrefix(name, w+"/") {
			return w, true
		}
	}
	return "", len(wanted) == 0
}

// one lists or extracts one member.
func (a *archive) one(header *tar.Header, r io.Reader) error {
	if a.mode == 't' || a.verbose {
		if _, err := fmt.Fprintln(a.p.Stdout, header.Name); err != nil || a.mode == 't' {
			return err
		}
	}
	if a.stdout {
		_, err := io.Copy(a.p.Stdout, r)
		return err
	}
	file := path.Join(a.dir, path.Clean("/"+header.Name))
	mode := header.FileInfo().Mode().Perm()
	if err := a.p.FS.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		if err = a.p.FS.MkdirAll(file, mode); err == nil {
			err = a.p.FS.Chmod(file, mode)
		}
	case tar.TypeSymlink:
		if err = a.p.FS.Remove(file); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = a.p.FS.Symlink(header.Linkname, file)
		}
		return err
	default:
		err = a.restore(file, mode, r)
	}
	if err != nil {
		return err
	}
	return a.p.FS.Chtimes(file, header.ModTime, header.ModTime)
}

func (a *archive) restore(file string, mode fs.FileMode, r io.Reader) error {
	if err := a.p.FS.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return a.p.FS.WriteFile(file, content, mode)
}
