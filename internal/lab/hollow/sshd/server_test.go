package sshd_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// machine is a host whose only programs are functions, by line.
type machine struct {
	programs map[string]func(ctx context.Context, stdin io.Reader, stdout io.Writer) int
	dial     func(ctx context.Context, addr string) (net.Conn, error)
}

func (m *machine) Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	run, ok := m.programs[line]
	if !ok {
		_, _ = io.WriteString(stderr, user+" has no "+line)
		return 127
	}
	return run(ctx, stdin, stdout)
}

func (m *machine) Dial(ctx context.Context, addr string) (net.Conn, error) {
	if m.dial == nil {
		return nil, errors.New("Connection refused")
	}
	return m.dial(ctx, addr)
}

// echo says yes.
func echo(_ context.Context, _ io.Reader, stdout io.Writer) int {
	_, _ = io.WriteString(stdout, "yes")
	return 0
}

// identity makes a key and gives its file, too.
func identity(t *testing.T) (string, ed25519.PrivateKey, xssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, key, signer.PublicKey()
}

// start starts a server that ends with the test, with the configuration to reach it.
func start(t *testing.T, m sshd.Machine, c sshd.Config) (*sshd.Server, ssh.Config) {
	t.Helper()
	file, _, public := identity(t)
	if c.HostKey == nil {
		_, c.HostKey, _ = identity(t)
	}
	c.Users = map[string][]xssh.PublicKey{"ops": {public}}
	s, err := sshd.Start(t.Context(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	to := ssh.Config{Name: "node", Address: "10.20.0.9", Port: 22, User: "ops", Identities: []string{file}, Sudo: ssh.Sudo{Mode: ssh.SudoNone}}
	if a := s.Addr(); a != nil {
		to.Address, to.Port = a.IP.String(), a.Port
	}
	known := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{net.JoinHostPort(to.Address, "22")}, s.HostKey())
	if s.Addr() != nil {
		line = knownhosts.Line([]string{s.Addr().String()}, s.HostKey())
	}
	if err := os.WriteFile(known, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	to.KnownHosts = []string{known}
	return s, to
}

func connect(t *testing.T, c ssh.Config) *ssh.Host {
	t.Helper()
	h := ssh.New(c)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// run runs a line of one word.
func run(ctx context.Context, h *ssh.Host, line string) (string, error) {
	r, err := h.Run(ctx, remote.Command{Argv: []string{line}})
	return string(r.Stdout), err
}

func isLost(err error) bool {
	var lost *remote.ConnectionError
	return errors.As(err, &lost)
}

func TestLogin(t *testing.T) {
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{"echo": echo}}
	_, to := start(t, m, sshd.Config{})
	if out, err := run(t.Context(), connect(t, to), "echo"); err != nil || out != "yes" {
		t.Errorf("%q, %v", out, err)
	}
	var failed *remote.ExitError
	if _, err := run(t.Context(), connect(t, to), "none"); !errors.As(err, &failed) || failed.Code != 127 || string(failed.Stderr) != "ops has no none" {
		t.Errorf("%v", err)
	}
	var refused *ssh.AuthError
	stranger := to
	stranger.User = "root"
	if _, err := run(t.Context(), connect(t, stranger), "echo"); !errors.As(err, &refused) {
		t.Errorf("another user: %v", err)
	}
	file, _, _ := identity(t)
	stranger = to
	stranger.Identities = []string{file}
	if _, err := run(t.Context(), connect(t, stranger), "echo"); !errors.As(err, &refused) {
		t.Errorf("another key: %v", err)
	}
}

// A server that starts again with the same key and address is the same host.
func TestStartedAgain(t *testing.T) {
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{"echo": echo}}
	_, key, _ := identity(t)
	first, to := start(t, m, sshd.Config{HostKey: key})
	again := first.Addr().String()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, _ := start(t, m, sshd.Config{HostKey: key, Listen: again})
	if second.Addr().String() != again || string(second.HostKey().Marshal()) != string(first.HostKey().Marshal()) {
		t.Errorf("at %v with another key", second.Addr())
	}
	if _, err := run(t.Context(), connect(t, to), "echo"); err == nil || isLost(err) {
		t.Errorf("the server is not there again, or knows the old user: %v", err)
	}
}

// A connection that is lost ends no command; a client that gives up does.
func TestEndOfCommand(t *testing.T) {
	started, ended := make(chan string, 2), make(chan string, 2)
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{
		"wait": func(ctx context.Context, stdin io.Reader, _ io.Writer) int {
			started <- ""
			_, _ = io.Copy(io.Discard, stdin)
			<-ctx.Done()
			ended <- "by its context"
			return 143
		},
		"read": func(ctx context.Context, stdin io.Reader, stdout io.Writer) int {
			started <- ""
			_, _ = io.Copy(io.Discard, stdin)
			if ctx.Err() != nil {
				ended <- "by its context"
			}
			ended <- "by itself"
			return 0
		},
	}}
	s, to := start(t, m, sshd.Config{})
	h := connect(t, to)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := run(ctx, h, "wait")
		gone <- err
	}()
	<-started
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if how := <-ended; how != "by its context" {
		t.Errorf("given up, the command ended %s", how)
	}
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		_, err := h.Run(t.Context(), remote.Command{Argv: []string{"read"}, Stdin: r})
		gone <- err
	}()
	<-started
	s.CutNow()
	if how := <-ended; how != "by itself" {
		t.Errorf("cut off, the command ended %s", how)
	}
	_ = w.Close()
	if err := <-gone; !isLost(err) {
		t.Errorf("cut off: %v", err)
	}
}

func TestSessionsOfConnection(t *testing.T) {
	started, leave := make(chan bool, 20), make(chan bool)
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{
		"wait": func(context.Context, io.Reader, io.Writer) int {
			started <- true
			<-leave
			return 0
		},
	}}
	_, to := start(t, m, sshd.Config{})
	file, err := os.ReadFile(to.Identities[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.ParsePrivateKey(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := xssh.Dial("tcp", net.JoinHostPort(to.Address, itoa(to.Port)), &xssh.ClientConfig{
		User: "ops", Auth: []xssh.AuthMethod{xssh.PublicKeys(key)}, HostKeyCallback: xssh.InsecureIgnoreHostKey(), //nolint:gosec // loopback
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 10 {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("wait"); err != nil {
			t.Fatal(err)
		}
		<-started
	}
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "open failed") {
		t.Errorf("the eleventh session: %v", err)
	}
	if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("keepalive: %v", err)
	}
	close(leave)
}

func TestForwarding(t *testing.T) {
	m := &machine{}
	asked := make(chan string, 1)
	m.dial = func(_ context.Context, addr string) (net.Conn, error) {
		asked <- addr
		near, far := net.Pipe()
		go func() {
			_, _ = io.Copy(far, far)
			_ = far.Close()
		}()
		return near, nil
	}
	_, to := start(t, m, sshd.Config{})
	c, err := connect(t, to).DialContext(t.Context(), "tcp", "10.20.0.1:2379")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := <-asked; got != "10.20.0.1:2379" {
		t.Errorf("dialled %s", got)
	}
	back := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, back); err != nil || string(back) != "ping" {
		t.Errorf("%q, %v", back, err)
	}
	var forbidden *ssh.ForwardingError
	_, strict := start(t, m, sshd.Config{NoForwarding: true})
	if _, err := connect(t, strict).DialContext(t.Context(), "tcp", "10.20.0.1:2379"); !errors.As(err, &forbidden) {
		t.Errorf("forbidden: %v", err)
	}
	m.dial = nil
	if _, err := connect(t, to).DialContext(t.Context(), "tcp", "10.20.0.1:1"); err == nil || errors.As(err, &forbidden) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestBastion(t *testing.T) {
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{"echo": echo}}
	inner, to := start(t, m, sshd.Config{Unlisted: true})
	outer := &machine{dial: func(ctx context.Context, addr string) (net.Conn, error) {
		if addr != "10.20.0.9:22" {
			return nil, errors.New("No route to host")
		}
		return inner.Connect(ctx)
	}}
	_, bastion := start(t, outer, sshd.Config{})
	to.Bastions = []ssh.Config{bastion}
	for range 3 {
		if out, err := run(t.Context(), connect(t, to), "echo"); err != nil || out != "yes" {
			t.Fatalf("%q, %v", out, err)
		}
		inner.CutNow()
	}
	inner.Refuse()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := run(ctx, connect(t, to), "echo"); !isLost(err) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a target that is down: %v", err)
	}
}
