package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/engine"
)

// Live is the view on a terminal: what is done scrolls by, what is under way
// stands below it, one line a node, with its elapsed time.
type Live struct {
	mu     sync.Mutex
	w      io.Writer
	width  func() int
	active []activity
	drawn  int // lines of the lower part now on the screen
	done   chan struct{}
	joined sync.WaitGroup
}

type activity struct {
	step, node, text string
	since            time.Time
}

const (
	refresh   = 500 * time.Millisecond
	eraseLine = "\x1b[2K"
	lineUp    = "\x1b[1A"
	bold      = "\x1b[1m"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	plain     = "\x1b[0m"
)

// NewLive draws on the terminal w, whose width is asked at every redraw. Close
// must be called.
func NewLive(w io.Writer, width func() int) *Live {
	l := &Live{w: w, width: width, done: make(chan struct{})}
	l.joined.Go(l.tick)
	return l
}

// Close ends the view and leaves the screen in order.
func (l *Live) Close() {
	close(l.done)
	l.joined.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

func (l *Live) tick() {
	t := time.NewTicker(refresh)
	defer t.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-t.C:
			l.mu.Lock()
			l.erase()
			l.draw()
			l.mu.Unlock()
		}
	}
}

// Event implements engine.Observer.
func (l *Live) Event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	defer l.draw()
	switch e.Kind {
	case engine.HopStarted:
		fmt.Fprintf(l.w, "%sHop to %s%s\n", bold, e.Hop, plain)
	case engine.StageStarted:
		fmt.Fprintf(l.w, "%s%s%s\n", bold, e.Stage, plain)
	case engine.StepStarted:
		l.active = append(l.active, activity{step: e.Step, node: where(e), text: e.Title, since: e.At})
	case engine.StepNote, engine.GateWaiting:
		l.say(e.Step, e.Title+": "+e.Text)
	case engine.GateHolding:
		l.say(e.Step, e.Title+": holding: "+e.Text)
	case engine.StepDone:
		l.end(e.Step)
		fmt.Fprintf(l.w, "  %s✓%s %-10s %s %s%s%s\n", green, plain, where(e), printable(e.Title), dim, duration(e.To.Sub(e.From)), plain)
	case engine.StepFailed:
		l.end(e.Step)
		fmt.Fprintf(l.w, "  %s✗ %-10s %s%s\n", red, where(e), printable(fmt.Sprintf("%s: %v", e.Title, e.Err)), plain)
	default:
	}
}

func (l *Live) say(step, text string) {
	for i := range l.active {
		if l.active[i].step == step {
			l.active[i].text = text
		}
	}
}

func (l *Live) end(step string) {
	l.active = slices.DeleteFunc(l.active, func(a activity) bool { return a.step == step })
}

func (l *Live) erase() {
	if l.drawn > 0 {
		io.WriteString(l.w, strings.Repeat(lineUp+eraseLine, l.drawn)+"\r") //nolint:errcheck // a lost terminal must not stop an upgrade
		l.drawn = 0
	}
}

// maxActive bounds the lower part, so that it never scrolls.
const maxActive = 12

func (l *Live) draw() {
	width := max(20, l.width())
	for i, a := range l.active {
		if i == maxActive {
			fmt.Fprintf(l.w, "  … and %d more\n", len(l.active)-i)
			l.drawn++
			return
		}
		text := fmt.Sprintf("  ▸ %-10s %s %s", a.node, duration(time.Since(a.since)), a.text)
		fmt.Fprintln(l.w, clip(text, width-1))
		l.drawn++
	}
}

func clip(s string, width int) string {
	r := []rune(printable(s))
	if len(r) <= width {
		return string(r)
	}
	return string(r[:width-1]) + "…"
}
