package engine

import (
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

// EventKind says what an event tells.
type EventKind string

// The events, in the order in which they happen.
const (
	RunStarted   EventKind = "run-started"
	HopStarted   EventKind = "hop-started"
	StageStarted EventKind = "stage-started"
	StepStarted  EventKind = "step-started"
	StepNote     EventKind = "step-note"    // Text: what the step is doing
	GateWaiting  EventKind = "gate-waiting" // Gate, Text: what it waits for
	GateHolding  EventKind = "gate-holding" // Gate: holds, now being sustained
	GatePassed   EventKind = "gate-passed"  // Gate
	GateFailed   EventKind = "gate-failed"  // Gate, Err
	StepDone     EventKind = "step-done"    // From, To
	StepFailed   EventKind = "step-failed"  // Err
	StageEnded   EventKind = "stage-ended"  // From, To
	HopEnded     EventKind = "hop-ended"
	RunEnded     EventKind = "run-ended" // Err: nil when all is done
	// TimeSpent accounts for an interval of waiting on something other than kup
	// itself. Text is one of the Spent constants.
	TimeSpent EventKind = "time-spent" // From, To, Text
)

// What time was spent on.
const (
	SpentRemote    = "remote"    // a command on a host
	SpentEviction  = "eviction"  // pods leaving a node
	SpentReadiness = "readiness" // a gate that did not hold yet
	SpentSustain   = "sustain"   // a gate that must hold for its declared time
)

// Event is one thing that happened. Err is for programs; Text for people.
type Event struct {
	At    time.Time
	Kind  EventKind
	Hop   string
	Stage plan.StageName
	Step  string
	Node  string
	Title string
	Gate  plan.GateID
	Text  string
	From  time.Time
	To    time.Time
	Err   error
}

// Observer hears events. It is called from several goroutines and must not block.
type Observer interface {
	Event(Event)
}

func (e Event) as(k EventKind) Event { e.Kind = k; return e }

func (e Event) with(k EventKind, text string) Event { e.Kind, e.Text = k, text; return e }

func (e *Engine) emit(ev Event) {
	ev.At = time.Now()
	e.Observer.Event(ev)
}
