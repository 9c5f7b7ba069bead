package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// unpackAll is dpkg's part of an installation: first all files, then all
// configuration. It notes every step before it is taken, so that a power cut
// leaves a database that says what was going on.
func (s *System) unpackAll(ctx context.Context, p *shell.Process, todo []candidate) error {
	journal := path.Join(updatesDir, "0001")
	if err := p.FS.MkdirAll(updatesDir, 0o755); err != nil {
		return err
	}
	if err := p.FS.WriteFile(journal, nil, 0o644); err != nil {
		return subprocess(err)
	}
	for _, t := range todo {
		if err := s.unpackOne(ctx, p, &t.Package); err != nil {
			if ctx.Err() != nil {
				return err // the journal stays
			}
			return errors.Join(subprocess(err), p.FS.Remove(journal))
		}
	}
	for _, t := range todo {
		_, _ = fmt.Fprintf(p.Stdout, "Setting up %s (%s) ...\n", t.Name, t.Version)
		if err := s.become(p.FS, &t.Package, halfConfig); err != nil {
			return err
		}
		if err := s.Wait(ctx, configTime); err != nil {
			return err
		}
		if err := s.become(p.FS, &t.Package, installed); err != nil {
			return err
		}
	}
	return p.FS.Remove(journal)
}

// subprocess is dpkg's error as apt passes it on.
func subprocess(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("cannot copy extracted data: failed to write (No space left on device): %w", err)
	}
	return words(err, "dpkg: error processing archives: %v\nE: Sub-process /usr/bin/dpkg returned an error code (1)", err)
}

func (s *System) unpackOne(ctx context.Context, p *shell.Process, t *Package) error {
	t, err := archive(p.FS, path.Join(archivesDir, t.FileName(s.Architecture)))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(p.Stdout, "Unpacking %s (%s) ...\n", t.Name, t.Version)
	before, err := readDatabase(p.FS, statusFile)
	if err != nil {
		return err
	}
	if err := s.become(p.FS, t, halfInstalled); err != nil {
		return err
	}
	if err := s.Wait(ctx, unpackTime); err != nil {
		return err
	}
	if err := unpack(p.FS, t); err != nil {
		return errors.Join(err, before.save(p.FS)) // dpkg goes back to the old version
	}
	if err := s.become(p.FS, t, unpacked); err != nil {
		return err
	}
	if s.Unpacked != nil {
		s.Unpacked(p.FS, t.Name)
	}
	return nil
}

func archive(f *vfs.FS, file string) (*Package, error) {
	raw, err := f.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &Package{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("'%s' is not a Debian format archive", file)
	}
	return p, nil
}

// become notes a package's state in the database.
func (s *System) become(f *vfs.FS, p *Package, status string) error {
	d, err := readDatabase(f, statusFile)
	if err != nil {
		return err
	}
	d.set(p, s.Architecture, status)
	return d.save(f)
}

// dpkg is dpkg --print-architecture and --configure -a.
func (s *System) dpkg(ctx context.Context, p *shell.Process) int {
	var words []string
	for _, arg := range p.Args[1:] {
		if !strings.HasPrefix(arg, "--force-") {
			words = append(words, arg)
		}
	}
	switch strings.Join(words, " ") {
	case "--print-architecture":
		_, _ = fmt.Fprintln(p.Stdout, s.Architecture)
		return 0
	case "--configure -a":
		return s.configureAll(ctx, p)
	}
	_, _ = fmt.Fprintf(p.Stderr, "dpkg: error: hollow dpkg does not know %s\n", strings.Join(words, " "))
	return 2
}

// configureAll ends what was cut short: what has its files is configured, what has
// not stays for apt to install again.
func (s *System) configureAll(ctx context.Context, p *shell.Process) int {
	release, err := p.FS.TryLock(frontendLock, false)
	if err != nil {
		_, _ = fmt.Fprintln(p.Stderr, "dpkg: error: dpkg frontend lock was locked by another process with pid 4711")
		return 2
	}
	defer release()
	d, err := readDatabase(p.FS, statusFile)
	if err != nil {
		return p.Errorf("error: %v", err)
	}
	if s.Mutated != nil {
		s.Mutated(p.Args)
	}
	code := 0
	for _, e := range d.entries {
		switch e.status {
		case unpacked, halfConfig:
			_, _ = fmt.Fprintf(p.Stdout, "Setting up %s (%s) ...\n", e.name, e.version())
			if err := s.Wait(ctx, configTime); err != nil {
				return 1
			}
			e.status = installed
		case halfInstalled:
			_, _ = fmt.Fprintf(p.Stderr, "dpkg: error processing package %s (--configure):\n package is in a very bad inconsistent state; you should\n reinstall it before attempting configuration\n", e.name)
			code = 1
		}
	}
	if err := errors.Join(d.save(p.FS), p.FS.RemoveAll(updatesDir), p.FS.MkdirAll(updatesDir, 0o755)); err != nil {
		return p.Errorf("error: %v", err)
	}
	return code
}

// dpkgQuery is dpkg-query -W -f=FORMAT.
func (s *System) dpkgQuery(_ context.Context, p *shell.Process) int {
	format, names, show := "${binary:Package}\t${Version}\n", []string(nil), false
	for _, arg := range p.Args[1:] {
		if f, found := strings.CutPrefix(arg, "-f="); found {
			format = f
		} else if arg == "-W" {
			show = true
		} else if strings.HasPrefix(arg, "-") {
			_, _ = fmt.Fprintf(p.Stderr, "dpkg-query: error: unknown option %s\n", arg)
			return 2
		} else {
			names = append(names, arg)
		}
	}
	if !show {
		_, _ = fmt.Fprintln(p.Stderr, "dpkg-query: error: need an action option")
		return 2
	}
	d, err := readDatabase(p.FS, statusFile)
	if err != nil {
		return p.Errorf("error: %v", err)
	}
	if len(names) == 0 {
		for _, e := range d.entries {
			names = append(names, e.name)
		}
	}
	code := 0
	for _, name := range names {
		e := d.find(name)
		if e == nil {
			_, _ = fmt.Fprintf(p.Stderr, "dpkg-query: no packages found matching %s\n", name)
			code = 1
			continue
		}
		_, _ = fmt.Fprint(p.Stdout, shown(e, format))
	}
	return code
}

func shown(e *entry, format string) string {
	return strings.NewReplacer(
		"${db:Status-Want}", e.want, "${db:Status-Status}", e.status, "${Package}", e.name, "${binary:Package}", e.name,
		"${Version}", e.version(), "${Architecture}", e.field("Architecture"), `\n`, "\n", `\t`, "\t",
	).Replace(format)
}
