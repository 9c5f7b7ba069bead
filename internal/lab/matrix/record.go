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

// journals are the files of all runs that this cluster has seen.
func (c *chain) journals() ([]string, error) {
	return filepath.Glob(filepath.Join(c.cluster.Dir(), "state", "kup", "*", "*", journal.File))
}

// journal reads the records of the move's run; none before it has begun. Where it was
// begun anew, because it had changed nothing yet, the last one counts.
func (c *chain) journal() ([]journal.Record, error) {
	files, err := c.journals()
	if err != nil {
		return nil, err
	}
	return lastJournal(files, c.move.old)
}

func lastJournal(files []string, old map[string]bool) ([]journal.Record, error) {
	var last []journal.Record
	for _, file := range files {
		if old[file] {
			continue
		}
		records, err := readJournal(file)
		if err != nil {
			return nil, err
		}
		if len(last) == 0 || journal.Replay(records).Epoch > journal.Replay(last).Epoch {
			last = records
		}
	}
	return last, nil
}

// readJournal reads a run's records. The last line may be torn: that is what a killed
// process leaves.
func readJournal(file string) ([]journal.Record, error) {
	content, err := os.ReadFile(file)
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
func (c *chain) keep(out *outcome) error {
	records, err := c.journal()
	if err != nil || len(records) == 0 {
		return err
	}
	if run := records[0].Run; run != out.run {
		out.run, out.artefacts = run, map[string]string{}
	}
	for _, r := range records {
		if r.Artefact == nil {
			continue
		}
		key := fmt.Sprintf("%s of hop %s on %q", r.Artefact.Name, r.Artefact.Hop, r.Artefact.Node)
		if was := out.artefacts[key]; was != "" && was != r.Artefact.Digest {
			return fmt.Errorf("%s was made again: %s, then %s", key, was, r.Artefact.Digest)
		}
		out.artefacts[key] = r.Artefact.Digest
	}
	return nil
}
