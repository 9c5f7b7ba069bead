package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/pkg/cluster"
)

// hosts are the machines of the inventory, connected when first used.
type hosts struct {
	byNode  map[string]*ssh.Host
	workers map[string]bool
	span    func(from, to time.Time)
}

// openHosts resolves how every node is reached. Nothing is connected yet.
func openHosts(sys *system, inv *inventory.Inventory) (*hosts, error) {
	h := &hosts{byNode: map[string]*ssh.Host{}, workers: map[string]bool{}}
	ask := &asker{sys: sys, answers: map[string][]byte{}}
	trials := new(ssh.Trials)
	configs := map[string]*ssh.ClientConfig{}
	for _, n := range inv.Nodes {
		s := inv.SSHFor(n.Name)
		client, ok := configs[s.Config]
		if !ok {
			path := s.Config
			if path == inventory.None {
				path = ""
			}
			var err error
			if client, err = ssh.LoadClientConfig(path); err != nil {
				return nil, &usageError{err: err}
			}
			configs[s.Config] = client
		}
		config, err := client.Resolve(ssh.Config{
			Name: n.Name, Address: n.Address, Port: s.Port, User: s.User,
			Identities: s.Identities, Agent: s.Agent, KnownHosts: s.KnownHosts,
			Passphrase:     func(identity string) ([]byte, error) { return ask.secret("passphrase of " + identity) },
			ConnectTimeout: s.ConnectTimeout, Keepalive: s.Keepalive,
			Sudo: ssh.Sudo{Mode: string(s.Sudo.Mode), Password: ask.sudo(s), Trials: trials},
		}, s.Bastion)
		if err != nil {
			return nil, &usageError{err: err}
		}
		h.byNode[n.Name], h.workers[n.Name] = ssh.New(config), n.Role == cluster.Worker
	}
	return h, nil
}

// errUnlisted is a node that kup is not to reach.
var errUnlisted = errors.New("is not in the inventory")

// Host gives the machine of a node. Time spent in its commands is told to span
// once that is set.
func (h *hosts) Host(node string) (remote.Host, error) {
	host, ok := h.byNode[node]
	if !ok {
		return nil, fmt.Errorf("node %s %w; add it to nodes in kup.yaml", node, errUnlisted)
	}
	if h.span == nil {
		return host, nil
	}
	return remote.Timed(host, h.span), nil
}

// reach connects to a node's host, as root.
func (h *hosts) reach(ctx context.Context, node string) error { return h.byNode[node].Reach(ctx) }

// leave ends the connection to a worker, of which nothing more is wanted for a while: a
// thousand of them hold a hundred megabytes. Control planes are the way to etcd and to
// the package source.
func (h *hosts) leave(node string) {
	if h.workers[node] {
		h.byNode[node].Disconnect()
	}
}

func (h *hosts) close() error {
	var errs []error
	for _, host := range h.byNode {
		errs = append(errs, host.Close())
	}
	return errors.Join(errs...)
}

// asker asks for each secret once and remembers it for the life of the process.
type asker struct {
	sys     *system
	mu      sync.Mutex
	answers map[string][]byte
}

func (a *asker) secret(what string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.answers[what]; ok {
		return s, nil
	}
	s, err := secret(a.sys, what+": ")
	if err == nil {
		a.answers[what] = s
	}
	return s, err
}

// sudo gives the source of a host's sudo password: file, variable, or terminal.
func (a *asker) sudo(s inventory.SSH) func(context.Context) ([]byte, error) {
	switch {
	case s.Sudo.PasswordFile != "":
		return func(context.Context) ([]byte, error) {
			b, err := os.ReadFile(s.Sudo.PasswordFile)
			return bytes.TrimRight(b, "\r\n"), err
		}
	case s.Sudo.PasswordEnv != "":
		return func(context.Context) ([]byte, error) {
			v, ok := os.LookupEnv(s.Sudo.PasswordEnv)
			if !ok {
				return nil, fmt.Errorf("environment variable %s is not set", s.Sudo.PasswordEnv)
			}
			return []byte(v), nil
		}
	default:
		return func(context.Context) ([]byte, error) { return a.secret("sudo password of " + s.User) }
	}
}
