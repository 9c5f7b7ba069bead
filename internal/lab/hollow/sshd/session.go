package sshd

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"

	xssh "golang.org/x/crypto/ssh"
)

// session is the life of one command.
func (s *Server) session(ctx context.Context, c *conn, user string, n xssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	line, ok := asked(requests)
	if !ok {
		return
	}
	cut := s.faults.take(line)
	if cut.at(Before, c) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.wg.Go(func() {
		attend(requests, cancel)
		if !c.lost.Load() {
			cancel() // the client closed the session; a lost connection ends nothing
		}
	})
	var stdin io.Reader
	if cut != nil && cut.when == During {
		input, _ := io.ReadAll(ch)
		stdin = bytes.NewReader(input)
		cut.at(During, c)
	} else {
		stdin = s.input(ctx, ch)
	}
	code := s.machine.Exec(ctx, user, line, stdin, ch, ch.Stderr())
	if cut.at(After, c) {
		return
	}
	status := struct{ Code uint32 }{uint32(code)} //nolint:gosec // 0 to 255
	_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(status))
}

// asked waits for the command of a session. Environment and terminal are refused.
func asked(requests <-chan *xssh.Request) (line string, ok bool) {
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var exec struct{ Line string }
		if xssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			return "", false
		}
		_ = r.Reply(true, nil)
		return exec.Line, true
	}
	return "", false
}

// attend answers what is asked while the command runs; a signal ends it.
func attend(requests <-chan *xssh.Request, end func()) {
	for r := range requests {
		if r.Type == "signal" {
			end()
		}
		_ = r.Reply(false, nil)
	}
}

// input is what the client sends, until the command's context ends: a command that
// waits for input must not outlive it.
func (s *Server) input(ctx context.Context, ch xssh.Channel) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(io.EOF) })
	s.wg.Go(func() {
		_, err := io.Copy(w, ch)
		_ = w.CloseWithError(err)
	})
	return r
}

// forward connects a channel to what the machine can reach.
func (s *Server) forward(ctx context.Context, c *conn, n xssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if s.forbid {
		_ = n.Reject(xssh.Prohibited, "open failed")
		return
	}
	if xssh.Unmarshal(n.ExtraData(), &to) != nil {
		_ = n.Reject(xssh.ConnectionFailed, "open failed")
		return
	}
	target, err := s.machine.Dial(ctx, net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10)))
	if err != nil {
		_ = n.Reject(xssh.ConnectionFailed, err.Error())
		return
	}
	defer func() { _ = target.Close() }()
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	s.wg.Go(func() { xssh.DiscardRequests(requests) })
	s.wg.Go(func() {
		_, _ = io.Copy(target, ch)
		half, ok := target.(interface{ CloseWrite() error })
		if !ok || c.lost.Load() || half.CloseWrite() != nil {
			_ = target.Close()
		}
	})
	_, _ = io.Copy(ch, target)
}
