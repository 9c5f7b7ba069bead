package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/kup-project/kup/internal/remote"
	xssh "golang.org/x/crypto/ssh"
)

// Stream starts a command whose standard input and output stay connected until
// the stream is closed. ctx bounds the start only. It is the way through a host
// whose SSH server forbids forwarding, and gains no root: a command with Sudo or
// Stdin is refused.
func (h *Host) Stream(ctx context.Context, c remote.Command) (io.ReadWriteCloser, error) {
	if c.Sudo || c.Stdin != nil {
		return nil, errors.New("ssh: a stream takes neither sudo nor an input of its own")
	}
	select {
	case h.sessions <- struct{}{}:
	case <-ctx.Done():
		return nil, h.interrupted(ctx, remote.Display(c.Argv))
	}
	s, err := h.session(ctx)
	if err != nil {
		<-h.sessions
		return nil, err
	}
	st := &stream{session: s, release: func() { <-h.sessions }}
	if err := st.start(c.Argv); err != nil {
		return nil, errors.Join(&remote.ConnectionError{
			Host: h.cfg.Name, Err: fmt.Errorf("%s: %w", remote.Display(c.Argv), err),
		}, st.Close())
	}
	return st, nil
}

type stream struct {
	session *xssh.Session
	in      io.WriteCloser
	out     io.Reader
	once    sync.Once
	release func()
}

func (s *stream) start(argv []string) (err error) {
	if s.in, err = s.session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = s.session.StdoutPipe(); err != nil {
		return err
	}
	return s.session.Start(remote.Quote(argv))
}

func (s *stream) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close ends the command.
func (s *stream) Close() error {
	var err error
	s.once.Do(func() {
		err = s.session.Close()
		s.release()
	})
	if errors.Is(err, io.EOF) { // the command had ended by itself
		return nil
	}
	return err
}
