package cli

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/plan"
)

// planFile is the plan's name in a run's directory.
const planFile = "plan.json"

// stateDir is where the runs of a cluster are kept on this machine.
func stateDir(clusterUID string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // the XDG specification says to ignore a relative one
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("where to keep kup's state: %w; set XDG_STATE_HOME", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	if !namesDirectory.MatchString(clusterUID) {
		return "", fmt.Errorf("cluster uid %q (of the namespace kube-system) cannot name a directory; is this the right cluster?", clusterUID)
	}
	return filepath.Join(base, "kup", clusterUID), nil
}

// namesDirectory matches uids as Kubernetes makes them, and nothing that leads
// elsewhere.
var namesDirectory = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// newRunID names a run so that names sort by time.
func newRunID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails; see its documentation
	return now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(b[:])
}

// createRun makes the directory of a run and puts the plan in it.
func createRun(p *plan.Plan, id string) (string, error) {
	base, err := stateDir(p.Facts.Identity.UID)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("state of this run: %w", err)
	}
	content, err := plan.Encode(p)
	if err != nil {
		return "", err
	}
	return dir, writeDurably(filepath.Join(dir, planFile), content)
}

// writeDurably replaces a file with mode 0600: it is whole and on disk, or
// unchanged.
func writeDurably(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".kup-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already when all went well
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// runRecord is a run as it is kept on this machine.
type runRecord struct {
	id    string
	dir   string
	plan  *plan.Plan
	state journal.State
}

// errNoRun tells that this machine knows no run of the cluster.
var errNoRun = errors.New("no run of this cluster is known on this machine")

// lastRun gives the newest run of a cluster.
func lastRun(clusterUID string) (*runRecord, error) {
	base, err := stateDir(clusterUID)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range slices.Backward(entries) {
		dir := filepath.Join(base, e.Name())
		// Without a journal nothing was begun: a run writes it before it starts.
		if _, err := os.Stat(filepath.Join(dir, journal.File)); err == nil {
			return loadRun(dir)
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("look for the last run: %w", err)
		}
	}
	return nil, errNoRun
}

func loadRun(dir string) (*runRecord, error) {
	content, err := os.ReadFile(filepath.Join(dir, planFile))
	if err != nil {
		return nil, fmt.Errorf("plan of run %s: %w", filepath.Base(dir), err)
	}
	p, err := decodePlan(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, planFile), err)
	}
	records, err := journal.Read(dir)
	if err != nil {
		return nil, err
	}
	r := &runRecord{id: filepath.Base(dir), dir: dir, plan: p, state: journal.Replay(records)}
	return r, r.belongs(r.state)
}

// belongs tells whether a journal is that of the run's plan.
func (r *runRecord) belongs(s journal.State) error {
	if s.Plan != r.plan.ID || s.Cluster != r.plan.Facts.Identity.UID || s.Run != r.id {
		return &usageError{
			err:  fmt.Errorf("%s: the journal is not that of the plan and the run beside it, so this run cannot be resumed", r.dir),
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
