package ssh

import (
	"context"
	"net"
	"strconv"
	"time"
)

// Config says how one host is reached. [ClientConfig.Resolve] completes what an
// inventory leaves open.
type Config struct {
	Name    string // how the inventory calls the host; Address when empty
	Address string // IP address or DNS name, without a port
	Port    int    // 22 when 0
	User    string

	// Identities are files of private keys, offered in this order. A certificate
	// beside one (key-cert.pub) is offered before it.
	Identities []string
	// Agent also offers the keys of the agent behind $SSH_AUTH_SOCK, after the
	// identities. An identity that the agent holds is used through the agent.
	Agent bool
	// IdentitiesOnly keeps agent keys that are no identity out.
	IdentitiesOnly bool
	// Passphrase opens an encrypted identity. It is called when a host accepts the
	// key, until it was right once for all hosts of one [ClientConfig]; nil: encrypted
	// identities cannot be used.
	Passphrase func(identity string) ([]byte, error)

	// KnownHosts are files of trusted host keys. Those that do not exist are
	// skipped; with none left no host is trusted.
	KnownHosts []string
	// Bastions are the hosts to go through, outermost first. Their own Bastions
	// and Sudo are ignored.
	Bastions []Config

	ConnectTimeout time.Duration // for each host of the chain; 10 s when 0
	Keepalive      time.Duration // 15 s when 0; negative: none
	Sudo           Sudo

	shared *shared // with the other hosts of one ClientConfig; nil: with none
}

// How root is gained.
const (
	SudoAuto     = "auto"     // without a password where sudo allows it, else with one
	SudoNoPasswd = "nopasswd" // never with a password
	SudoPassword = "password" // always with a password
	SudoNone     = "none"     // the user is root already
)

// Sudo says how root is gained on a host.
type Sudo struct {
	Mode string // SudoAuto when empty
	// Password gives the password of the user. It is called once per Host, again
	// after a wrong one. The password reaches the host over standard input only.
	Password func(ctx context.Context) ([]byte, error)
	// Trials is shared by the hosts whose user may be one account; nil: this host
	// tries its password whatever others found.
	Trials *Trials
}

// withDefaults fills what is empty.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = c.Address
	}
	if c.Port == 0 {
		c.Port = 22
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.Keepalive == 0 {
		c.Keepalive = 15 * time.Second
	}
	if c.Sudo.Mode == "" {
		c.Sudo.Mode = SudoAuto
	}
	return c
}

// endpoint is "address:port".
func (c *Config) endpoint() string { return net.JoinHostPort(c.Address, strconv.Itoa(c.Port)) }
