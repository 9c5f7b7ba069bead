package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/journal"
)

// Mode is the moment at which kup is killed.
type Mode string

// The modes.
const (
	AfterBefore Mode = "after-before" // the before-record is durable, nothing has begun
	During      Mode = "during"       // the effect has begun: a command runs on a host, a request reached the API
	BeforeAfter Mode = "before-after" // the effect was had, the after-record was not written
	Torn        Mode = "torn"         // half of a record is written
)

// Modes are all of them, the one with the most kills first.
func Modes() []Mode { return []Mode{Torn, AfterBefore, During, BeforeAfter} }

// Bomb kills its own process at the next moment of its mode that no process
// before was killed at, or at the one step that it is for. What kup was killed at is
// kept in a file.
type Bomb struct {
	mode Mode
	file string
	only string // the one step to be killed at; empty: all

	mu   sync.Mutex
	past map[string]bool
}

// NewBomb reads what kup was killed at before. A file that does not exist tells
// that it never was.
func NewBomb(mode Mode, file, only string) (*Bomb, error) {
	past, err := readPast(file)
	return &Bomb{mode: mode, file: file, only: only, past: past}, err
}

func readPast(file string) (map[string]bool, error) {
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	past := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		past[strings.TrimSpace(line)] = true
	}
	return past, nil
}

// lastOf is what kup was killed at last.
func lastOf(file string) string {
	content, err := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if last := lines[len(lines)-1]; err == nil && last != "" {
		return last
	}
	return "the beginning"
}

// during names the moment at which a step has its effect.
func during(step string) string { return "during " + step }

// Journal wraps the journal of the run in dir: it is the seam of internal/cli.
func (b *Bomb) Journal(dir string, next engine.Journal) engine.Journal {
	return &fused{bomb: b, dir: dir, next: next}
}

// fused is a journal that goes off.
type fused struct {
	bomb *Bomb
	dir  string
	next engine.Journal
}

// Append implements engine.Journal.
func (f *fused) Append(r journal.Record) error {
	b := f.bomb
	b.mu.Lock() // lanes end together, not one in the middle of another's record
	defer b.mu.Unlock()
	if b.mode == During {
		return f.quietly(r)
	}
	point := pointOf(r)
	if !b.due(r) || b.past[point] {
		return f.next.Append(r)
	}
	if b.mode != BeforeAfter {
		if err := f.next.Append(r); err != nil {
			return err
		}
	}
	if b.mode == Torn {
		if err := tear(filepath.Join(f.dir, journal.File)); err != nil {
			return err
		}
	}
	if err := mark(b.file, point); err != nil {
		return err
	}
	return die()
}

// quietly has kup die a moment after a step began that neither a host nor the API
// would tell of: it reads, or writes to this machine only.
func (f *fused) quietly(r journal.Record) error {
	err := f.next.Append(r)
	if err != nil || r.Kind != journal.StepBefore || f.bomb.past[during(r.Step)] || !silent(r.Step) {
		return err
	}
	time.AfterFunc(moment, func() {
		if mark(f.bomb.file, during(r.Step)) == nil {
			_ = die()
		}
	})
	return nil
}

// moment is shorter than a snapshot or a comparison takes.
const moment = 3 * time.Millisecond

// silent are the steps without an effect on hosts or objects.
func silent(step string) bool {
	return slices.Contains([]string{"snapshot", "baseline", "compare", "images"}, path.Base(step))
}

// pointOf names the moment at which a record is written.
func pointOf(r journal.Record) string {
	words := []string{string(r.Kind), r.Step}
	if a := r.Artefact; a != nil {
		words = []string{string(r.Kind), a.Name, a.Hop, a.Node}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// due tells whether a record is what the mode waits for.
func (b *Bomb) due(r journal.Record) bool {
	if b.only != "" && r.Step != b.only {
		return false
	}
	switch b.mode {
	case AfterBefore:
		return r.Kind == journal.StepBefore
	case BeforeAfter:
		return r.Kind == journal.StepAfter || r.Kind == journal.RunEnded
	case Torn:
		return true
	default:
		return false
	}
}

// die is what a power cut is to a process.
func die() error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {}
}

// tear cuts the last line of a file in half, as a write does that was cut short.
func tear(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begins := bytes.LastIndexByte(bytes.TrimSuffix(content, []byte("\n")), '\n') + 1
	return os.Truncate(file, int64(begins+(len(content)-begins)/2))
}

// mark notes that kup was killed at a point.
func mark(file, point string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, point)
	return errors.Join(err, f.Close())
}
