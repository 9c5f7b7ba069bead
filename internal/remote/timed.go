package remote

import (
	"context"
	"io/fs"
	"net"
	"time"
)

// Dialer is a host through which TCP connections can be made, as seen from the
// host itself.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Timed gives a host that reports when each use of h began and ended: every
// command, and every file read or written, since these are commands too. span is
// called from the goroutine of the caller, failed uses included, and must be safe
// for concurrent use. The host given back is a [Dialer] exactly when h is one;
// connections dialled through it are not timed.
func Timed(h Host, span func(from, to time.Time)) Host {
	t := timed{inner: h, span: span}
	if d, ok := h.(Dialer); ok {
		return timedDialer{timed: t, Dialer: d}
	}
	return t
}

type timed struct {
	inner Host
	span  func(from, to time.Time)
}

type timedDialer struct {
	timed
	Dialer
}

var (
	_ Host   = timed{}
	_ Host   = timedDialer{}
	_ Dialer = timedDialer{}
)

func (t timed) String() string { return t.inner.String() }

func (t timed) Run(ctx context.Context, c Command) (Result, error) {
	defer t.since(time.Now())
	return t.inner.Run(ctx, c)
}

func (t timed) ReadFile(ctx context.Context, path string) ([]byte, error) {
	defer t.since(time.Now())
	return t.inner.ReadFile(ctx, path)
}

func (t timed) WriteFile(ctx context.Context, path string, content []byte, perm fs.FileMode) error {
	defer t.since(time.Now())
	return t.inner.WriteFile(ctx, path, content, perm)
}

func (t timed) since(from time.Time) { t.span(from, time.Now()) }
