package matrix

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kup-project/kup/internal/journal"
)

// journal reads the run's records; none before the run has begun. The last line
// may be torn: that is what a killed process leaves.
func (c *chain) journal() ([]journal.Record, error) {
	files, err := filepath.Glob(filepath.Join(c.cluster.Dir(), "state", "kup", "*", "*", journal.File))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%d runs where one was resumed: %v", len(files), files)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	var out []journal.Record
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		var r journal.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			break
		}
		out = append(out, r)
	}
	return out, lines.Err()
}

// underWay is the step that was begun last and has not ended.
func underWay(records []journal.Record) string {
	ended := map[string]bool{}
	for i := len(records) - 1; i >= 0; i-- {
		switch r := records[i]; r.Kind {
		case journal.StepAfter:
			ended[r.Step] = true
		case journal.StepBefore:
			if !ended[r.Step] {
				return r.Step
			}
		default: // no step's
		}
	}
	return ""
}

// keep notes the digest of every artefact that the journal now names. One that it
// named before with another digest was made again.
func (c *chain) keep(artefacts map[string]string) error {
	records, err := c.journal()
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Artefact == nil {
			continue
		}
		key := fmt.Sprintf("%s of hop %s on %q", r.Artefact.Name, r.Artefact.Hop, r.Artefact.Node)
		if was := artefacts[key]; was != "" && was != r.Artefact.Digest {
			return fmt.Errorf("%s was made again: %s, then %s", key, was, r.Artefact.Digest)
		}
		artefacts[key] = r.Artefact.Digest
	}
	return nil
}
