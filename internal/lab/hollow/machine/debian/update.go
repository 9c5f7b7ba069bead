package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// failure is the exit code of apt's programs.
const failure = 100

// worded is an error in the words of the real program.
type worded struct {
	text string
	err  error // what is behind it, or nil
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.err }

func words(err error, format string, args ...any) error {
	return &worded{fmt.Sprintf(format, args...), err}
}

func fail(p *shell.Process, err error) int {
	_, _ = fmt.Fprintln(p.Stderr, err)
	return failure
}

// update reads the indices of the sources.
func (s *System) update(ctx context.Context, p *shell.Process, c *invocation) int {
	sources, err := c.sources(p.FS)
	if err != nil {
		return fail(p, err)
	}
	release, err := s.locked(ctx, p.FS, listsLock, 0)
	if err != nil {
		return fail(p, err)
	}
	defer release()
	if err := s.Wait(ctx, updateTime); err != nil {
		return failure
	}
	broken := false
	for i, from := range sources {
		err := s.refresh(p.FS, from)
		if err == nil {
			_, _ = fmt.Fprintf(p.Stdout, "Get:%d %s  Packages\n", i+1, from.url)
			continue
		}
		var fetch *FetchError
		if !errors.As(err, &fetch) {
			return fail(p, words(err, "E: %v", err))
		}
		broken = broken || fetch.Outage == NotFound || c.setting("APT::Update::Error-Mode", "") == "any"
		_, _ = fmt.Fprintf(p.Stdout, "Err:%d %s  Packages\n  %s\n", i+1, from.url, fetch.Outage)
		_, _ = fmt.Fprintf(p.Stderr, "W: %v\n", err)
	}
	_, _ = fmt.Fprintln(p.Stdout, "Reading package lists...")
	if broken {
		return fail(p, words(nil, "E: Some index files failed to download. They have been ignored, or old ones used instead."))
	}
	return 0
}

// refresh reads one index. An index that cannot be read now stays as it was.
func (s *System) refresh(f *vfs.FS, from source) error {
	if from.key != "" {
		if _, err := f.Stat(from.key); err != nil {
			return fmt.Errorf("the repository '%s  Release' is not signed: the key(s) in the keyring %s are ignored as the file is not readable", from.url, from.key)
		}
	}
	packages, err := s.Repository.Fetch(s.Host, from.url)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(packages)
	if err != nil {
		return err
	}
	if err := f.MkdirAll(listsDir, 0o755); err != nil {
		return err
	}
	return f.WriteFile(listFile(from.url), raw, 0o644)
}

// candidate is a package that a source has.
type candidate struct {
	Package
	source source
}

// candidates are the packages of the indices that were read before.
func candidates(f *vfs.FS, sources []source) ([]candidate, error) {
	var out []candidate
	for _, from := range sources {
		raw, err := f.ReadFile(listFile(from.url))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var packages []Package
		if err := json.Unmarshal(raw, &packages); err != nil {
			return nil, fmt.Errorf("index of %s: %w", from.url, err)
		}
		for _, p := range packages {
			out = append(out, candidate{p, from})
		}
	}
	return out, nil
}

// aptCache is apt-cache madison.
func (s *System) aptCache(_ context.Context, p *shell.Process) int {
	c, err := invocationOf(p.Args[1:], "-q")
	if err != nil {
		return fail(p, err)
	}
	if len(c.words) < 2 || c.words[0] != "madison" {
		return fail(p, words(nil, "E: Invalid operation %s", strings.Join(c.words, " ")))
	}
	sources, err := c.sources(p.FS)
	if err != nil {
		return fail(p, err)
	}
	all, err := candidates(p.FS, sources)
	if err != nil {
		return fail(p, err)
	}
	for _, name := range c.words[1:] {
		for _, found := range all {
			if found.Name == name {
				_, _ = fmt.Fprintf(p.Stdout, "%10s | %10s | %s  Packages\n", name, found.Version, found.source.url)
			}
		}
	}
	return 0
}

// aptConfig is apt-config shell.
func (s *System) aptConfig(_ context.Context, p *shell.Process) int {
	known := map[string]string{"Dir::State::status/f": statusFile, "Dir::Cache::archives/d": archivesDir + "/", "Dir::State::lists/d": listsDir + "/"}
	args := p.Args[1:]
	if len(args) < 3 || args[0] != "shell" || len(args)%2 == 0 {
		return fail(p, words(nil, "E: Arguments not in pairs"))
	}
	for i := 1; i+1 < len(args); i += 2 {
		if value, ok := known[args[i+1]]; ok {
			_, _ = fmt.Fprintf(p.Stdout, "%s='%s'\n", args[i], value)
		}
	}
	return 0
}

// aptHelper is apt-helper download-file, of a repository's index only.
func (s *System) aptHelper(ctx context.Context, p *shell.Process) int {
	c, err := invocationOf(p.Args[1:])
	if err != nil {
		return fail(p, err)
	}
	if len(c.words) != 3 || c.words[0] != "download-file" {
		return fail(p, words(nil, "E: Invalid operation %s", strings.Join(c.words, " ")))
	}
	if err := s.Wait(ctx, updateTime); err != nil {
		return failure
	}
	url, file := c.words[1], p.Path(c.words[2])
	dir, name := path.Split(url)
	packages, err := s.Repository.Fetch(s.Host, dir)
	if err == nil && name != "Packages" {
		err = &FetchError{URL: url, Outage: NotFound}
	}
	var fetch *FetchError
	if errors.As(err, &fetch) {
		_, _ = fmt.Fprintf(p.Stdout, "Err:1 %s\n  %s\n", url, fetch.Outage)
		return fail(p, words(nil, "E: Failed to fetch %s  %s\nE: Download Failed", url, fetch.Outage))
	}
	if err != nil {
		return fail(p, err)
	}
	if err := p.FS.WriteFile(file, []byte(index(packages, s.Architecture)), 0o644); err != nil {
		return fail(p, words(err, "E: %v", err))
	}
	_, _ = fmt.Fprintf(p.Stdout, "Get:1 %s\nFetched\n", url)
	return 0
}
