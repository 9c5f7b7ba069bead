package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// here is where the copies of runs on this machine are.
const here = "this machine"

// runRecord is a copy of a run: its plan and its journal.
type runRecord struct {
	id      string
	where   string // here, or a control plane
	dir     string // on this machine; empty: it has no directory yet
	plan    *plan.Plan
	records []journal.Record // none: nothing was begun
	state   journal.State
	// accepted is for the first record of a run that was not begun yet; of others
	// the state has it.
	accepted map[string]string
	// above is an epoch that the run's next one must be above, other than its own last:
	// of a rollback that came between.
	above int64
}

// undoes is the run that this one takes back; empty: it is an upgrade.
func (r *runRecord) undoes() string {
	if r.plan.Rollback == nil {
		return ""
	}
	return r.plan.Rollback.Run
}

// begun is what ended the run, whatever it was.
func (r *runRecord) begun(err error) error { return &begunError{err: err, back: r.undoes() != ""} }

// errNoRun tells that nobody who was asked knows a run of the cluster.
var errNoRun = errors.New("no run of this cluster is known on this machine")

// knownRun is a run of which somebody has a journal; it was not verified yet.
type knownRun struct {
	id    string
	epoch int64 // of the last process that went on with it
}

// later orders runs by when they were last gone on with: by epoch, which rises
// whatever clocks the machines have; then by name.
func later(a, b knownRun) int { return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.id, b.id)) }

var epochField = regexp.MustCompile(`"epoch":(\d+)`)

// lastEpoch reads an epoch off a journal, whole or not; false: it has no record,
// so its run began nothing.
func lastEpoch(content []byte) (int64, bool) {
	if bytes.IndexByte(content, '\n') < 0 {
		return 0, false
	}
	found := epochField.FindAllSubmatch(content, -1)
	if len(found) == 0 {
		return 0, true
	}
	epoch, err := strconv.ParseInt(string(found[len(found)-1][1]), 10, 64)
	return epoch, err == nil
}

// runsHere lists the runs of a cluster that this machine knows, the last one last.
func runsHere(clusterUID string) ([]knownRun, error) {
	base, err := stateDir(clusterUID)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []knownRun
	for _, e := range entries {
		if !namesDirectory.MatchString(e.Name()) {
			continue // put aside by hand
		}
		content, err := os.ReadFile(filepath.Join(base, e.Name(), journal.File))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case err != nil:
			return nil, fmt.Errorf("look for runs: %w", err)
		}
		if epoch, begun := lastEpoch(content); begun {
			out = append(out, knownRun{e.Name(), epoch})
		}
	}
	slices.SortFunc(out, later)
	return out, nil
}

// lastRun gives the run of a cluster that this machine knows as the last one.
func lastRun(clusterUID string) (*runRecord, error) {
	runs, err := runsHere(clusterUID)
	if err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return nil, errNoRun
	}
	return loadRunHere(clusterUID, runs[len(runs)-1].id)
}

func loadRunHere(clusterUID, id string) (*runRecord, error) {
	base, err := stateDir(clusterUID)
	if err != nil {
		return nil, err
	}
	return loadRun(filepath.Join(base, id))
}

func loadRun(dir string) (*runRecord, error) {
	content, err := os.ReadFile(filepath.Join(dir, planFile))
	if err != nil {
		return nil, fmt.Errorf("plan of run %s: %w", filepath.Base(dir), err)
	}
	records, err := os.ReadFile(filepath.Join(dir, journal.File))
	if err != nil {
		return nil, fmt.Errorf("journal of run %s: %w", filepath.Base(dir), err)
	}
	r, err := readRun(filepath.Base(dir), dir, content, records)
	if err != nil {
		return nil, err
	}
	r.where, r.dir = here, dir
	return r, nil
}

// readRun proves that a plan and a journal, which are in a place, are whole and
// belong together.
func readRun(id, place string, planText, journalText []byte) (*runRecord, error) {
	p, err := decodePlan(planText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(place, planFile), err)
	}
	records, err := journal.Parse(filepath.Join(place, journal.File), journalText)
	if err != nil {
		return nil, err
	}
	if len(p.Hops) == 0 {
		return nil, &usageError{err: fmt.Errorf("%s: its plan has no hop, which kup never begins", place), hint: "put it aside"}
	}
	r := &runRecord{id: id, where: place, plan: p, records: records, state: journal.Replay(records)}
	if len(records) == 0 {
		return r, nil // a crash while the first record was written: nothing was begun
	}
	return r, r.belongs(place)
}

// belongs tells whether the journal is that of the run's plan.
func (r *runRecord) belongs(place string) error {
	if s := r.state; s.Plan != r.plan.ID || s.Cluster != r.plan.Facts.Identity.UID || s.Run != r.id {
		return &usageError{
			err:  fmt.Errorf("%s: the journal is not that of the plan and the run beside it, so this run cannot be resumed", place),
			hint: "put the right files back, or plan anew: kup plan",
		}
	}
	return nil
}

// decodePlan reads a plan and proves that it is untouched and sound.
func decodePlan(content []byte) (*plan.Plan, error) {
	p, err := plan.Decode(content)
	if err == nil {
		err = plan.Verify(p)
	}
	if err == nil {
		err = plan.Validate(p)
	}
	return p, err
}

// forkedError are two copies of a journal of which neither goes on where the other
// ends.
type forkedError struct {
	a, b *runRecord
	at   int // records they share
}

func (e *forkedError) Error() string {
	say := func(r *runRecord) string {
		return fmt.Sprintf("%s (%d records, last gone on with by %s, epoch %d)", r.where, len(r.records), r.state.Holder, r.state.Epoch)
	}
	return fmt.Sprintf("run %s went on in two ways after record %d: on %s and on %s; what was done cannot be told from either alone",
		e.a.id, e.at, say(e.a), say(e.b))
}

// newer is the copy that had the hosts last.
func (e *forkedError) newer() *runRecord {
	if e.a.state.Epoch > e.b.state.Epoch {
		return e.a
	}
	return e.b
}

// hint says how to choose: the higher epoch had the hosts last.
func (e *forkedError) hint() string {
	newer, old := e.newer(), e.a
	if newer == e.a {
		old = e.b
	}
	if old.where == here && old.state.Epoch < newer.state.Epoch {
		return fmt.Sprintf("the run was taken over by %s; to go on from there: mv %s %s.left && kup apply --resume", newer.state.Holder, old.dir, old.dir)
	}
	return "look at both (kup history " + e.a.id + "), and put the wrong one aside"
}

// longest chooses among copies of one run the one that begins with all the others;
// of equal ones the first. *[forkedError] when there is none such.
func longest(copies []*runRecord) (*runRecord, error) {
	best := copies[0]
	for _, c := range copies[1:] {
		if len(c.records) > len(best.records) {
			best = c
		}
	}
	for _, c := range copies {
		if !journal.Extends(best.records, c.records) {
			return nil, &forkedError{a: c, b: best, at: shared(c.records, best.records)}
		}
	}
	return best, nil
}

func shared(a, b []journal.Record) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].Sum == b[n].Sum {
		n++
	}
	return n
}
