package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	xssh "golang.org/x/crypto/ssh"
)

// conn is one connection to a host, through its bastions.
type conn struct {
	chain []*xssh.Client // outermost first; the last one is the host
	dead  chan struct{}  // closed once the host's connection has ended
}

func (c *conn) client() *xssh.Client { return c.chain[len(c.chain)-1] }

// isDead tells whether the connection has ended.
func (c *conn) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// drop closes the connection; its users see it end.
func (c *conn) drop() {
	for i := len(c.chain) - 1; i >= 0; i-- {
		_ = c.chain[i].Close()
	}
}

// watch notices the end of the connection, and ends it when the host is silent.
func (h *Host) watch(c *conn) {
	h.wg.Go(func() {
		_ = c.client().Wait()
		close(c.dead)
		c.drop() // the bastions' connections are of no use without it
	})
	keepalive := h.cfg.Keepalive
	if keepalive <= 0 {
		return
	}
	h.wg.Go(func() {
		tick := time.NewTicker(keepalive)
		defer tick.Stop()
		for {
			select {
			case <-c.dead:
				return
			case <-tick.C:
			}
			silent := time.AfterFunc(keepalive, c.drop)
			_, _, err := c.client().SendRequest("keepalive@openssh.com", true, nil)
			silent.Stop()
			if err != nil {
				c.drop()
				return
			}
		}
	})
}

// Dialling is tried again, since a host that boots or has its hands full refuses
// for a moment: dialAttempts times, at first after dialPause, then twice as long
// each time.
const (
	dialAttempts = 5
	dialPause    = 200 * time.Millisecond
)

// connect gives the living connection, dialling it when there is none.
func (h *Host) connect(ctx context.Context) (*conn, error) {
	select {
	case h.dialling <- struct{}{}:
		defer func() { <-h.dialling }()
	case <-ctx.Done():
		return nil, h.interrupted(ctx, "connect")
	}
	h.mu.Lock()
	current, closed := h.current, h.closed
	h.mu.Unlock()
	if closed {
		return nil, h.isClosed()
	}
	if current != nil && !current.isDead() {
		return current, nil
	}
	c, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		c.drop()
		return nil, h.isClosed()
	}
	h.current = c
	h.watch(c)
	return c, nil
}

func (h *Host) dial(ctx context.Context) (*conn, error) {
	pause := dialPause
	for attempt := 1; ; attempt++ {
		c, err := h.dialOnce(ctx)
		var lost *remote.ConnectionError
		if err == nil || !errors.As(err, &lost) || attempt == dialAttempts || isTimeout(err) {
			return c, err
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, err
		case <-wait.C:
		}
		pause *= 2
	}
}

// isTimeout tells whether a host did not answer in its time; it was waited for
// long enough.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, errSilent) || errors.As(err, &n) && n.Timeout()
}

var errSilent = errors.New("no answer")

func (h *Host) dialOnce(ctx context.Context) (*conn, error) {
	c := &conn{dead: make(chan struct{})}
	var via *xssh.Client
	for i := range h.chain {
		client, err := h.hop(ctx, via, i)
		if err != nil {
			c.drop()
			return nil, err
		}
		c.chain = append(c.chain, client)
		via = client
	}
	return c, nil
}

// hop connects to one host of the chain, through the one before it.
func (h *Host) hop(ctx context.Context, via *xssh.Client, i int) (*xssh.Client, error) {
	to := &h.chain[i]
	v, err := newVerifier(h.cfg.Name, h.chain[:i], to, h.trusted)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tooLong := fmt.Errorf("%w within %s", errSilent, to.ConnectTimeout)
	timer := time.AfterFunc(to.ConnectTimeout, func() { cancel(tooLong) })
	defer timer.Stop()

	raw, err := h.tcp(ctx, via, i)
	if err != nil {
		return nil, h.hopError(ctx, i, v, nil, err)
	}
	o := h.keys.offer(ctx, to, func(ask func()) {
		timer.Stop() // a person is not the host's slowness
		defer timer.Reset(to.ConnectTimeout)
		ask()
	})
	defer o.close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	cc, channels, requests, err := xssh.NewClientConn(raw, to.endpoint(), &xssh.ClientConfig{
		User:              to.User,
		Auth:              []xssh.AuthMethod{xssh.PublicKeys(o.signers...)},
		HostKeyCallback:   v.callback,
		HostKeyAlgorithms: v.algorithms(),
		ClientVersion:     "SSH-2.0-kup",
	})
	if !stop() && err == nil {
		_ = cc.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, h.hopError(ctx, i, v, o, err)
	}
	return xssh.NewClient(cc, channels, requests), nil
}

func (h *Host) tcp(ctx context.Context, via *xssh.Client, i int) (net.Conn, error) {
	addr := h.chain[i].endpoint()
	if via == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	raw, err := via.DialContext(ctx, "tcp", addr)
	if isProhibited(err) {
		return nil, &ForwardingError{Host: "bastion " + h.chain[i-1].Address, Target: addr, Err: err}
	}
	return raw, err
}

// hopError types what went wrong on the way to host i of the chain.
func (h *Host) hopError(ctx context.Context, i int, v *verifier, o *offer, err error) error {
	to := &h.chain[i]
	var forbidden *ForwardingError
	switch {
	case v.refused != nil:
		return v.refused
	case errors.As(err, &forbidden):
		return fmt.Errorf("%s: %w", h, forbidden)
	case o != nil && isRefusedLogin(err):
		return &AuthError{Host: h.cfg.Name, Address: to.endpoint(), User: to.User, Tried: o.tried, Err: err}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // rather than the closed connection it led to
	}
	where := to.endpoint()
	if i < len(h.chain)-1 {
		where = "bastion " + where
	}
	return &remote.ConnectionError{Host: h.cfg.Name, Unsent: true, Err: fmt.Errorf("connect to %s: %w", where, err)}
}

// isRefusedLogin tells whether the handshake ended because of who we are. The
// library has no type for it.
func isRefusedLogin(err error) bool {
	var locked *lockedError
	s := err.Error()
	return errors.As(err, &locked) || strings.Contains(s, "unable to authenticate") ||
		strings.Contains(s, "oo many authentication failures")
}

func isProhibited(err error) bool {
	var refused *xssh.OpenChannelError
	return errors.As(err, &refused) && refused.Reason == xssh.Prohibited
}
