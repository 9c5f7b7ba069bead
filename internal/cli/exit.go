package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// The exit codes. Every command's help and docs/exit-codes.md list them.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitBlocked     = 3
	exitStopped     = 4
	exitRolledBack  = 5
	exitLocked      = 6
	exitDrifted     = 7
	exitInterrupted = 130
)

var (
	errInterrupted = errors.New("interrupted")
	errAborted     = errors.New("interrupted twice: no longer waiting; what runs on the hosts goes on and is recorded")
)

// usageError is a mistake of the caller; nothing was touched.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// blockedError is what preflight found.
type blockedError struct{ blocks int }

func (e *blockedError) Error() string {
	return fmt.Sprintf("%d finding(s) block this upgrade; nothing was touched", e.blocks)
}

// begunError is what ended a run that was begun, whatever it was.
type begunError struct {
	err  error
	back bool // it was a rollback
}

func (e *begunError) Error() string { return e.err.Error() }

func (e *begunError) Unwrap() error { return e.err }

// exit reports an error on one line, with a hint on the next, and gives its code.
func exit(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	code, hint := classify(err)
	fmt.Fprintf(w, "kup: %s\n", oneLine(err.Error()))
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", report.Printable(hint))
	}
	return code
}

// tell says something to people, on a line of its own.
func (sys *system) tell(format string, args ...any) {
	fmt.Fprintln(sys.err, oneLine(fmt.Sprintf(format, args...)))
}

// oneLine is a text, which may be several errors, for a terminal.
func oneLine(text string) string {
	return report.Printable(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// The hints of a run that was begun: how it goes on.
const (
	hintResume = "mend the cause, then: kup apply --resume; or take it back: kup rollback (kup status shows where it stands)"
	hintBack   = "mend the cause, then: kup rollback goes on (kup status shows where it stands)"
)

// goesOn is the command that goes on with the run that ended.
func goesOn(err error) string {
	if begun := new(begunError); errors.As(err, &begun) && begun.back {
		return "kup rollback"
	}
	return "kup apply --resume"
}

// classify is the one place where an error becomes an exit code. Order matters:
// a run that was begun is resumable, whatever stopped it, unless it lost the
// right to change the cluster.
func classify(err error) (code int, hint string) {
	switch {
	case is[*kube.HeldError](err), is[*detached.FencedError](err), is[*journal.BusyError](err), is[*kube.LostLeaseError](err):
		return exitLocked, "wait for the other run to end, or ask its holder; kup status shows what it is doing"
	case is[*engine.WindowError](err):
		return exitStopped, "in the next window: kup apply --resume"
	case is[*rolledBackError](err):
		back := new(rolledBackError)
		errors.As(err, &back)
		return exitRolledBack, back.hint()
	case errors.Is(err, engine.ErrStopped), errors.Is(err, errInterrupted), errors.Is(err, errAborted), errors.Is(err, context.Canceled):
		return exitInterrupted, goesOn(err) + " goes on from here, if a run was begun"
	case is[*planner.DriftError](err) && goesOn(err) == "kup rollback":
		return exitDrifted, "have it as it was again, then: kup rollback goes on; or restore the snapshot instead: kup rollback --scope data; kup plan shows the way up"
	case is[*planner.DriftError](err), is[*foreignPlanError](err):
		return exitDrifted, "plan anew and review: kup plan"
	case is[*step.DamagedError](err):
		return exitStopped, goesOn(err) + ", once the file is back"
	case noRoom(err) && is[*begunError](err):
		return exitStopped, "make room on this machine, then: " + goesOn(err)
	case is[*engine.StepError](err), is[*begunError](err):
		if goesOn(err) != "kup apply --resume" {
			return exitStopped, hintBack
		}
		return exitStopped, hintResume
	case noRoom(err):
		return exitUsage, "nothing was touched; make room on this machine, then run the command again"
	case is[*blockedError](err):
		return exitBlocked, "mend what is listed above, then run the command again"
	case is[*planner.RollbackError](err):
		return exitBlocked, (&noWayError{}).hint()
	}
	if none := new(noWayError); errors.As(err, &none) {
		return exitBlocked, none.hint()
	}
	if forked := new(forkedError); errors.As(err, &forked) {
		return exitUsage, forked.hint()
	}
	if usage := new(usageError); errors.As(err, &usage) {
		return exitUsage, usage.hint
	}
	if settings := new(snapshot.SettingsError); errors.As(err, &settings) {
		return exitUsage, settings.Hint
	}
	if isInput(err) {
		return exitUsage, ""
	}
	if code, hint, known := classifySnapshot(err); known {
		return code, hint
	}
	return exitUnexpected, "run again with --log-format json and report what it says"
}

// classifySnapshot sorts what saving, verifying and restoring snapshots ends with.
// That this machine could not look is no word against a snapshot.
func classifySnapshot(err error) (code int, hint string, known bool) {
	proof := new(etcd.SnapshotError)
	switch {
	case is[*snapshot.MachineError](err):
		return exitUsage, "this says nothing of the snapshot; mend it on this machine, then run the command again", true
	case is[*etcd.DataDirError](err):
		return exitUsage, "nothing was written; kup snapshot restore --help", true
	case errors.As(err, &proof) && (proof.Proof == etcd.ProofMembers || proof.Proof == etcd.ProofStream):
		return exitUnexpected, "nothing was saved; kup plan says what is wrong with etcd", true
	case is[*etcd.SnapshotError](err), is[*snapshot.BadError](err):
		return exitUnexpected, "do not rely on it; kup snapshot list names others, kup snapshot save takes a new one", true
	case is[*badCopiesError](err):
		return exitUnexpected, "put a whole copy in its place, or take a new one: kup snapshot save", true
	case is[*snapshot.PlaceError](err):
		return exitUnexpected, "mend the place, or name another one in kup.yaml (snapshots), then run the command again", true
	}
	return 0, "", false
}

// noRoom tells of a disk of this machine that takes no more: without a journal
// nothing is changed.
func noRoom(err error) bool {
	return is[*journal.WriteError](err) || errors.Is(err, syscall.ENOSPC)
}

// isInput tells whether the error is about what the caller gave: files, flags,
// versions, hosts and credentials. Such errors carry their own fix.
func isInput(err error) bool {
	return is[*inventory.Error](err) || is[*planner.TargetError](err) || is[*plan.FormatError](err) || is[*plan.TamperedError](err) ||
		is[*plan.InvalidError](err) || is[*journal.CorruptError](err) ||
		is[*kube.ConnectError](err) || is[*ssh.HostKeyError](err) || is[*ssh.SudoError](err) || is[*ssh.AuthError](err) || is[*remote.ConnectionError](err)
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
