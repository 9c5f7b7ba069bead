package shell

import (
	"context"
	"errors"
)

// ErrTerminated is the cause of a context that was ended gently, by [Terminable].
var ErrTerminated = errors.New("terminated")

type lifeKey struct{}

// Terminable gives a context that terminate ends as SIGTERM ends a process group:
// programs end with exit code 143, and a shell that traps TERM then still runs its
// traps, until parent ends too. An end of parent is as SIGKILL.
func Terminable(parent context.Context) (ctx context.Context, terminate func()) {
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, lifeKey{}, parent))
	return ctx, func() { cancel(ErrTerminated) }
}

// life gives the context that traps run under once ctx was terminated; false when
// there is no life left.
func life(ctx context.Context) (context.Context, bool) {
	for errors.Is(context.Cause(ctx), ErrTerminated) {
		parent, ok := ctx.Value(lifeKey{}).(context.Context)
		if !ok {
			return nil, false
		}
		ctx = parent
	}
	return ctx, ctx.Err() == nil
}

// killed is the exit code of what ended with its context.
func killed(ctx context.Context) int {
	if errors.Is(context.Cause(ctx), ErrTerminated) {
		return exitTerminated
	}
	return exitKilled
}
