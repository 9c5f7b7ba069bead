package sshd

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// conn is a client's connection, on which the server's faults act.
type conn struct {
	net.Conn
	faults *faults
	once   sync.Once
	over   chan struct{} // closed by Close
	lost   atomic.Bool   // nothing more can be read
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && !c.faults.hold(c.over, true) {
		n, err = 0, net.ErrClosed
	}
	if err != nil {
		c.lost.Store(true)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.faults.hold(c.over, false) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// Close ends what is held back, too.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.over) })
	return c.Conn.Close()
}

// reset closes a connection the hard way, as a port does that nobody listens on.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// insideListener is where connections arrive that come from within this process.
type insideListener struct {
	arriving chan net.Conn
	once     sync.Once
	over     chan struct{}
}

func newInsideListener() *insideListener {
	return &insideListener{arriving: make(chan net.Conn), over: make(chan struct{})}
}

func (l *insideListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arriving:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *insideListener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *insideListener) Addr() net.Addr { return insideAddr{} }

type insideAddr struct{}

func (insideAddr) Network() string { return "inside" }
func (insideAddr) String() string  { return "inside" }

// Connect makes a connection to the server, for those who are where it can be
// reached: the Machine.Dial of a bastion.
func (s *Server) Connect(ctx context.Context) (net.Conn, error) {
	if s.inside == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", s.listener.Addr().String())
	}
	refused := fmt.Errorf("connect: %w", syscall.ECONNREFUSED)
	if s.faults.refuses() {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case s.inside.arriving <- far:
		return near, nil
	case <-s.inside.over:
		return nil, refused
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
