package step

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Error is a step that failed: where, at what, why, and what an operator can do.
type Error struct {
	Step  string
	Node  string // empty: the cluster, or the operator's machine
	Doing string // "install kubeadm=1.34.4-1.1"
	Err   error
	Hint  string // a sentence; may be empty
}

// Error is one line. Of a command that failed it tells the exit code and the
// last line it wrote to stderr; the cause has all of it.
func (e *Error) Error() string {
	why := e.Err.Error()
	var exit *remote.ExitError
	if errors.As(e.Err, &exit) {
		why = fmt.Sprintf("exit code %d", exit.Code)
		if last := lastLine(exit.Stderr); last != "" {
			why += ": " + strings.TrimPrefix(last, "kup: ")
		}
	}
	msg := e.Doing + ": " + why
	if e.Node != "" {
		msg = e.Node + ": " + msg
	}
	if e.Hint != "" {
		msg += "; " + e.Hint
	}
	return msg
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsettled tells whether the error leaves open if the effect was had.
func (e *Error) Unsettled() bool {
	var lost *remote.ConnectionError
	return errors.As(e.Err, &lost)
}

func failed(s plan.Step, doing string, err error, hint string) error {
	if err == nil {
		return nil
	}
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	var exit *remote.ExitError
	var connection *remote.ConnectionError
	switch {
	case hint != "" || errors.As(err, &exit):
	case errors.As(err, &connection):
		hint = "what was started there goes on; kup apply --resume attaches to it"
	}
	return &Error{Step: s.ID, Node: s.Node, Doing: doing, Err: err, Hint: hint}
}

// ArgsError is a step whose arguments its runner cannot execute: a defect of the
// plan, or a plan that another kup made.
type ArgsError struct {
	Step    string
	Key     string
	Problem string
}

func (e *ArgsError) Error() string {
	return fmt.Sprintf("step %s: argument %q %s; make a new plan with this kup: kup plan", e.Step, e.Key, e.Problem)
}

// DamagedError is an artefact of the run that is missing or no longer what was
// recorded. The way back depends on it, so the run cannot go on.
type DamagedError struct {
	Artefact Artefact
	Got      string // its digest now; empty: it is missing
}

func (e *DamagedError) Error() string {
	where := "this machine"
	if e.Artefact.Node != "" {
		where = e.Artefact.Node
	}
	how := "is missing"
	if e.Got != "" {
		how = fmt.Sprintf("was changed (digest %s, recorded %s)", e.Got, e.Artefact.Digest)
	}
	return fmt.Sprintf("%s of hop %s, %s on %s, %s: without it there is no way back; put the recorded file back, or, if nothing was changed in this hop yet, begin a new run",
		e.Artefact.Name, e.Artefact.Hop, e.Artefact.Path, where, how)
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
