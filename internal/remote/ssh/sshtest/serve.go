package sshtest

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	xssh "golang.org/x/crypto/ssh"
)

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.dials.Add(1)
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(raw net.Conn) {
	defer func() { _ = raw.Close() }()
	conn, channels, requests, err := xssh.NewServerConn(raw, s.config)
	if err != nil {
		return
	}
	s.wg.Go(func() {
		for r := range requests {
			if r.WantReply && !s.silent.Load() {
				_ = r.Reply(false, nil)
			}
		}
	})
	for n := range channels {
		switch n.ChannelType() {
		case "session":
			s.wg.Go(func() { s.session(raw, n) })
		case "direct-tcpip":
			s.wg.Go(func() { s.forward(n) })
		default:
			_ = n.Reject(xssh.UnknownChannelType, "not served")
		}
	}
	_ = conn.Close()
}

func (s *Server) session(raw net.Conn, n xssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var asked struct{ Line string }
		if xssh.Unmarshal(r.Payload, &asked) != nil {
			return
		}
		_ = r.Reply(true, nil)
		s.wg.Go(func() {
			for r := range requests {
				_ = r.Reply(false, nil) // signals change nothing, as with a root process
			}
		})
		code := s.exec(ch, asked.Line)
		select {
		case <-s.cut:
			_ = raw.Close()
		default:
			_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{code}))
		}
		return
	}
}

// exec runs a line as sshd does: it outlives the connection, whose end it sees in
// its pipes only.
func (s *Server) exec(ch xssh.Channel, line string) uint32 {
	s.execs.Add(1)
	cmd := exec.Command("sh", "-c", line) //nolint:noctx // ended in endKids
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Dir = s.Home
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	if err := cmd.Start(); err != nil {
		return 255
	}
	s.mu.Lock()
	s.kids[cmd.Process.Pid] = true
	s.mu.Unlock()
	s.wg.Go(func() {
		_, _ = io.Copy(in, ch)
		_ = in.Close()
	})
	err = cmd.Wait()
	s.mu.Lock()
	delete(s.kids, cmd.Process.Pid)
	s.mu.Unlock()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		if st, ok := failed.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return uint32(128 + st.Signal()) //nolint:gosec // small
		}
		return uint32(failed.ExitCode()) //nolint:gosec // small
	}
	return 0
}

// endKids ends the process groups of commands that still run.
func (s *Server) endKids() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid := range s.kids {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

func (s *Server) forward(n xssh.NewChannel) {
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
	if err := xssh.Unmarshal(n.ExtraData(), &to); err != nil {
		_ = n.Reject(xssh.ConnectionFailed, "bad request")
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port)))) //nolint:noctx // loopback
	if err != nil {
		_ = n.Reject(xssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		_ = target.Close()
		return
	}
	s.wg.Go(func() { xssh.DiscardRequests(requests) })
	s.wg.Go(func() {
		_, _ = io.Copy(target, ch)
		_ = target.Close()
	})
	_, _ = io.Copy(ch, target)
	_ = ch.Close()
}
