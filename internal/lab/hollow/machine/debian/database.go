package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// Where dpkg and apt keep things.
const (
	statusFile   = "/var/lib/dpkg/status"
	updatesDir   = "/var/lib/dpkg/updates"
	frontendLock = "/var/lib/dpkg/lock-frontend"
	databaseLock = "/var/lib/dpkg/lock"
	listsDir     = "/var/lib/apt/lists"
	listsLock    = listsDir + "/lock"
	archivesDir  = "/var/cache/apt/archives"
	archivesLock = archivesDir + "/lock"
)

// What dpkg says a package is.
const (
	installed     = "installed"
	halfInstalled = "half-installed"
	unpacked      = "unpacked"
	halfConfig    = "half-configured"
)

// entry is a package's paragraph in dpkg's database.
type entry struct {
	name   string
	want   string // install, hold
	status string
	rest   []string // the other lines, in order
}

func (e *entry) field(name string) string {
	for _, line := range e.rest {
		if value, found := strings.CutPrefix(line, name+": "); found {
			return value
		}
	}
	return ""
}

func (e *entry) version() string { return e.field("Version") }

// database is dpkg's database, as read from one of its files.
type database struct {
	entries []*entry
}

// readDatabase reads the file; an absent one is empty.
func readDatabase(f *vfs.FS, file string) (*database, error) {
	raw, err := f.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &database{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dpkg's database: %w", err)
	}
	d := &database{}
	for paragraph := range strings.SplitSeq(string(raw), "\n\n") {
		if e := readEntry(paragraph); e.name != "" {
			d.entries = append(d.entries, e)
		}
	}
	return d, nil
}

func readEntry(paragraph string) *entry {
	e := &entry{}
	for line := range strings.SplitSeq(strings.Trim(paragraph, "\n"), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch words := strings.Fields(value); {
		case key == "Package":
			e.name = value
		case key == "Status" && len(words) == 3:
			e.want, e.status = words[0], words[2]
		default:
			e.rest = append(e.rest, line)
		}
	}
	return e
}

// save replaces the database whole, as dpkg does.
func (d *database) save(f *vfs.FS) error {
	var b strings.Builder
	for _, e := range d.entries {
		fmt.Fprintf(&b, "Package: %s\nStatus: %s ok %s\n%s\n\n", e.name, e.want, e.status, strings.Join(e.rest, "\n"))
	}
	if err := f.WriteFile(statusFile+"-new", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return f.Rename(statusFile+"-new", statusFile)
}

// find gives the package's entry, or nil.
func (d *database) find(name string) *entry {
	i := slices.IndexFunc(d.entries, func(e *entry) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return d.entries[i]
}

// set notes a package's state; its hold stays.
func (d *database) set(p *Package, architecture, status string) {
	e := d.find(p.Name)
	if e == nil {
		e = &entry{name: p.Name, want: "install"}
		d.entries = append(d.entries, e)
		slices.SortFunc(d.entries, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	}
	e.status = status
	e.rest = strings.Split(strings.TrimSuffix(p.control(architecture), "\n"), "\n")
}

// interrupted tells whether dpkg was cut short and wants to be run first.
func interrupted(f *vfs.FS) bool {
	entries, err := f.ReadDir(updatesDir)
	return err == nil && len(entries) > 0
}

// Version is the installed version of a package; empty when it is not installed,
// or not wholly.
func Version(f *vfs.FS, name string) (string, error) {
	d, err := readDatabase(f, statusFile)
	if err != nil {
		return "", err
	}
	if e := d.find(name); e != nil && e.status == installed {
		return e.version(), nil
	}
	return "", nil
}

// Held are the packages on hold.
func Held(f *vfs.FS) ([]string, error) {
	d, err := readDatabase(f, statusFile)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range d.entries {
		if e.want == "hold" {
			out = append(out, e.name)
		}
	}
	return out, nil
}
