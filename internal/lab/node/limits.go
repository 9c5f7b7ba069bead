package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// limit is a setting of the whole machine that several kubelets share.
type limit struct {
	name string // as sysctl names it
	want int
}

// limits are raised while labs exist: every systemd, containerd and kubelet
// takes inotify instances and watches from one account, root's.
func limits() []limit {
	return []limit{
		{"fs.inotify.max_user_instances", 4096},
		{"fs.inotify.max_user_watches", 524288},
	}
}

// machine is where settings are read and written, and where their former values
// are kept.
type machine struct{ proc, state string }

func newMachine(stateDir string) machine { return machine{proc: "/proc/sys", state: stateDir} }

func (m machine) path(l limit) string {
	return filepath.Join(m.proc, strings.ReplaceAll(l.name, ".", "/"))
}

func (m machine) former(l limit) string { return filepath.Join(m.state, "former-"+l.name) }

// raise lifts the limits that are too low for labs.
func (m machine) raise(logf func(string, ...any)) error {
	for _, l := range limits() {
		raw, err := os.ReadFile(m.path(l))
		if err != nil {
			return fmt.Errorf("read %s: %w", l.name, err)
		}
		now, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			return fmt.Errorf("read %s: %w", l.name, err)
		}
		if now >= l.want {
			continue
		}
		if err := writeFile(m.former(l), raw, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(m.path(l), []byte(strconv.Itoa(l.want)), 0o644); err != nil {
			return fmt.Errorf("%s is %d, too low for several kubelets: %w; run: sysctl -w %s=%d", l.name, now, err, l.name, l.want)
		}
		logf("raise %s from %d to %d until the last lab is gone", l.name, now, l.want)
	}
	return nil
}

// restore puts back what raise found.
func (m machine) restore() error {
	for _, l := range limits() {
		raw, err := os.ReadFile(m.former(l))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(m.path(l), raw, 0o644)
		}
		if err == nil {
			err = os.Remove(m.former(l))
		}
		if err != nil {
			return fmt.Errorf("put %s back: %w", l.name, err)
		}
	}
	return nil
}
