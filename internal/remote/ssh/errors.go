package ssh

import (
	"fmt"
	"strings"
)

// HostKeyError is a host whose key is not trusted: unknown, changed, revoked or
// signed by nobody known. Nothing was sent to the host.
type HostKeyError struct {
	Host        string // as the inventory calls it
	Address     string // "address:port" of the host that showed the key: Host or one of its bastions
	Fingerprint string // "SHA256:..." of the key shown
	Changed     bool   // other keys are known for the address
	// Trust is the command that trusts the host's present key, once its
	// fingerprint was verified by other means. Empty: no command should.
	Trust string
	Err   error // what is wrong with the key
}

func (e *HostKeyError) Error() string {
	if e.Trust == "" {
		return fmt.Sprintf("%s: host key %s of %s is refused: %v", e.Host, e.Fingerprint, e.Address, e.Err)
	}
	state := "is unknown"
	if e.Changed {
		state = "has CHANGED, which may be an attack"
	}
	return fmt.Sprintf("%s: host key %s of %s %s (%v); compare it with `ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub` on the host's console, then trust it: %s",
		e.Host, e.Fingerprint, e.Address, state, e.Err, e.Trust)
}

// Unwrap gives the cause.
func (e *HostKeyError) Unwrap() error { return e.Err }

// AuthError is a host that accepted none of the keys offered.
type AuthError struct {
	Host    string
	Address string // "address:port" of the host that refused: Host or one of its bastions
	User    string
	Tried   []string // what was offered, and what could not be and why
	Err     error
}

func (e *AuthError) Error() string {
	tried := "no key at all; set ssh.identities or start an agent"
	if len(e.Tried) > 0 {
		tried = strings.Join(e.Tried, ", ")
	}
	return fmt.Sprintf("%s: %s@%s accepts none of the keys offered (%s): %v; try it: ssh -v %s",
		e.Host, e.User, e.Address, tried, e.Err, sshArgs(e.User, e.Address))
}

// Unwrap gives the cause.
func (e *AuthError) Unwrap() error { return e.Err }

// SudoError is a host where root could not be gained. The command did not run.
type SudoError struct {
	Host   string
	User   string
	Reason string // one sentence, with what to do
	Err    error  // what sudo said
}

func (e *SudoError) Error() string {
	return fmt.Sprintf("%s: %s cannot become root: %s", e.Host, e.User, e.Reason)
}

// Unwrap gives the cause.
func (e *SudoError) Unwrap() error { return e.Err }

// ForwardingError is an SSH server that forbids TCP forwarding.
type ForwardingError struct {
	Host   string // whose SSH server forbids it
	Target string // "address:port" that was to be reached
	Err    error
}

func (e *ForwardingError) Error() string {
	return fmt.Sprintf("%s: its SSH server forbids a connection to %s (%v): allow it with AllowTcpForwarding and PermitOpen in sshd_config of %s",
		e.Host, e.Target, e.Err, e.Host)
}

// Unwrap gives the cause.
func (e *ForwardingError) Unwrap() error { return e.Err }

// ForwardingProhibited marks the error for packages that know another way to
// where the connection was to lead.
func (e *ForwardingError) ForwardingProhibited() bool { return true }
