package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/kup-project/kup/internal/engine"
)

// Lines writes one plain line an event, for logs and pipes.
type Lines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLines writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Event implements engine.Observer.
func (l *Lines) Event(e engine.Event) {
	text := line(e)
	if text == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%s %s\n", e.At.Local().Format(time.TimeOnly), Printable(text))
}

// Printable keeps text on one line and what is in it from steering a terminal:
// notes and errors carry what hosts wrote.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// printableLines is [Printable] of each line.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// line is what people read of an event; empty: nothing.
func line(e engine.Event) string {
	switch e.Kind {
	case engine.RunStarted:
		return "run " + e.Text
	case engine.HopStarted:
		return "hop to " + e.Hop
	case engine.StageStarted:
		return "stage " + string(e.Stage)
	case engine.StepStarted:
		return fmt.Sprintf("  %s: %s", where(e), e.Title)
	case engine.StepNote:
		return fmt.Sprintf("  %s: … %s", where(e), e.Text)
	case engine.GateWaiting:
		return fmt.Sprintf("  %s: waiting: %s", where(e), e.Text)
	case engine.GateFailed:
		return fmt.Sprintf("  %s: %v", where(e), e.Err)
	case engine.StepDone:
		return fmt.Sprintf("  %s: %s: done in %s", where(e), e.Title, Duration(e.To.Sub(e.From)))
	case engine.StepFailed:
		return fmt.Sprintf("  %s: %s: FAILED: %v", where(e), e.Title, e.Err)
	case engine.StageEnded:
		return fmt.Sprintf("stage %s done in %s", e.Stage, Duration(e.To.Sub(e.From)))
	case engine.HopEnded:
		return "hop to " + e.Hop + " done"
	default:
		return ""
	}
}

func where(e engine.Event) string {
	if e.Node == "" {
		return "cluster"
	}
	return e.Node
}

// JSON writes one JSON object an event.
type JSON struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewJSON writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{enc: json.NewEncoder(w)} }

type jsonEvent struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Hop     string    `json:"hop,omitempty"`
	Stage   string    `json:"stage,omitempty"`
	Step    string    `json:"step,omitempty"`
	Node    string    `json:"node,omitempty"`
	Title   string    `json:"title,omitempty"`
	Gate    string    `json:"gate,omitempty"`
	Text    string    `json:"text,omitempty"`
	Error   string    `json:"error,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
}

// Event implements engine.Observer.
func (j *JSON) Event(e engine.Event) {
	out := jsonEvent{
		At: e.At.UTC(), Event: string(e.Kind), Hop: e.Hop, Stage: string(e.Stage), Step: e.Step,
		Node: e.Node, Title: e.Title, Gate: string(e.Gate), Text: e.Text,
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	if !e.To.IsZero() {
		out.Seconds = e.To.Sub(e.From).Seconds()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.enc.Encode(out) // a broken log pipe must not stop an upgrade
}

// Fan hands each event to all observers.
type Fan []engine.Observer

// Event implements engine.Observer.
func (f Fan) Event(e engine.Event) {
	for _, o := range f {
		o.Event(e)
	}
}
