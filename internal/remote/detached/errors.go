package detached

import (
	"fmt"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// LostError is an execution whose end nobody knows: the host was restarted, or
// what carried it out was killed, before a status was written. The command may
// have done all, a part or nothing of its work.
type LostError struct {
	Host      string
	Execution plan.Execution
	Reason    string
	Stdout    []byte // what it had said
	Stderr    []byte
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: execution %s is lost: %s; whether its work is done has to be looked at", e.Host, e.Execution, e.Reason)
}

// Lost tells that the step must be looked at.
func (*LostError) Lost() bool { return true }

// FencedError is a host that a newer run owns. Nothing was started.
type FencedError struct {
	Host       string
	Run        string // the one that was refused
	Epoch      int64
	Owner      string // the run that owns the host
	OwnerEpoch int64
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("%s: run %s (epoch %d) was replaced by run %s (epoch %d), which owns this host; "+
		"go on with that run, or remove %s/owner on the host when neither is alive", e.Host, e.Run, e.Epoch, e.Owner, e.OwnerEpoch, Base)
}

// OtherCommandError is an id under which another command was started before.
// Nothing was started.
type OtherCommandError struct {
	Host      string
	Execution plan.Execution
}

func (e *OtherCommandError) Error() string {
	return fmt.Sprintf("%s: execution %s is there with another command, environment or input; "+
		"go on with the kup that started it, or with a new attempt", e.Host, e.Execution)
}

// StartError is an execution that could not be started. It will not start later.
type StartError struct {
	Host      string
	Execution plan.Execution
	Reason    string
}

func (e *StartError) Error() string {
	return fmt.Sprintf("%s: start execution %s: %s", e.Host, e.Execution, e.Reason)
}

// TimeoutError is a command that was ended because it took too long.
type TimeoutError struct {
	Host      string
	Execution plan.Execution
	After     time.Duration
	Err       *remote.ExitError // with the output up to then
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s: %s: ended after its time of %s was over (execution %s)", e.Host, remote.Display(e.Err.Argv), e.After, e.Execution)
}

// Unwrap gives the exit of the command.
func (e *TimeoutError) Unwrap() error { return e.Err }

// TerminatedError is a command that got a signal to end from outside, as at a
// shutdown of the host.
type TerminatedError struct {
	Host      string
	Execution plan.Execution
	Err       *remote.ExitError
}

func (e *TerminatedError) Error() string {
	return fmt.Sprintf("%s: %s: terminated from outside, as at a shutdown (execution %s, exit code %d)",
		e.Host, remote.Display(e.Err.Argv), e.Execution, e.Err.Code)
}

// Unwrap gives the exit of the command.
func (e *TerminatedError) Unwrap() error { return e.Err }
