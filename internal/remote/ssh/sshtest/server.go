package sshtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Server is an SSH server on the loopback interface.
type Server struct {
	HostKey xssh.PublicKey // the one it shows, without a certificate
	Home    string         // the directory commands run in, and that of the files of Config

	identity string // file of the private key it accepts
	addr     *net.TCPAddr
	config   *xssh.ServerConfig
	env      []string
	forbid   bool
	silent   atomic.Bool
	dials    atomic.Int64
	execs    atomic.Int64
	cut      chan struct{} // see CutNext

	mu    sync.Mutex
	conns map[net.Conn]bool
	kids  map[int]bool // processes to end with the test
	wg    sync.WaitGroup
}

// Option changes a server.
type Option func(*settings)

type settings struct {
	hostKeys []xssh.Signer
	accept   []xssh.PublicKey
	user     xssh.PublicKey // a CA whose user certificates are accepted
	env      []string
	forbid   bool
}

// HostKeys are shown instead of a new ed25519 key.
func HostKeys(keys ...xssh.Signer) Option {
	return func(s *settings) { s.hostKeys = keys }
}

// Accept lets further keys in.
func Accept(keys ...xssh.PublicKey) Option {
	return func(s *settings) { s.accept = append(s.accept, keys...) }
}

// UserCA lets certificates of this authority in.
func UserCA(key xssh.PublicKey) Option {
	return func(s *settings) { s.user = key }
}

// Env adds to the environment of commands.
func Env(env ...string) Option {
	return func(s *settings) { s.env = append(s.env, env...) }
}

// NoForwarding forbids TCP forwarding.
func NoForwarding() Option {
	return func(s *settings) { s.forbid = true }
}

// NewKey makes an ed25519 key.
func NewKey(t testing.TB) xssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := xssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NewIdentity makes a key and its file in dir, encrypted unless passphrase is empty.
func NewIdentity(t testing.TB, dir, name, passphrase string) (string, xssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := xssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = xssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, s
}

// Start starts a server that ends with the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	var set settings
	for _, o := range options {
		o(&set)
	}
	if len(set.hostKeys) == 0 {
		set.hostKeys = []xssh.Signer{NewKey(t)}
	}
	s := &Server{Home: t.TempDir(), env: set.env, forbid: set.forbid, cut: make(chan struct{}, 1),
		conns: map[net.Conn]bool{}, kids: map[int]bool{}}
	identity, key := NewIdentity(t, s.Home, "identity", "")
	s.identity = identity
	set.accept = append(set.accept, key.PublicKey())
	s.config = &xssh.ServerConfig{PublicKeyCallback: set.judge}
	for _, k := range set.hostKeys {
		s.config.AddHostKey(k)
	}
	s.HostKey = set.hostKeys[0].PublicKey()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v", l.Addr())
	}
	s.addr = addr
	s.wg.Go(func() { s.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		s.Drop()
		s.endKids()
		s.wg.Wait()
	})
	return s
}

func (s *settings) judge(meta xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
	if cert, ok := key.(*xssh.Certificate); ok {
		checker := xssh.CertChecker{IsUserAuthority: func(ca xssh.PublicKey) bool {
			return s.user != nil && bytes.Equal(ca.Marshal(), s.user.Marshal())
		}}
		return checker.Authenticate(meta, cert)
	}
	for _, a := range s.accept {
		if bytes.Equal(a.Marshal(), key.Marshal()) {
			return nil, nil
		}
	}
	return nil, errors.New("not an accepted key")
}

// Port is where the server listens, on 127.0.0.1.
func (s *Server) Port() int { return s.addr.Port }

// Address is "127.0.0.1:port".
func (s *Server) Address() string { return s.addr.String() }

// Config reaches the server: its key is known, no root is gained.
func (s *Server) Config(t testing.TB) ssh.Config {
	t.Helper()
	return ssh.Config{
		Name: "node", Address: "127.0.0.1", Port: s.Port(), User: "ops",
		Identities: []string{s.identity},
		KnownHosts: []string{s.KnownHosts(t, knownhosts.Line([]string{s.Address()}, s.HostKey))},
		Sudo:       ssh.Sudo{Mode: ssh.SudoNone},
	}
}

// KnownHosts makes a file of trusted keys.
func (s *Server) KnownHosts(t testing.TB, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	var content bytes.Buffer
	for _, l := range lines {
		content.WriteString(l + "\n")
	}
	if err := os.WriteFile(file, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Host gives a host with this configuration, closed with the test.
func Host(t testing.TB, c ssh.Config) *ssh.Host {
	t.Helper()
	h := ssh.New(c)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// Dials is how many connections were made so far.
func (s *Server) Dials() int { return int(s.dials.Load()) }

// Execs is how many commands were started so far.
func (s *Server) Execs() int { return int(s.execs.Load()) }

// Drop breaks every connection.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// CutNext breaks the connection right after the next command has ended, before
// its reply: the command has run, and nobody is told.
func (s *Server) CutNext() { s.cut <- struct{}{} }

// Silence makes the server stop, or start again, to answer keepalives.
func (s *Server) Silence(on bool) { s.silent.Store(on) }

// Sudo writes a program that behaves as sudo does and gives the option that puts
// it first in the PATH. It asks for the password unless that is empty, runs the
// command with KUP_TEST_ROOT=1 and appends each wrong password to the file
// "wrong" beside it.
func Sudo(t testing.TB, password string) (Option, string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nwanted=" + remote.Quote([]string{password}) + "\n" + fakeSudo
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(script), 0o700); err != nil { //nolint:gosec // it has to run
		t.Fatal(err)
	}
	return Env("PATH="+dir+":"+os.Getenv("PATH"), "KUP_TEST_SUDO="+dir), dir
}

const fakeSudo = `
ask=no mute=no
while :; do case $1 in
-n) mute=yes; shift ;;
-S) ask=yes; shift ;;
-k) shift ;;
-p) shift 2 ;;
--) shift; break ;;
*) echo "sudo: unexpected $1" >&2; exit 1 ;;
esac; done
if [ -n "$wanted" ]; then
	[ $mute = no ] || { echo 'sudo: a password is required' >&2; exit 1; }
	[ $ask = yes ] || { echo 'sudo: a terminal is required to read the password' >&2; exit 1; }
	tries=0
	while :; do
		IFS= read -r line || { [ $tries -gt 0 ] || { echo 'sudo: no password was provided' >&2; exit 1; }
			echo "sudo: $tries incorrect password attempt" >&2; exit 1; }
		[ "$line" != "$wanted" ] || break
		echo "$line" >>"$KUP_TEST_SUDO/wrong"
		tries=$((tries + 1)); echo 'Sorry, try again.' >&2
		[ $tries -lt 3 ] || { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
	done
fi
KUP_TEST_ROOT=1 exec "$@"
`
