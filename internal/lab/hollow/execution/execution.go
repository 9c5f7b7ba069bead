package execution

import (
	"context"
	"errors"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Execution is one command as the host was told to carry it out.
type Execution struct {
	Run     string
	Step    string // shortened, when the name of its directory is
	Attempt int
	Dir     string   // on the host
	Argv    []string // with "env" and its assignments before it, when it has some
	Limit   time.Duration
}

// read is what an execution's directory says of it.
func read(dir, script string, limit time.Duration) Execution {
	x := Execution{Dir: dir, Limit: limit, Argv: words(script)}
	x.Run = unescape(path.Base(path.Dir(path.Dir(dir))))
	name := unescape(path.Base(dir))
	x.Step = name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if n, err := strconv.Atoi(name[i+1:]); err == nil {
			x.Step, x.Attempt = name[:i], n
		}
	}
	return x
}

// unescape turns the name of a file back into that of a run or step.
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+2 < len(name) {
			if c, err := strconv.ParseUint(name[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// words takes a command apart that remote.Quote put together, behind "exec ".
func words(script string) []string {
	script = strings.TrimSuffix(strings.TrimPrefix(script, "exec "), "\n")
	var out []string
	var word strings.Builder
	begun := false
	for i := 0; i < len(script); i++ {
		switch c := script[i]; c {
		case ' ':
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
			continue
		case '\'':
			text, _, _ := strings.Cut(script[i+1:], "'")
			word.WriteString(text)
			i += len(text) + 1
		case '\\':
			if i++; i < len(script) {
				word.WriteByte(script[i])
			}
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		out = append(out, word.String())
	}
	return out
}

// Why a command was killed.
var (
	errKilled = errors.New("killed")
	errLate   = errors.New("killed since it did not end when its time was over")
)

// running is an execution that is being carried out.
type running struct {
	execution Execution
	kill      context.CancelCauseFunc
	terminate func()      // as SIGTERM does
	cut       atomic.Bool // it was terminated from outside
	late      atomic.Bool // its time was over

	mu   sync.Mutex
	news chan struct{} // closed at the next news
}

// end terminates the execution from outside.
func (r *running) end() {
	r.cut.Store(true)
	r.terminate()
}

// told gives a channel that is closed when the command says something or ends.
func (r *running) told() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

func (r *running) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
}
