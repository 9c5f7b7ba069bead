package plan

import (
	"strings"
	"time"
)

// GatePolicy says how a gate is asked.
type GatePolicy struct {
	// Sustain is how long the gate must hold without a break; zero means that it
	// is asked once and never polled (for checks that are costly to the cluster).
	Sustain time.Duration
	Every   time.Duration // between two checks
	Timeout time.Duration // after which the gate has failed
}

// State is a gate's answer.
type State string

// The answers.
const (
	Holds      State = "holds"
	NotYet     State = "not yet"
	Never      State = "never" // waiting is pointless
	CannotTell State = "cannot tell"
)

// Verdict is an answer with its reason: a sentence that names the object.
type Verdict struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Split gives a gate's name and its parameters: "node-ready:w-1@v1.34.4" is
// "node-ready", "w-1", "v1.34.4".
func (id GateID) Split() (name, subject, version string) {
	name, rest, _ := strings.Cut(string(id), ":")
	subject, version, _ = strings.Cut(rest, "@")
	return name, subject, version
}
