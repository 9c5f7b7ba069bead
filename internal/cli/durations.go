package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
)

// durationsFile is beside a cluster's runs on this machine. It is a convenience:
// without it, or when it cannot be read, estimates are the catalog's.
const durationsFile = "durations.json"

const (
	durationsFormat = 1
	// keptDurations is of how many runs durations are kept and looked at.
	keptDurations = 5
)

// durations are how long steps took on a cluster, run by run, the newest last.
type durations struct {
	Format int           `json:"format"`
	Runs   []runDuration `json:"runs"`
}

// runDuration is the median of each kind of step in a run.
type runDuration struct {
	Run string `json:"run"`
	// Seconds by planner.MeasureKey.
	Seconds map[string]float64 `json:"seconds"`
}

// readDurations gives what is kept; nothing where nothing is.
func readDurations(clusterUID string) (durations, error) {
	none := durations{Format: durationsFormat}
	base, err := stateDir(clusterUID)
	if err != nil {
		return none, err
	}
	content, err := os.ReadFile(filepath.Join(base, durationsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	d := durations{}
	if err == nil {
		err = json.Unmarshal(content, &d)
	}
	if err != nil {
		return none, fmt.Errorf("durations of earlier runs: %w", err)
	}
	if d.Format != durationsFormat {
		return none, nil
	}
	return d, nil
}

// keepDurations adds a run's durations to those kept, or replaces them when the run
// went on.
func keepDurations(clusterUID, run string, records []journal.Record) error {
	took := measure(records)
	if len(took) == 0 {
		return nil
	}
	d, err := readDurations(clusterUID)
	if err != nil {
		d = durations{Format: durationsFormat} // made anew: what is lost is measured again
	}
	d.Runs = slices.DeleteFunc(d.Runs, func(r runDuration) bool { return r.Run == run })
	d.Runs = append(d.Runs, runDuration{Run: run, Seconds: took})
	d.Runs = d.Runs[max(0, len(d.Runs)-keptDurations):]
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	base, err := stateDir(clusterUID)
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(base, durationsFile), append(content, '\n'))
}

// measure gives the median duration of steps that went well at the first attempt,
// in seconds. One that a resumption came into says nothing of how long it takes.
func measure(records []journal.Record) map[string]float64 {
	begun := map[string]time.Time{}
	all := map[string][]float64{}
	for _, r := range records {
		switch r.Kind {
		case journal.RunResumed:
			clear(begun)
		case journal.StepBefore:
			delete(begun, r.Step)
			if r.Attempt == 1 {
				begun[r.Step] = r.At
			}
		case journal.StepAfter:
			at, whole := begun[r.Step]
			key := planner.MeasureKey(r.Step)
			if whole && r.Outcome == journal.Done && key != "" {
				all[key] = append(all[key], r.At.Sub(at).Seconds())
			}
			delete(begun, r.Step)
		default:
		}
	}
	out := map[string]float64{}
	for key, values := range all {
		out[key] = median(values)
	}
	return out
}

// median is the middle one, the longer of the two in the middle.
func median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// measured gives the planner the median over the runs kept.
func (d durations) measured() planner.Measured {
	all := map[string][]float64{}
	for _, r := range d.Runs {
		for key, s := range r.Seconds {
			all[key] = append(all[key], s)
		}
	}
	m := planner.Measured{Runs: len(d.Runs), Took: map[string]time.Duration{}}
	for key, values := range all {
		took := time.Duration(median(values) * float64(time.Second)).Round(time.Second)
		m.Took[key] = max(took, time.Second)
	}
	return m
}

// learned is what earlier runs on the cluster tell of how long steps take.
func (s *session) learned(clusterUID string) planner.Measured {
	d, err := readDurations(clusterUID)
	if err != nil {
		s.sys.tell("kup: estimates are typical ones: %v", err)
	}
	return d.measured()
}

// learn keeps how long the steps of a run took, for the plans to come. A run is not
// worse for what cannot be learned from it, and one whose times were scaled teaches
// nothing.
func (s *session) learn(r *runRecord) {
	if pace := s.sys.seams.Pace; pace > 0 && pace != 1 {
		return
	}
	records, err := journal.Read(r.dir)
	if err == nil {
		err = keepDurations(r.plan.Facts.Identity.UID, r.id, records)
	}
	if err != nil {
		s.sys.tell("kup: how long the steps took is not kept: %v", err)
	}
}
