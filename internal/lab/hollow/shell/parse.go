package shell

import (
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// parsed is a script, ready to be interpreted by many at once.
type parsed struct {
	file       *syntax.File
	background bool // it starts commands in the background
}

// named gives the script the name that $0 has in it.
func (s *parsed) named(name string) *syntax.File {
	file := *s.file
	file.Name = name
	return &file
}

// cache keeps what was parsed: the same scripts come again and again.
type cache struct {
	mu      sync.Mutex
	scripts map[string]*parsed
}

// The cache forgets everything when it has this many scripts, and does not keep
// short ones, which are mostly single command lines.
const (
	cacheSize = 256
	cacheFrom = 128
)

func newCache() *cache { return &cache{scripts: map[string]*parsed{}} }

func (c *cache) parse(text string) (*parsed, error) {
	c.mu.Lock()
	script, ok := c.scripts[text]
	c.mu.Unlock()
	if ok {
		return script, nil
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "sh")
	if err != nil {
		return nil, err
	}
	script = &parsed{file: file}
	if script.background, err = adapt(file); err != nil {
		return nil, err
	}
	if len(text) >= cacheFrom {
		c.mu.Lock()
		if len(c.scripts) >= cacheSize {
			clear(c.scripts)
		}
		c.scripts[text] = script
		c.mu.Unlock()
	}
	return script, nil
}
