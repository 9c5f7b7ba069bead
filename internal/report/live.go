package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/kup-project/kup/internal/engine"
)

// Live is the view on a terminal: what is done scrolls by, what is under way
// stands below it, one line a node, with its elapsed time. The lower part is never
// higher than the terminal, or it could not be taken back.
type Live struct {
	mu     sync.Mutex
	w      io.Writer
	size   func() (width, height int)
	active []activity
	drawn  []int // widths of the lines of the lower part now on the screen
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

// NewLive draws on the terminal w, whose size is asked at every redraw. Close must
// be called.
func NewLive(w io.Writer, size func() (width, height int)) *Live {
	l := &Live{w: w, size: size, done: make(chan struct{})}
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
		if e.Step == "" { // of the run itself
			fmt.Fprintf(l.w, "  %s·%s %s\n", dim, plain, Printable(e.Text))
		}
		l.say(e.Step, e.Title+": "+e.Text)
	case engine.GateHolding:
		l.say(e.Step, e.Title+": holding: "+e.Text)
	case engine.StepDone:
		l.end(e.Step)
		fmt.Fprintf(l.w, "  %s✓%s %-10s %s %s%s%s\n", green, plain, where(e), Printable(e.Title), dim, Duration(e.To.Sub(e.From)), plain)
	case engine.StepFailed:
		l.end(e.Step)
		fmt.Fprintf(l.w, "  %s✗ %-10s %s%s\n", red, where(e), Printable(fmt.Sprintf("%s: %v", e.Title, e.Err)), plain)
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

// erase takes the lower part back. A terminal that was made narrower since has
// broken its lines in two; one that was made lower keeps what it pushed out.
func (l *Live) erase() {
	if len(l.drawn) == 0 {
		return
	}
	width, height := l.bounds()
	rows := 0
	for _, w := range l.drawn {
		rows += max(1, (w+width-1)/width)
	}
	rows = min(rows, height-1)
	io.WriteString(l.w, strings.Repeat(lineUp+eraseLine, rows)+"\r") //nolint:errcheck // a lost terminal must not stop an upgrade
	l.drawn = l.drawn[:0]
}

// bounds is the terminal's size, or a size to draw in where it has none.
func (l *Live) bounds() (width, height int) {
	width, height = l.size()
	if height <= 0 {
		height = 24
	}
	return max(20, width), max(2, height)
}

// mostActive bounds the lower part on high terminals too.
const mostActive = 12

func (l *Live) draw() {
	width, height := l.bounds()
	room := min(mostActive, height-1) // the cursor stands below
	shown := l.active
	if len(shown) > room {
		shown = shown[:room-1]
	}
	for _, a := range shown {
		l.put(fmt.Sprintf("  ▸ %-10s %s %s", a.node, Duration(time.Since(a.since)), a.text), width)
	}
	if more := len(l.active) - len(shown); more > 0 {
		l.put(fmt.Sprintf("  … and %d more", more), width)
	}
}

func (l *Live) put(text string, width int) {
	text = clip(text, width-1)
	fmt.Fprintln(l.w, text)
	l.drawn = append(l.drawn, utf8.RuneCountInString(text))
}

func clip(s string, width int) string {
	r := []rune(Printable(s))
	if len(r) <= width {
		return string(r)
	}
	return string(r[:width-1]) + "…"
}
