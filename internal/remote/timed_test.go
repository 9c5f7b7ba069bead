package remote_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

type plainHost struct{ err error }

func (plainHost) String() string { return "cp-1" }
func (h plainHost) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{Stdout: []byte("out")}, h.err
}
func (h plainHost) ReadFile(context.Context, string) ([]byte, error) { return nil, h.err }
func (h plainHost) WriteFile(context.Context, string, []byte, fs.FileMode) error {
	return h.err
}

type dialingHost struct{ plainHost }

var errDialled = errors.New("dialled")

func (dialingHost) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errDialled
}

func TestTimed(t *testing.T) {
	spans := 0
	span := func(from, to time.Time) {
		spans++
		if from.IsZero() || to.Before(from) {
			t.Errorf("span from %v to %v", from, to)
		}
	}
	ctx := t.Context()
	h := remote.Timed(plainHost{}, span)
	if r, err := h.Run(ctx, remote.Command{}); err != nil || string(r.Stdout) != "out" || h.String() != "cp-1" {
		t.Errorf("%s: Run = %q, %v", h, r.Stdout, err)
	}
	if _, ok := h.(remote.Dialer); ok {
		t.Error("a host that cannot dial got DialContext")
	}
	failing := remote.Timed(dialingHost{plainHost{err: fs.ErrNotExist}}, span)
	if _, err := failing.ReadFile(ctx, "/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile: %v", err)
	}
	if err := failing.WriteFile(ctx, "/x", nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile: %v", err)
	}
	d, ok := failing.(remote.Dialer)
	if !ok {
		t.Fatal("DialContext is lost")
	}
	if _, err := d.DialContext(ctx, "tcp", "x:1"); !errors.Is(err, errDialled) {
		t.Errorf("DialContext: %v", err)
	}
	if spans != 3 {
		t.Errorf("%d spans, want 3", spans)
	}
}
