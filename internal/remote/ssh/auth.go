package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring opens identities and remembers those it has opened, until their files
// change.
type keyring struct {
	mu     sync.Mutex
	opened map[string]openedKey // by file
	// person is held while somebody is asked for a passphrase, so that one answer
	// serves all hosts.
	person sync.Mutex
}

// openedKey is an identity, and the state of the file it was read from.
type openedKey struct {
	stamp stamp
	key   xssh.AlgorithmSigner
}

func newKeyring() *keyring { return &keyring{opened: map[string]openedKey{}} }

// known gives the identity that was opened before; nil when there is none, or the
// file is another one by now.
func (k *keyring) known(file string, now stamp) xssh.AlgorithmSigner {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o, found := k.opened[file]; found && o.stamp == now {
		return o.key
	}
	return nil
}

// remember keeps an opened identity; one that cannot sign as SSH needs is an error.
func (k *keyring) remember(file string, now stamp, key xssh.Signer) (xssh.AlgorithmSigner, error) {
	s, ok := key.(xssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("cannot sign with %T", key)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened[file] = openedKey{now, s}
	return s, nil
}

// offer is what one host is shown.
type offer struct {
	signers []xssh.Signer
	tried   []string // for people, see AuthError.Tried
	agent   net.Conn // nil without one; open while the handshake lasts
}

func (o *offer) close() {
	if o.agent != nil {
		_ = o.agent.Close()
	}
}

// offer gathers the keys for c. asking is called around Passphrase, which may
// wait for a person.
func (k *keyring) offer(ctx context.Context, c *Config, asking func(func())) *offer {
	o := &offer{}
	held := o.fromAgent(ctx, c)
	for _, file := range c.Identities {
		s, err := k.signer(c, file, held, asking)
		var reason *fs.PathError // names the file as well
		if errors.As(err, &reason) {
			err = reason.Err
		}
		if err != nil {
			o.tried = append(o.tried, fmt.Sprintf("%s: %v", file, err))
			continue
		}
		if cert := certificate(file, s); cert != nil {
			o.signers = append(o.signers, cert)
			o.tried = append(o.tried, file+"-cert.pub")
		}
		o.signers = append(o.signers, s)
		o.tried = append(o.tried, file)
	}
	for _, s := range held {
		if !c.IdentitiesOnly && !slices.ContainsFunc(o.signers, func(x xssh.Signer) bool { return samePublic(x, s) }) {
			o.signers = append(o.signers, s)
			o.tried = append(o.tried, "agent "+xssh.FingerprintSHA256(s.PublicKey()))
		}
	}
	return o
}

func (o *offer) fromAgent(ctx context.Context, c *Config) []xssh.Signer {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if !c.Agent || socket == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		o.tried = append(o.tried, fmt.Sprintf("agent: %v", err))
		return nil
	}
	o.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		o.tried = append(o.tried, fmt.Sprintf("agent: %v", err))
	}
	return signers
}

// signer gives the key of an identity file: from the agent when it holds it,
// else from the file. An encrypted one is opened only when it has to sign.
func (k *keyring) signer(c *Config, file string, held []xssh.Signer, asking func(func())) (xssh.AlgorithmSigner, error) {
	now, err := stampOf(file)
	if err != nil {
		return nil, err
	}
	if s := k.known(file, now); s != nil {
		return s, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	key, err := xssh.ParsePrivateKey(content)
	var locked *xssh.PassphraseMissingError
	switch {
	case err == nil:
		return k.remember(file, now, key)
	case !errors.As(err, &locked):
		return nil, err
	}
	pub := locked.PublicKey
	if pub == nil { // the older PEM format hides it
		if line, err := os.ReadFile(file + ".pub"); err == nil {
			pub, _, _, _, _ = xssh.ParseAuthorizedKey(line)
		}
	}
	if pub != nil {
		for _, s := range held {
			if as, ok := s.(xssh.AlgorithmSigner); ok && bytes.Equal(s.PublicKey().Marshal(), pub.Marshal()) {
				return as, nil
			}
		}
	}
	lazy := &lockedKey{ring: k, file: file, pub: pub, passphrase: c.Passphrase, asking: asking}
	if pub == nil {
		return lazy.open()
	}
	return lazy, nil
}

// lockedKey is an encrypted identity, shown by its public half.
type lockedKey struct {
	ring       *keyring
	file       string
	pub        xssh.PublicKey
	passphrase func(identity string) ([]byte, error)
	asking     func(func())
}

func (l *lockedKey) PublicKey() xssh.PublicKey { return l.pub }

func (l *lockedKey) Sign(rand io.Reader, data []byte) (*xssh.Signature, error) {
	return l.SignWithAlgorithm(rand, data, "")
}

func (l *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*xssh.Signature, error) {
	s, err := l.open()
	if err != nil {
		return nil, err
	}
	return s.SignWithAlgorithm(rand, data, algorithm)
}

// lockedError is an identity that could not be opened.
type lockedError struct {
	file string
	err  error
}

func (e *lockedError) Error() string { return fmt.Sprintf("%s: %v", e.file, e.err) }

func (e *lockedError) Unwrap() error { return e.err }

func (l *lockedKey) open() (s xssh.AlgorithmSigner, err error) {
	l.asking(func() { s, err = l.unlock() })
	if err != nil {
		return nil, &lockedError{file: l.file, err: err}
	}
	return s, nil
}

// unlock waits for a person, or until another host's connection has waited for one.
func (l *lockedKey) unlock() (xssh.AlgorithmSigner, error) {
	l.ring.person.Lock()
	defer l.ring.person.Unlock()
	now, err := stampOf(l.file)
	if err != nil {
		return nil, err
	}
	if s := l.ring.known(l.file, now); s != nil {
		return s, nil
	}
	if l.passphrase == nil {
		return nil, errors.New("encrypted, and nobody can be asked for the passphrase: add it to an agent with ssh-add")
	}
	content, err := os.ReadFile(l.file)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	phrase, err := l.passphrase(l.file)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	key, err := xssh.ParsePrivateKeyWithPassphrase(content, phrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return l.ring.remember(l.file, now, key)
}

// certificate gives the certificate beside an identity, or nil.
func certificate(file string, s xssh.Signer) xssh.Signer {
	line, err := os.ReadFile(file + "-cert.pub")
	if err != nil {
		return nil
	}
	pub, _, _, _, err := xssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil
	}
	cert, ok := pub.(*xssh.Certificate)
	if !ok {
		return nil
	}
	signer, err := xssh.NewCertSigner(cert, s)
	if err != nil {
		return nil
	}
	return signer
}

func samePublic(a, b xssh.Signer) bool {
	return bytes.Equal(a.PublicKey().Marshal(), b.PublicKey().Marshal())
}
