package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

func (s *System) aptGet(ctx context.Context, p *shell.Process) int {
	c, err := invocationOf(p.Args[1:], "-q", "-qq", "-y", "-d", "-s", "--yes", "--download-only", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages")
	if err != nil {
		return fail(p, err)
	}
	switch {
	case len(c.words) == 0:
		return fail(p, words(nil, "E: Invalid operation"))
	case !p.Root:
		return fail(p, words(nil, "E: Could not open lock file %s - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (%s), are you root?", frontendLock, frontendLock))
	}
	switch c.words[0] {
	case "update":
		return s.update(ctx, p, c)
	case "install":
		return s.install(ctx, p, c)
	}
	return fail(p, words(nil, "E: Invalid operation %s", c.words[0]))
}

// install is apt-get install with exact versions.
func (s *System) install(ctx context.Context, p *shell.Process, c *invocation) int {
	downloadOnly := c.has("-d", "--download-only")
	if !downloadOnly {
		release, err := s.locked(ctx, p.FS, frontendLock, c.lockTimeout())
		if err != nil {
			return fail(p, err)
		}
		defer release()
		if interrupted(p.FS) {
			return fail(p, words(nil, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "))
		}
	}
	todo, err := s.resolve(p, c)
	if err != nil {
		return fail(p, err)
	}
	if len(todo) == 0 {
		_, _ = fmt.Fprintln(p.Stdout, "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.")
		return 0
	}
	for _, t := range todo {
		_, _ = fmt.Fprintf(p.Stdout, "The following packages will be upgraded or installed:\n  %s (%s)\n", t.Name, t.Version)
	}
	if c.has("-s") {
		return 0
	}
	if err := s.download(ctx, p, todo); err != nil {
		return fail(p, err)
	}
	if downloadOnly {
		_, _ = fmt.Fprintln(p.Stdout, "Download complete and in download only mode")
		return 0
	}
	if s.Mutated != nil {
		s.Mutated(p.Args)
	}
	if err := s.unpackAll(ctx, p, todo); err != nil {
		if ctx.Err() != nil {
			return failure
		}
		return fail(p, err)
	}
	return 0
}

// resolve finds what is to be installed, dependencies first, and refuses what apt
// refuses.
func (s *System) resolve(p *shell.Process, c *invocation) ([]candidate, error) {
	d, err := readDatabase(p.FS, c.setting("Dir::State::status", statusFile))
	if err != nil {
		return nil, err
	}
	sources, err := c.sources(p.FS)
	if err != nil {
		return nil, err
	}
	all, err := candidates(p.FS, sources)
	if err != nil {
		return nil, err
	}
	r := resolution{database: d, all: all}
	for _, word := range c.words[1:] {
		if err := r.pin(word, p); err != nil {
			return nil, err
		}
	}
	switch {
	case r.downgrades && !c.has("--allow-downgrades"):
		return nil, words(nil, "E: Packages were downgraded and -y was used without --allow-downgrades.")
	case r.held && !c.has("--allow-change-held-packages"):
		return nil, words(nil, "E: Held packages were changed and -y was used without --allow-change-held-packages.")
	}
	return r.todo, nil
}

// resolution is an installation that is being worked out.
type resolution struct {
	database         *database
	all              []candidate
	todo             []candidate
	held, downgrades bool
}

// pin adds a word of the command line: name=version.
func (r *resolution) pin(word string, p *shell.Process) error {
	name, version, exact := strings.Cut(word, "=")
	if !exact {
		return words(nil, "E: hollow apt installs exact versions only, and %q names none", word)
	}
	e := r.database.find(name)
	if e != nil && e.status == installed && e.version() == version {
		_, _ = fmt.Fprintf(p.Stdout, "%s is already the newest version (%s).\n", name, version)
		return nil
	}
	known := false
	for _, found := range r.all {
		if known = known || found.Name == name; found.Name == name && found.Version == version {
			return r.add(found)
		}
	}
	if !known && e == nil {
		return words(nil, "E: Unable to locate package %s", name)
	}
	return words(nil, "E: Version '%s' for '%s' was not found", version, name)
}

func (r *resolution) add(found candidate) error {
	if slices.ContainsFunc(r.todo, func(t candidate) bool { return t.Name == found.Name }) {
		return nil
	}
	if e := r.database.find(found.Name); e != nil {
		r.held = r.held || e.want == "hold"
		r.downgrades = r.downgrades || e.status == installed && compare(found.Version, e.version()) < 0
	}
	for _, d := range found.Depends {
		if err := r.depend(found, d); err != nil {
			return err
		}
	}
	r.todo = append(r.todo, found)
	return nil
}

// depend adds the newest package that a dependency asks for, unless what is
// installed will do.
func (r *resolution) depend(of candidate, d string) error {
	name, atLeast := dependency(d)
	e := r.database.find(name)
	if e != nil && e.status == installed && satisfies(e.version(), atLeast) {
		return nil
	}
	var best *candidate
	for i := range r.all {
		if found := &r.all[i]; found.Name == name && satisfies(found.Version, atLeast) && (best == nil || compare(best.Version, found.Version) < 0) {
			best = found
		}
	}
	if best == nil {
		return words(nil, "The following packages have unmet dependencies:\n %s : Depends: %s but it is not installable\nE: Unable to correct problems, you have held broken packages.", of.Name, d)
	}
	return r.add(*best)
}

// download brings what is missing into apt's cache.
func (s *System) download(ctx context.Context, p *shell.Process, todo []candidate) error {
	if err := p.FS.MkdirAll(archivesDir+"/partial", 0o755); err != nil {
		return err
	}
	release, err := s.locked(ctx, p.FS, archivesLock, 0)
	if err != nil {
		return err
	}
	defer release()
	for i, t := range todo {
		file := path.Join(archivesDir, t.FileName(s.Architecture))
		if _, err := p.FS.Stat(file); err == nil {
			continue
		}
		if _, err := s.Repository.Fetch(s.Host, t.source.url); err != nil {
			return words(err, "Err:%d %s %s %s\nE: %v\nE: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?", i+1, t.source.url, t.Name, t.Version, err)
		}
		if err := s.Wait(ctx, downloadTime); err != nil {
			return err
		}
		if err := saveArchive(p.FS, file, &t.Package); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(p.Stdout, "Get:%d %s  %s %s\n", i+1, t.source.url, t.Name, t.Version)
	}
	return nil
}

// saveArchive writes a package whole or not at all.
func saveArchive(f *vfs.FS, file string, p *Package) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	partial := path.Join(archivesDir, "partial", path.Base(file))
	err = f.WriteFile(partial, raw, 0o644)
	if errors.Is(err, syscall.ENOSPC) {
		return words(errors.Join(err, f.Remove(partial)), "E: You don't have enough free space in %s/.", archivesDir)
	}
	if err != nil {
		return err
	}
	return f.Rename(partial, file)
}
