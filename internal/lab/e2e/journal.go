package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// journalLine is what the harness reads of a line of kup's journal. The harness
// reads the file for itself: it must not learn from kup's own code what kup did.
type journalLine struct {
	Kind    string `json:"kind"`
	Step    string `json:"step"`
	Attempt int    `json:"attempt"`
	Outcome string `json:"outcome"`
	Epoch   int64  `json:"epoch"`
}

// parseJournal gives the whole lines; a kup that is writing or was killed leaves
// a torn last one.
func parseJournal(raw []byte) ([]journalLine, error) {
	var out []journalLine
	for {
		line, rest, whole := bytes.Cut(raw, []byte("\n"))
		if !whole {
			return out, nil
		}
		raw = rest
		var l journalLine
		if err := json.Unmarshal(line, &l); err != nil {
			if len(rest) == 0 {
				return out, nil
			}
			return out, fmt.Errorf("line %d of the journal: %w", len(out)+1, err)
		}
		out = append(out, l)
	}
}

// steps is where each step stands.
type steps map[string]journalLine

// standing replays a journal; of a step the last line counts.
func standing(lines []journalLine) steps {
	out := steps{}
	for _, l := range lines {
		if l.Step != "" {
			out[l.Step] = l
		}
	}
	return out
}

// open gives the step that matches and was begun and not ended; empty: none.
func (s steps) open(pattern string) string {
	return s.first(pattern, func(l journalLine) bool { return l.Kind == "step-before" })
}

// over gives the step that matches and ended well.
func (s steps) over(pattern string) string {
	return s.first(pattern, func(l journalLine) bool { return l.Kind == "step-after" && l.Outcome == "done" })
}

// first finds a step by a pattern of its whole id, or of its id without the hop.
func (s steps) first(pattern string, is func(journalLine) bool) string {
	for _, id := range sortedNames(s) {
		_, rest, _ := strings.Cut(id, "/")
		for _, name := range []string{id, rest} {
			if ok, err := path.Match(pattern, name); ok && err == nil && is(s[id]) {
				return id
			}
		}
	}
	return ""
}

// runs are the directories of all runs that this kup's state holds, oldest first.
func (b *binary) runs() ([]string, error) {
	found, err := filepath.Glob(filepath.Join(b.state, "kup", "*", "*", "journal.jsonl"))
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	slices.SortFunc(found, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return found, nil
}

// journal reads the newest run's; none yet is no error.
func (b *binary) journal() ([]journalLine, error) {
	runs, err := b.runs()
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(runs[len(runs)-1], "journal.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // its state was removed just now
	}
	if err != nil {
		return nil, err
	}
	return parseJournal(raw)
}
