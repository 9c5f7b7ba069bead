package vfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// saved is a node in JSON.
type saved struct {
	Mode     fs.FileMode      `json:"mode"` // as package fs counts it
	Modified time.Time        `json:"modified"`
	Content  []byte           `json:"content,omitempty"`
	Target   string           `json:"target,omitempty"`
	Entries  map[string]saved `json:"entries,omitempty"`
}

type savedFS struct {
	Root saved `json:"root"`
	Free int64 `json:"free"` // negative: no limit
}

// MarshalJSON saves the whole tree: contents, modes, times, links and what is free.
func (f *FS) MarshalJSON() ([]byte, error) {
	used, free := f.Size()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if free >= 0 { // it may have changed in between
		free += used - f.used
	}
	return json.Marshal(savedFS{Root: f.root.save(), Free: free})
}

func (n *node) save() saved {
	s := saved{Mode: n.mode, Modified: n.modified, Content: n.content, Target: n.target}
	for _, name := range n.names() {
		if s.Entries == nil {
			s.Entries = map[string]saved{}
		}
		s.Entries[name] = n.entries[name].save()
	}
	return s
}

// UnmarshalJSON replaces everything by what was saved. The clock stays.
func (f *FS) UnmarshalJSON(b []byte) error {
	var s savedFS
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("saved file system: %w", err)
	}
	if !s.Root.Mode.IsDir() {
		return errors.New("saved file system: its root is no directory")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clock == nil {
		f.clock = time.Now
	}
	f.locks, f.used = map[*node]*holders{}, 0
	f.root = f.load(s.Root)
	if f.limit = -1; s.Free >= 0 {
		f.limit = f.used + s.Free
	}
	f.tell("")
	return nil
}

func (f *FS) load(s saved) *node {
	n := f.newNode(s.Mode)
	n.modified, n.content, n.target = s.Modified, s.Content, s.Target
	f.used += int64(len(n.content))
	if !n.mode.IsDir() {
		return n
	}
	for name, entry := range s.Entries {
		n.entries[name] = f.load(entry)
	}
	return n
}
