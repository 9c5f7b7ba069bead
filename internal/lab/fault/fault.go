package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Fault is one thing that goes wrong.
type Fault struct {
	// Name is short and stable: "host-reboot".
	Name string
	// What is a sentence for people.
	What string
	// Inject makes it so and returns how it is ended. A fault that is over by
	// itself has a heal that does nothing. With an error nothing is left behind.
	Inject func(ctx context.Context, t Target) (heal func(context.Context) error, err error)
}

// Library lists all faults.
func Library() []Fault {
	return slices.Concat(network(), machines(), components(), supplies())
}

// Named finds a fault.
func Named(name string) (Fault, error) {
	all := Library()
	if i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Fault{}, fmt.Errorf("no fault is called %q", name)
}

// Strike injects the fault of this name.
func Strike(ctx context.Context, name string, t Target) (heal func(context.Context) error, err error) {
	f, err := Named(name)
	if err != nil {
		return nil, err
	}
	if heal, err = f.Inject(ctx, t); err != nil {
		return nil, fmt.Errorf("fault %s: %w", name, err)
	}
	return heal, nil
}

// UnsupportedError is a fault that the target has no means for.
type UnsupportedError struct {
	Lacks string // what it would take
}

func (e *UnsupportedError) Error() string { return "this cluster lacks the means: " + e.Lacks }

// cleanTimeout bounds the ending of a fault that began only half.
const cleanTimeout = 2 * time.Minute

type action = func(context.Context) error

// lasting begins something that end takes back. What began only half is taken
// back at once.
func lasting(ctx context.Context, begin, end action) (action, error) {
	if err := begin(ctx); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		return nil, errors.Join(err, end(clean))
	}
	return end, nil
}

// over is the heal of a fault that has passed.
func over(context.Context) error { return nil }
