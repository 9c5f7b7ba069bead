package ssh

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// verifier judges the key of one host of a chain.
type verifier struct {
	host    string // the host the chain leads to
	files   []string
	via     []Config // the bastions before the host that is judged
	address string   // the one that is judged, without and with its port
	target  string
	check   xssh.HostKeyCallback
	known   []string      // algorithms of the keys known for the host
	refused *HostKeyError // the verdict, when it is no
}

// newVerifier judges by the known_hosts files as they are now.
func newVerifier(host string, via []Config, c *Config, t *trusted) (*verifier, error) {
	v := &verifier{host: host, files: c.KnownHosts, via: via, address: c.Address, target: c.endpoint()}
	keys, err := t.in(c.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	v.check = keys.HostKeyCallback()
	v.known = keys.HostKeyAlgorithms(v.target)
	return v, nil
}

// algorithms puts those of known keys first, so that a host with several keys
// shows the one that can be verified. The others follow: a host that lost its
// known key is then a changed host and not a failed negotiation.
func (v *verifier) algorithms() []string {
	all := xssh.SupportedAlgorithms().HostKeys
	var out []string
	for _, a := range v.known {
		// Signatures with SHA-1 are gone: a known RSA key is good for the newer ones.
		if a != xssh.KeyAlgoRSA && a != xssh.CertAlgoRSAv01 && slices.Contains(all, a) {
			out = append(out, a)
		}
	}
	for _, a := range all {
		if !slices.Contains(out, a) && !strings.Contains(a, "-cert-") {
			out = append(out, a)
		}
	}
	return out
}

// callback is what the handshake asks. It keeps its refusal, typed.
func (v *verifier) callback(hostname string, remoteAddr net.Addr, key xssh.PublicKey) error {
	err := v.check(hostname, remoteAddr, key)
	if err == nil {
		return nil
	}
	shown := key
	if cert, ok := key.(*xssh.Certificate); ok {
		shown = cert.Key
	}
	v.refused = &HostKeyError{Host: v.host, Address: v.target, Fingerprint: xssh.FingerprintSHA256(shown), Err: err}
	var mismatch *xknownhosts.KeyError
	if errors.As(err, &mismatch) {
		v.refused.Changed = len(mismatch.Want) > 0
		v.refused.Trust = v.trust(mismatch.Want)
		v.refused.Err = v.describe(mismatch)
	}
	return v.refused
}

func (v *verifier) describe(e *xknownhosts.KeyError) error {
	if len(e.Want) == 0 {
		return fmt.Errorf("not in %s: %w", strings.Join(v.files, ", "), e)
	}
	var where []string
	for _, k := range e.Want {
		where = append(where, fmt.Sprintf("%s:%d", k.Filename, k.Line))
	}
	return fmt.Errorf("another one is in %s: %w", strings.Join(where, ", "), e)
}

// trust is the command that trusts the key: what is known of the address is
// removed, then its keys are asked for, from where the host can be reached.
func (v *verifier) trust(known []xknownhosts.KnownKey) string {
	host, port, _ := net.SplitHostPort(v.target)
	scan := remote.Quote([]string{"ssh-keyscan", "-p", port, host})
	if n := len(v.via); n > 0 {
		last := &v.via[n-1]
		jump := []string{"ssh"}
		if n > 1 {
			var before []string
			for i := range v.via[:n-1] {
				before = append(before, v.via[i].User+"@"+v.via[i].endpoint())
			}
			jump = append(jump, "-J", strings.Join(before, ","))
		}
		scan = remote.Quote(jump) + " " + sshArgs(last.User, last.endpoint()) + " " + scan
	}
	file := "~/.ssh/known_hosts"
	if len(v.files) > 0 {
		file = remote.Quote(v.files[:1])
	}
	var commands []string
	for _, k := range known {
		c := remote.Quote([]string{"ssh-keygen", "-f", k.Filename, "-R", xknownhosts.Normalize(v.target)})
		if !slices.Contains(commands, c) {
			commands = append(commands, c)
		}
	}
	return strings.Join(append(commands, scan+" >> "+file), " && ")
}

// sshArgs is how OpenSSH's client is told user and endpoint.
func sshArgs(user, endpoint string) string {
	host, port, _ := net.SplitHostPort(endpoint)
	return remote.Quote([]string{"-p", port, user + "@" + host})
}
