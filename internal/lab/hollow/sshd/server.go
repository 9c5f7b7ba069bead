package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// Machine is the host that a server stands on.
type Machine interface {
	// Exec runs a line as the user's login shell does and gives its exit code.
	// It ends when ctx does.
	Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int
	// Dial makes a TCP connection to addr as the host sees it.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Config says how a host shows itself and whom it lets in.
type Config struct {
	HostKey ed25519.PrivateKey
	Users   map[string][]xssh.PublicKey // authorised keys, by user
	// Listen is the address to listen on; empty: 127.0.0.1 and a free port.
	Listen string
	// Unlisted servers listen nowhere and are reached with Connect.
	Unlisted bool
	// NoForwarding forbids TCP forwarding, as AllowTcpForwarding no does.
	NoForwarding bool
}

// Server is the SSH server of one host. Safe for concurrent use.
type Server struct {
	faults faults

	machine  Machine
	config   *xssh.ServerConfig
	hostKey  xssh.PublicKey
	forbid   bool
	listener net.Listener
	inside   *insideListener // nil: the server listens on a port
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]bool
	closed bool
}

// Start starts the server of a machine. ctx is the parent of every command's
// context; the server itself ends with Close.
func Start(ctx context.Context, m Machine, c Config) (*Server, error) {
	key, err := xssh.NewSignerFromKey(c.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	s := &Server{machine: m, hostKey: key.PublicKey(), forbid: c.NoForwarding, conns: map[*conn]bool{}}
	s.config = &xssh.ServerConfig{PublicKeyCallback: authorise(c.Users), ServerVersion: "SSH-2.0-OpenSSH_9.6"}
	s.config.AddHostKey(key)
	if c.Unlisted {
		s.inside = newInsideListener()
		s.listener = s.inside
	} else if s.listener, err = listen(ctx, c.Listen); err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.wg.Go(func() { s.accept(ctx) })
	return s, nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("SSH server: %w", err)
	}
	return l, nil
}

func authorise(users map[string][]xssh.PublicKey) func(xssh.ConnMetadata, xssh.PublicKey) (*xssh.Permissions, error) {
	return func(meta xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
		for _, k := range users[meta.User()] {
			if bytes.Equal(k.Marshal(), key.Marshal()) {
				return &xssh.Permissions{}, nil
			}
		}
		return nil, fmt.Errorf("the key is not authorised for %s", meta.User())
	}
}

// Addr is where the server listens; nil when it is unlisted.
func (s *Server) Addr() *net.TCPAddr {
	addr, _ := s.listener.Addr().(*net.TCPAddr)
	return addr
}

// HostKey is the key the server shows.
func (s *Server) HostKey() xssh.PublicKey { return s.hostKey }

// Close ends the server, its connections and commands, and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	err := s.listener.Close()
	s.CutNow()
	s.wg.Wait()
	return err
}

// accept serves connections until the listener is closed.
func (s *Server) accept(ctx context.Context) {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.faults.refuses() {
			reset(raw)
			continue
		}
		c := &conn{Conn: raw, faults: &s.faults, over: make(chan struct{})}
		if !s.keep(c) {
			_ = c.Close()
			return
		}
		s.wg.Go(func() {
			defer s.forget(c)
			s.serve(ctx, c)
		})
	}
}

// keep remembers a connection, for it to be cut; false: the server is closed.
func (s *Server) keep(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = true
	}
	return !s.closed
}

func (s *Server) forget(c *conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// maxSessions is how many sessions a connection may have, as with OpenSSH.
const maxSessions = 10

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, c *conn) {
	client, channels, requests, err := xssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	s.wg.Go(func() { xssh.DiscardRequests(requests) }) // "no" answers a keepalive, too
	sessions := make(chan struct{}, maxSessions)
	for n := range channels {
		switch n.ChannelType() {
		case "session":
			select {
			case sessions <- struct{}{}:
				s.wg.Go(func() {
					defer func() { <-sessions }()
					s.session(ctx, c, client.User(), n)
				})
			default:
				_ = n.Reject(xssh.ConnectionFailed, "open failed")
			}
		case "direct-tcpip":
			s.wg.Go(func() { s.forward(ctx, c, n) })
		default:
			_ = n.Reject(xssh.UnknownChannelType, "unknown channel type")
		}
	}
}
