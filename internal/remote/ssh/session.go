package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kup-project/kup/internal/remote"
	xssh "golang.org/x/crypto/ssh"
)

// exec runs argv; errors speak of shown, the command as it was asked for.
func (h *Host) exec(ctx context.Context, shown, argv []string, stdin io.Reader) (remote.Result, error) {
	what := remote.Display(shown)
	select {
	case h.sessions <- struct{}{}:
		defer func() { <-h.sessions }()
	case <-ctx.Done():
		return remote.Result{}, h.interrupted(ctx, what)
	}
	s, err := h.session(ctx)
	if err != nil {
		return remote.Result{}, err
	}
	var stdout, stderr bytes.Buffer
	s.Stdout, s.Stderr = &stdout, &stderr
	ended := make(chan error, 1)
	if !h.spawn(func() { ended <- converse(s, remote.Quote(argv), stdin) }) {
		return remote.Result{}, h.isClosed()
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		h.spawn(func() {
			_ = s.Signal(xssh.SIGTERM) // what sshd makes of it depends on the command
			_ = s.Close()
		})
		return remote.Result{}, h.interrupted(ctx, what)
	}
	var failed *xssh.ExitError
	var input *inputError
	switch {
	case err == nil:
		return remote.Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, nil
	case errors.As(err, &failed):
		return remote.Result{}, &remote.ExitError{
			Host: h.cfg.Name, Argv: shown, Code: failed.ExitStatus(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes(),
		}
	case errors.As(err, &input):
		return remote.Result{}, fmt.Errorf("%s: %s: %w", h, what, input)
	default:
		return remote.Result{}, &remote.ConnectionError{
			Host: h.cfg.Name, Err: fmt.Errorf("%s: the reply was lost, it may or may not have run: %w", what, err),
		}
	}
}

// session opens a channel for a command. Nothing has run when that fails, so it
// is tried again on a new connection when the present one turns out to be broken.
func (h *Host) session(ctx context.Context) (*xssh.Session, error) {
	for again := false; ; again = true {
		c, err := h.connect(ctx)
		if err != nil {
			return nil, err
		}
		s, err := h.openSession(ctx, c)
		var refused *xssh.OpenChannelError
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, h.interrupted(ctx, "open a session")
		case errors.As(err, &refused):
			return nil, &remote.ConnectionError{Host: h.cfg.Name, Unsent: true, Err: fmt.Errorf("open a session: %w; see MaxSessions in its sshd_config", err)}
		case again:
			return nil, &remote.ConnectionError{Host: h.cfg.Name, Unsent: true, Err: fmt.Errorf("open a session: %w", err)}
		}
		c.drop()
		<-c.dead
	}
}

var errBroken = errors.New("the connection ended")

// openSession asks for a channel. Its goroutine is the one that Close does not
// wait for: the library waits for ever for the reply to a channel that is asked
// for between the end of a connection and its being closed.
func (h *Host) openSession(ctx context.Context, c *conn) (*xssh.Session, error) {
	type reply struct {
		s   *xssh.Session
		err error
	}
	replied := make(chan reply, 1)
	go func() {
		s, err := c.client().NewSession()
		if err == nil && (ctx.Err() != nil || c.isDead()) {
			_ = s.Close()
		}
		replied <- reply{s, err}
	}()
	select {
	case r := <-replied:
		return r.s, r.err
	case <-c.dead: // a channel asked for at the very end gets no reply
		return nil, errBroken
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// converse is the whole life of a session.
func converse(s *xssh.Session, line string, stdin io.Reader) error {
	defer func() { _ = s.Close() }()
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.Start(line); err != nil {
		return err
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(in, stdin) }()
	err = s.Wait()
	if bad := <-fed; bad != nil {
		return &inputError{bad}
	}
	return err
}

// feed gives a command its input. A command need not read it: only the
// source's own errors count.
func feed(in io.WriteCloser, stdin io.Reader) error {
	defer func() { _ = in.Close() }()
	if stdin == nil {
		return nil
	}
	src := &source{r: stdin}
	_, _ = io.Copy(in, src)
	return src.err
}

// source remembers why it could not be read to its end.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// inputError is a command that ran on a part of its input only.
type inputError struct{ err error }

func (e *inputError) Error() string { return "its input broke off: " + e.err.Error() }

func (e *inputError) Unwrap() error { return e.err }
