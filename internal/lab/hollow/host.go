package hollow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/pkg/cluster"
)

// host is a machine with its SSH server: what kup's user meets at its address.
type host struct {
	place
	cluster *Cluster
	machine *machine.Machine
	// executions answers in the place of kup's wrapper script.
	executions *execution.Model
	ssh        *sshd.Server
	// expires is when each certificate expired at the cluster's start, by name.
	expires map[string]time.Time
	// moved: what it ran before it was saved runs no more.
	moved bool
}

// Exec implements sshd.Machine.
func (h *host) Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	return h.machine.Exec(ctx, user, line, stdin, stdout, stderr)
}

// Dial implements sshd.Machine: the host's loopback is its own, pods and Services
// answer for DNS, other hosts at the ports that are theirs.
func (h *host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if name == "127.0.0.1" || name == "localhost" || name == "::1" {
		name = h.IP
	}
	c := h.cluster
	switch {
	case port == "53" && c.isDNS(name):
		near, far := net.Pipe()
		c.running.Go(func() { resolve(far, c.services) }) // ends with near
		return near, nil
	case net.JoinHostPort(name, port) == c.layout.endpoint(), c.has(name) && (port == apiPort || port == "2379" || port == "2380"):
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(name, port))
	}
	return nil, fmt.Errorf("connect to %s: %w", addr, syscall.ECONNREFUSED)
}

// listen starts the host's SSH server.
func (h *host) listen(ctx context.Context, key ssh.PublicKey) error {
	var err error
	h.ssh, err = sshd.Start(ctx, h, sshd.Config{
		HostKey: h.cluster.keys.Hosts[h.IP], Users: map[string][]ssh.PublicKey{sshUser: {key}},
		Listen: net.JoinHostPort(h.IP, strconv.Itoa(sshPort)), Unlisted: h.BehindBastion,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// sudo is the host's program of that name.
func (h *host) sudo() shell.Program {
	password := ""
	if h.SudoPassword {
		password = h.cluster.keys.SudoPassword
	}
	return sshd.Sudo(sshd.Sudoers{sshUser: password})
}

// powerOff cuts the power, and with it the network.
func (h *host) powerOff(ctx context.Context) error {
	h.ssh.Refuse()
	h.ssh.CutNow()
	return h.machine.PowerOff(ctx)
}

func (h *host) powerOn() error {
	h.ssh.Restore()
	return h.machine.PowerOn()
}

// bastion is the jump host: it forwards and runs nothing.
type bastion struct{ cluster *Cluster }

// Exec implements sshd.Machine.
func (bastion) Exec(_ context.Context, _, _ string, _ io.Reader, _, stderr io.Writer) int {
	_, _ = fmt.Fprintln(stderr, "This account is for jumping only.")
	return 1
}

// Dial implements sshd.Machine: from here every host's SSH server is reached.
func (b bastion) Dial(ctx context.Context, addr string) (net.Conn, error) {
	for _, h := range b.cluster.hosts {
		if addr == net.JoinHostPort(h.IP, strconv.Itoa(sshPort)) {
			return h.ssh.Connect(ctx)
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", addr, syscall.ECONNREFUSED)
}

var errNoHost = errors.New("no such host")

// host gives one by name.
func (c *Cluster) host(name string) (*host, error) {
	for _, h := range c.hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", name, errNoHost)
}

// has tells whether a host of the cluster has the address.
func (c *Cluster) has(ip string) bool {
	for _, h := range c.hosts {
		if h.IP == ip {
			return true
		}
	}
	return false
}

func (h *host) isControlPlane() bool { return h.Role == cluster.ControlPlane }
