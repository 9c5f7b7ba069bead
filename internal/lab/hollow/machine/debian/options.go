package debian

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// invocation is a command line of one of apt's programs.
type invocation struct {
	settings map[string]string // of -o, by their name in lower case
	flags    []string
	words    []string
}

// invocationOf reads a command line. The error names what is not understood; known
// are the flags that the program has.
func invocationOf(args []string, known ...string) (*invocation, error) {
	c := &invocation{settings: map[string]string{}}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch setting, isSetting := strings.CutPrefix(arg, "-o"); {
		case isSetting:
			if setting == "" {
				if i++; i == len(args) {
					return nil, words(nil, "E: Command line option 'o' [from -o] is not understood in combination with the other options")
				}
				setting = args[i]
			}
			name, value, ok := strings.Cut(setting, "=")
			if !ok {
				return nil, words(nil, "E: Option -o: Configuration item specification must have an =<val>.")
			}
			c.settings[strings.ToLower(name)] = value
		case strings.HasPrefix(arg, "-") && arg != "-":
			if !slices.Contains(known, arg) {
				return nil, words(nil, "E: Command line option %q is not understood in combination with the other options", arg)
			}
			c.flags = append(c.flags, arg)
		default:
			c.words = append(c.words, arg)
		}
	}
	return c, nil
}

func (c *invocation) has(flags ...string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return slices.Contains(c.flags, f) })
}

func (c *invocation) setting(name, otherwise string) string {
	if value, ok := c.settings[strings.ToLower(name)]; ok {
		return value
	}
	return otherwise
}

func (c *invocation) lockTimeout() time.Duration {
	seconds, err := strconv.Atoi(c.setting("DPkg::Lock::Timeout", "0"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// source is one repository in a source file.
type source struct {
	url string
	key string // file that its signature is checked with; empty: apt's own
}

// sources are the repositories that the settings name.
func (c *invocation) sources(f *vfs.FS) ([]source, error) {
	files := []string{c.setting("Dir::Etc::sourcelist", "/etc/apt/sources.list")}
	parts := c.setting("Dir::Etc::sourceparts", "/etc/apt/sources.list.d")
	entries, err := f.ReadDir(parts)
	if err != nil && path.IsAbs(parts) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		files = append(files, path.Join(parts, e.Name()))
	}
	var out []source
	for _, file := range files {
		if !path.IsAbs(file) { // "-" is how scripts say none
			continue
		}
		raw, err := f.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, readSources(file, string(raw))...)
	}
	return out, nil
}

func readSources(file, text string) []source {
	if strings.HasSuffix(file, ".sources") {
		var s source
		for line := range strings.SplitSeq(text, "\n") {
			switch key, value, _ := strings.Cut(line, ": "); key {
			case "URIs":
				s.url = value
			case "Signed-By":
				s.key = value
			}
		}
		return []source{s}
	}
	var out []source
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "deb" {
			continue
		}
		var s source
		if options, found := strings.CutPrefix(words[1], "["); found {
			s.key, _ = strings.CutPrefix(strings.TrimSuffix(options, "]"), "signed-by=")
			words = words[1:]
		}
		s.url = words[1]
		out = append(out, s)
	}
	return out
}

// listFile is where apt keeps a repository's index.
func listFile(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return path.Join(listsDir, strings.ReplaceAll(strings.TrimSuffix(rest, "/"), "/", "_")+"_Packages")
}
