package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/kup-project/kup/internal/remote"
	xssh "golang.org/x/crypto/ssh"
)

// Host is a machine reached over SSH. It connects on first use, keeps one
// connection and connects again after that one broke. Safe for concurrent use.
//
// Besides those of remote.Host, every method may fail with *[HostKeyError] and
// *[AuthError] when it has to connect, and with *[SudoError] when root is needed.
type Host struct {
	cfg      Config
	chain    []Config // bastions, then the host
	keys     *keyring
	trusted  *trusted
	dialling chan struct{} // held by the one that connects
	sessions chan struct{} // held by every command that runs
	sudo     sudoState

	mu      sync.Mutex
	current *conn
	closed  bool
	wg      sync.WaitGroup // every goroutine of the host; grows under mu, while not closed
}

var (
	_ remote.Host   = (*Host)(nil)
	_ remote.Dialer = (*Host)(nil)
)

// maxSessions is how many commands run on a host at once; sshd's own limit for a
// connection (MaxSessions) is 10 unless told otherwise.
const maxSessions = 8

// New gives the host that cfg describes. It does not connect yet.
func New(cfg Config) *Host {
	cfg = cfg.withDefaults()
	common := cfg.shared
	if common == nil {
		common = newShared()
	}
	h := &Host{
		cfg:      cfg,
		keys:     common.keys,
		trusted:  common.trusted,
		dialling: make(chan struct{}, 1),
		sessions: make(chan struct{}, maxSessions),
	}
	h.sudo.asking = make(chan struct{}, 1)
	for _, b := range cfg.Bastions {
		h.chain = append(h.chain, b.withDefaults())
	}
	h.chain = append(h.chain, cfg)
	return h
}

// String is the inventory's name of the host.
func (h *Host) String() string { return h.cfg.Name }

// Reach connects and gains root. Of a host on which root was gained before, it makes
// sure that this is still so.
func (h *Host) Reach(ctx context.Context) error {
	if h.cfg.Sudo.Mode != SudoNone && !h.hasRoot() {
		_, err := h.gainRoot(ctx) // by a command that does nothing
		return err
	}
	_, err := h.Run(ctx, remote.Command{Argv: []string{"true"}, Sudo: true})
	return err
}

// Disconnect ends the connection: a command that runs loses its reply, and the next
// one connects again. It is for a host of which nothing is wanted for a while.
func (h *Host) Disconnect() {
	h.mu.Lock()
	c := h.current
	h.current = nil
	h.mu.Unlock()
	if c != nil {
		c.drop()
	}
}

// Close ends the connection and waits for what used it. The host cannot be used
// afterwards.
func (h *Host) Close() error {
	h.mu.Lock()
	c := h.current
	h.current, h.closed = nil, true
	h.mu.Unlock()
	if c != nil {
		c.drop()
	}
	h.wg.Wait()
	return nil
}

// spawn runs f on a goroutine that Close waits for, unless the host is closed.
func (h *Host) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Go(f)
	}
	return !h.closed
}

func (h *Host) isClosed() error { return fmt.Errorf("%s: %w", h, net.ErrClosed) }

// Run runs the command. It ends early, without knowing what became of the
// command, when ctx does. Stdin is read to its end or until the command ended.
func (h *Host) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	return h.run(ctx, c, c.Argv)
}

// run runs c; errors speak of shown.
func (h *Host) run(ctx context.Context, c remote.Command, shown []string) (remote.Result, error) {
	if len(c.Argv) == 0 {
		return remote.Result{}, fmt.Errorf("%s: an empty command", h)
	}
	for _, word := range append(append([]string{}, c.Argv...), c.Env...) {
		if strings.ContainsRune(word, 0) {
			return remote.Result{}, fmt.Errorf("%s: %s: an argument holds a zero byte", h, c.Argv[0])
		}
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not done after %s: %w", c.Timeout, context.DeadlineExceeded))
		defer cancel()
	}
	argv := c.Argv
	if len(c.Env) > 0 {
		argv = append(append([]string{"env"}, c.Env...), argv...)
	}
	if !c.Sudo {
		return h.exec(ctx, shown, argv, c.Stdin)
	}
	argv, stdin, err := h.asRoot(ctx, argv, c.Stdin)
	if err != nil {
		return remote.Result{}, err
	}
	r, err := h.exec(ctx, shown, argv, stdin)
	return r, h.sudoFailure(err)
}

// DialContext connects to a TCP address as the host sees it. A server that
// forbids it is a *[ForwardingError]. The connection has no deadlines.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("%s: dial %s: only TCP is forwarded, not %s", h, addr, network)
	}
	for again := false; ; again = true {
		c, err := h.connect(ctx)
		if err != nil {
			return nil, err
		}
		forwarded, err := h.forward(ctx, c, addr)
		var refused *xssh.OpenChannelError
		switch {
		case err == nil:
			return forwarded, nil
		case isProhibited(err):
			return nil, &ForwardingError{Host: h.cfg.Name, Target: addr, Err: err}
		case errors.As(err, &refused) || ctx.Err() != nil:
			return nil, fmt.Errorf("%s: dial %s from the host: %w", h, addr, err)
		case again:
			return nil, &remote.ConnectionError{Host: h.cfg.Name, Unsent: true, Err: fmt.Errorf("dial %s from the host: %w", addr, err)}
		}
		c.drop() // it broke before; opening a channel can be repeated
		<-c.dead
	}
}

// forward dials through a connection, for as long as that lives.
func (h *Host) forward(ctx context.Context, c *conn, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !h.spawn(func() {
		select {
		case <-c.dead:
			cancel(errBroken)
		case <-ctx.Done():
		}
	}) {
		return nil, h.isClosed()
	}
	forwarded, err := c.client().DialContext(ctx, "tcp", addr)
	if err != nil && errors.Is(context.Cause(ctx), errBroken) {
		return nil, errBroken
	}
	return forwarded, err
}

// interrupted is the error of something that ctx cut short.
func (h *Host) interrupted(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %s: %w", h, what, context.Cause(ctx))
}
