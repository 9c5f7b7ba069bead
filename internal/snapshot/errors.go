package snapshot

import (
	"errors"
	"fmt"
)

// PlaceError is a place that did not do what it was asked for.
type PlaceError struct {
	Place string // as [Place].String names it
	Op    string // "list", "store x.db", ...
	Err   error
}

func (e *PlaceError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Place, e.Op, e.Err) }

// Unwrap gives the cause.
func (e *PlaceError) Unwrap() error { return e.Err }

// SettingsError is something that the operator gave and that cannot be used: a
// recipient, an identity, credentials, a name. Nothing was done.
type SettingsError struct {
	Err  error
	Hint string
}

func (e *SettingsError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *SettingsError) Unwrap() error { return e.Err }

// MachineError is a failure of this machine, such as a full disk. It says nothing of
// any snapshot.
type MachineError struct {
	Op  string
	Err error
}

func (e *MachineError) Error() string { return fmt.Sprintf("this machine: %s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *MachineError) Unwrap() error { return e.Err }

// BadError is a stored file that must not be relied on.
type BadError struct {
	Name string // of the snapshot, and where it is
	Err  error
}

func (e *BadError) Error() string { return fmt.Sprintf("snapshot %s: %v", e.Name, e.Err) }

// Unwrap gives the cause.
func (e *BadError) Unwrap() error { return e.Err }

// Causes of a [BadError].
var (
	ErrReplaced = errors.New("the file is not the one that was stored")
	ErrSealed   = errors.New("what was encrypted is damaged or cut short")
	ErrForeign  = errors.New("the snapshot is of another cluster")
)

// ErrUnknown says that no place has a snapshot of a name.
var ErrUnknown = errors.New("no place has a snapshot of that name")
