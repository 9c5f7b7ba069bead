package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// How long things take on a real machine.
const (
	updateTime   = 3 * time.Second
	downloadTime = 8 * time.Second
	unpackTime   = 3 * time.Second
	configTime   = time.Second
	lockPolling  = time.Second // as apt waits for dpkg's lock
)

// System is the package manager of one host. Its fields are set before its
// programs run.
type System struct {
	Host         string
	Architecture string
	Repository   *Repository
	// Wait takes as long as something that takes d on a real machine.
	Wait func(ctx context.Context, d time.Duration) error
	// Mutated is told of every command that is about to change something.
	Mutated func(argv []string)
	// Unpacked is told of every package whose files were replaced.
	Unpacked func(f *vfs.FS, name string)
}

// Programs are apt's and dpkg's.
func (s *System) Programs() map[string]shell.Program {
	return map[string]shell.Program{
		"apt-get": s.aptGet, "apt-cache": s.aptCache, "apt-mark": s.aptMark, "apt-config": s.aptConfig, "apt-helper": s.aptHelper,
		"dpkg": s.dpkg, "dpkg-query": s.dpkgQuery,
	}
}

// Install puts packages onto a host that is being made, without asking any
// repository and without taking time.
func (s *System) Install(f *vfs.FS, packages ...Package) error {
	for _, dir := range []string{updatesDir, listsDir + "/partial", archivesDir + "/partial"} {
		if err := f.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("packages of %s: %w", s.Host, err)
		}
	}
	d, err := readDatabase(f, statusFile)
	if err != nil {
		return fmt.Errorf("packages of %s: %w", s.Host, err)
	}
	for _, p := range packages {
		if err := unpack(f, &p); err != nil {
			return fmt.Errorf("install %s on %s: %w", p.Name, s.Host, err)
		}
		d.set(&p, s.Architecture, installed)
	}
	return d.save(f)
}

// Hold puts packages on hold.
func (s *System) Hold(f *vfs.FS, names ...string) error {
	d, err := readDatabase(f, statusFile)
	if err != nil {
		return fmt.Errorf("hold packages of %s: %w", s.Host, err)
	}
	for _, name := range names {
		if e := d.find(name); e != nil {
			e.want = "hold"
		}
	}
	return d.save(f)
}

const fileOfProgram = "/usr/bin/"

// unpack writes a package's files: each is replaced whole, and the old ones stay
// when there is no room.
func unpack(f *vfs.FS, p *Package) error {
	var names []string
	for name := range p.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := f.MkdirAll(name[:strings.LastIndex(name, "/")+1], 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, fileOfProgram) {
			mode = 0o755
		}
		if err := f.WriteFile(name+".dpkg-new", []byte(p.Files[name]), mode); err != nil {
			return errors.Join(err, f.RemoveAll(name+".dpkg-new"))
		}
	}
	for _, name := range names {
		if err := f.Rename(name+".dpkg-new", name); err != nil {
			return err
		}
	}
	return nil
}

// locked takes a lock, waiting for at most timeout. The error is what apt says.
func (s *System) locked(ctx context.Context, f *vfs.FS, file string, timeout time.Duration) (release func(), err error) {
	for waited := time.Duration(0); ; waited += lockPolling {
		release, err = f.TryLock(file, false)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, words(err, "E: Could not open lock file %s - open (%v)", file, err)
		}
		if waited >= timeout {
			break
		}
		if err := s.Wait(ctx, lockPolling); err != nil {
			return nil, err
		}
	}
	const held = "E: Could not get lock %s. It is held by process 4711 (unattended-upgr)"
	switch file {
	case listsLock:
		return nil, words(nil, held+"\nE: Unable to lock directory %s/", file, listsDir)
	case archivesLock:
		return nil, words(nil, held+"\nE: Unable to lock the download directory", file)
	}
	return nil, words(nil, held+"\nN: Be aware that removing the lock file is not a solution and may break your system.\n"+
		"E: Unable to acquire the dpkg frontend lock (%s), is another process using it?", file, frontendLock)
}

// Lock takes all of a host's package manager locks, as another package manager does.
func Lock(f *vfs.FS) (release func(), err error) {
	var held []func()
	release = func() {
		for _, let := range held {
			let()
		}
	}
	for _, file := range []string{frontendLock, listsLock, archivesLock} {
		let, err := f.TryLock(file, false)
		if err != nil {
			release()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		held = append(held, let)
	}
	return release, nil
}
