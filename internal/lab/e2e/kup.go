package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// kup's exit codes.
const (
	exitDone    = 0
	exitUsage   = 2
	exitBlocked = 3
	exitStopped = 4
	// exitRolledBack: the run, or a node of it, was taken back.
	exitRolledBack = 5
	exitLocked     = 6
	exitDrifted    = 7
)

// acceptNotices is the consent that --yes does not give: to outages and points of
// no return.
const acceptNotices = "--accept-notices"

const kupPackage = "github.com/kup-project/kup/cmd/kup"

// interruptGrace is for how long kup may finish its step after a signal.
const interruptGrace = 2 * time.Minute

// binary is the kup under test with a home of its own.
type binary struct {
	path string
	// state is its $XDG_STATE_HOME, outputs gets what it prints.
	state, home, outputs string

	mu sync.Mutex // guards n
	n  int
}

// outcome is one run of kup.
type outcome struct {
	argv           []string
	code           int
	stdout, stderr []byte
	took           time.Duration
}

func newBinary(ctx context.Context, dir, path string) (*binary, error) {
	b := &binary{
		path:    path,
		state:   filepath.Join(dir, "state"),
		home:    filepath.Join(dir, "home"),
		outputs: filepath.Join(dir, "outputs"),
	}
	for _, d := range []string{b.state, b.home, b.outputs} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if path != "" {
		abs, err := filepath.Abs(path)
		b.path = abs
		return b, err
	}
	b.path = filepath.Join(dir, "kup")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.path, kupPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", kupPackage, err, out)
	}
	return b, nil
}

// run starts kup without a terminal and waits for it. What it prints is kept
// and, when live is not nil, shown. An error means that kup could not be run at
// all; any exit code is an outcome.
func (b *binary) run(ctx context.Context, live io.Writer, args ...string) (outcome, error) {
	p, err := b.start(ctx, live, args...)
	if err != nil {
		return outcome{argv: append([]string{"kup"}, args...)}, err
	}
	return p.wait()
}

// keep writes the output to files, so that it can be searched for secrets.
func (b *binary) keep(o outcome) error {
	b.mu.Lock()
	b.n++
	base := filepath.Join(b.outputs, fmt.Sprintf("%03d-%s", b.n, strings.TrimLeft(firstWord(o.argv[1:]), "-")))
	b.mu.Unlock()
	return errors.Join(
		os.WriteFile(base+".stdout", o.stdout, 0o600),
		os.WriteFile(base+".stderr", o.stderr, 0o600))
}

// firstWord is the command: the first argument that is no flag or flag's value.
func firstWord(args []string) string {
	for _, a := range args {
		if !strings.ContainsAny(a, "-/.") {
			return a
		}
	}
	return "kup"
}

func (o outcome) String() string { return strings.Join(o.argv, " ") }

// failure is what a kup says that was to do its work and did not; nil: it did.
func (o outcome) failure() error {
	if o.code == exitDone {
		return nil
	}
	return fmt.Errorf("%s: exit code %d: %s", o, o.code, o.errorLine())
}

// errorLine is the line that says what was wrong: the first finding that
// blocks, else the first line that begins with "error" or "kup", else the last
// one that is not a hint.
func (o outcome) errorLine() string {
	last := ""
	for line := range strings.Lines(o.output()) {
		line = strings.TrimSpace(line)
		lower := strings.ToLower(line)
		switch {
		case strings.HasPrefix(line, "BLOCK "):
			return line
		case line == "", strings.HasPrefix(lower, "hint"):
		case strings.HasPrefix(lower, "error"), strings.HasPrefix(lower, "kup: "):
			return line
		default:
			last = line
		}
	}
	return last
}

// output is everything that was printed.
func (o outcome) output() string { return string(o.stdout) + string(o.stderr) }

// timeSplit is where the time of an apply went, as its report.json says.
type timeSplit struct {
	Wall    float64 `json:"wallSeconds"`
	Remote  float64 `json:"remoteSeconds"`
	Wait    float64 `json:"waitSeconds"`
	Sustain float64 `json:"sustainSeconds"`
	Rest    float64 `json:"restSeconds"`
}

// lastReport reads the newest report.json of all runs.
func (b *binary) lastReport() (timeSplit, string, error) {
	found, err := filepath.Glob(filepath.Join(b.state, "kup", "*", "*", "report.json"))
	if err != nil {
		return timeSplit{}, "", err
	}
	var newest string
	var at time.Time
	for _, path := range found {
		if fi, err := os.Stat(path); err == nil && fi.ModTime().After(at) {
			newest, at = path, fi.ModTime()
		}
	}
	if newest == "" {
		return timeSplit{}, "", fmt.Errorf("no report.json below %s", b.state)
	}
	raw, err := os.ReadFile(newest)
	if err != nil {
		return timeSplit{}, "", err
	}
	var t timeSplit
	if err := json.Unmarshal(raw, &t); err != nil {
		return timeSplit{}, "", fmt.Errorf("%s: %w", newest, err)
	}
	return t, newest, nil
}

// prefixed marks every line that goes to w.
func prefixed(w io.Writer, prefix string) io.Writer {
	return &prefixer{w: w, prefix: prefix}
}

type prefixer struct {
	w      io.Writer
	prefix string

	mu   sync.Mutex // guards rest
	rest []byte     // of a line not yet ended
}

func (p *prefixer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(p.w, "%s%s\n", p.prefix, p.rest[:i]); err != nil {
			return 0, err
		}
		p.rest = p.rest[i+1:]
	}
}
