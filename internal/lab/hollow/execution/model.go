package execution

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// Model answers in the place of wrapper.sh on one host. Its fields are set before
// the first question; they may be nil.
type Model struct {
	// Started is told of every command right before it runs, Ended right after,
	// before anybody can learn of its end. Both are called by several goroutines.
	Started func(x Execution)
	Ended   func(x Execution, o Outcome)
	// Around runs the command by calling run, once or not at all, and gives its exit
	// code; [Vanish] leaves no status. ctx ends when the command has to.
	Around func(ctx context.Context, x Execution, run func() int) int

	mu   sync.Mutex
	boot *Boot
}

// Vanish as an exit code of Around means that the execution is gone without having
// written one.
const Vanish = -1

// Outcome is how a command ended.
type Outcome struct {
	Code int
	How  string // "exited", "timeout", "terminated"; "vanished" without a status
}

// Power gives the machine its present boot. Without a living one nothing is answered.
func (m *Model) Power(b *Boot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot = b
}

// Boot is the present one; nil before the first.
func (m *Model) Boot() *Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot
}

// Running gives the executions that are being carried out, by directory.
func (m *Model) Running() []Execution {
	b := m.Boot()
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Execution
	for _, r := range b.alive {
		all = append(all, r.execution)
	}
	slices.SortFunc(all, func(a, b Execution) int { return strings.Compare(a.Dir, b.Dir) })
	return all
}

// Kill ends the execution in a directory with everything that belongs to it, so
// that no status is written; false: it does not run.
func (m *Model) Kill(dir string) bool {
	r := m.find(dir)
	if r != nil {
		r.kill(errKilled)
	}
	return r != nil
}

// Terminate has the execution in a directory end by SIGTERM, as at a shutdown;
// false: it does not run.
func (m *Model) Terminate(dir string) bool {
	r := m.find(dir)
	if r != nil {
		r.end()
	}
	return r != nil
}

func (m *Model) find(dir string) *running {
	if b := m.Boot(); b != nil {
		return b.find(dir)
	}
	return nil
}

// Exit codes of the script.
const (
	answered = 0
	misused  = 2 // what a shell says of a variable that is not set
	died     = 70
	killed   = 137
)

// Script takes over where the shell is to interpret wrapper.sh; it is a shell's
// Script hook.
func (m *Model) Script(ctx context.Context, p *shell.Process, file, text string, args []string) (handled bool, code int) {
	if !isWrapper(file) {
		return false, 0
	}
	say := func(code int, message string) (bool, int) {
		_, _ = fmt.Fprintln(p.Stderr, message)
		return true, code
	}
	if !isKnown(text) {
		return say(died, mend)
	}
	b := m.Boot()
	if b == nil {
		return say(died, errOver.Error())
	}
	ctx, cancel := b.Bind(ctx)
	defer cancel()
	q, err := m.question(p, b, args)
	if err != nil {
		return say(misused, err.Error())
	}
	r, err := q.answer(ctx)
	switch {
	case ctx.Err() != nil:
		return true, killed
	case err != nil:
		return say(died, err.Error())
	}
	if _, err := p.Stdout.Write(r.bytes()); err != nil {
		return true, 1
	}
	return true, answered
}

// reply is an answer of the script.
type reply struct {
	state, a, b    string
	stdout, stderr []byte
}

func (r *reply) bytes() []byte {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	line := fmt.Sprintf("kup-exec %s %s %s %d %d\n", r.state, dash(r.a), dash(r.b), len(r.stdout), len(r.stderr))
	return append(append([]byte(line), r.stdout...), r.stderr...)
}

// exists tells whether there is something at a path.
func (q *question) exists(name string) bool {
	_, err := q.fs.Stat(name)
	return err == nil
}

// line is the content of a file, without what follows its last line.
func (q *question) line(name string) (string, error) {
	b, err := q.fs.ReadFile(name)
	return strings.TrimRight(string(b), "\n"), err
}

// why is the operating system's word for an error.
func why(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
