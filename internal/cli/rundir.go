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
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// planFile is the plan's name in a run's directory.
const planFile = "plan.json"

// stateRoot is where kup keeps what it knows of all clusters on this machine.
func stateRoot() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // the XDG specification says to ignore a relative one
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("where to keep kup's state: %w; set XDG_STATE_HOME", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "kup"), nil
}

// stateDir is where the runs of a cluster are kept on this machine.
func stateDir(clusterUID string) (string, error) {
	root, err := stateRoot()
	if err != nil {
		return "", err
	}
	if !namesDirectory.MatchString(clusterUID) {
		return "", fmt.Errorf("cluster uid %q (of the namespace kube-system) cannot name a directory; is this the right cluster?", clusterUID)
	}
	return filepath.Join(root, clusterUID), nil
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
	if err := makeDurably(dir); err != nil {
		return "", fmt.Errorf("state of this run: %w", err)
	}
	content, err := plan.Encode(p)
	if err != nil {
		return "", err
	}
	return dir, writeDurably(filepath.Join(dir, planFile), content)
}

// makeDurably makes a directory and its parents with mode 0700, each of them on
// disk: a run must not be forgotten because its name was.
func makeDurably(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	if err := makeDurably(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(parent)
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
	return syncDirectory(filepath.Dir(path))
}
