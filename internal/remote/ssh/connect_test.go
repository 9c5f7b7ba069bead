package ssh_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// try runs something harmless.
func try(t *testing.T, c ssh.Config) error {
	t.Helper()
	_, err := sshtest.Host(t, c).Run(t.Context(), remote.Command{Argv: []string{"true"}})
	return err
}

// sign makes a certificate for key.
func sign(t *testing.T, ca xssh.Signer, key xssh.PublicKey, kind uint32, principal string) *xssh.Certificate {
	t.Helper()
	cert := &xssh.Certificate{Key: key, CertType: kind, ValidPrincipals: []string{principal}, ValidBefore: xssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestHostKeyTrusted(t *testing.T) {
	ca, second := sshtest.NewKey(t), sshtest.NewKey(t)
	plain := sshtest.NewKey(t)
	certified, err := xssh.NewCertSigner(sign(t, ca, plain.PublicKey(), xssh.HostCert, "127.0.0.1"), plain)
	if err != nil {
		t.Fatal(err)
	}
	one, both := sshtest.Start(t), sshtest.Start(t, sshtest.HostKeys(certified, plain))
	line := func(s *sshtest.Server, key xssh.PublicKey) string {
		return knownhosts.Line([]string{s.Address()}, key)
	}
	hashed := func(s *sshtest.Server) string {
		_, key, _ := strings.Cut(line(s, s.HostKey), " ")
		return knownhosts.HashHostname(knownhosts.Normalize(s.Address())) + " " + key
	}
	for name, c := range map[string]struct {
		server *sshtest.Server
		lines  []string
	}{
		"plain":           {one, []string{"# comment", "", line(one, one.HostKey)}},
		"hashed":          {one, []string{hashed(one)}},
		"one of two":      {one, []string{line(one, second.PublicKey()), line(one, one.HostKey)}},
		"wildcard":        {one, []string{"127.0.0.* " + strings.SplitN(line(one, one.HostKey), " ", 2)[1]}},
		"authority":       {both, []string{"@cert-authority 127.* " + string(xssh.MarshalAuthorizedKey(ca.PublicKey()))}},
		"authority, port": {both, []string{"@cert-authority " + line(both, ca.PublicKey())}},
		"key beside cert": {both, []string{line(both, plain.PublicKey())}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.server.Config(t)
			cfg.KnownHosts = []string{filepath.Join(t.TempDir(), "missing"), c.server.KnownHosts(t, c.lines...)}
			if err := try(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHostKeyRefused(t *testing.T) {
	ca := sshtest.NewKey(t)
	key := sshtest.NewKey(t)
	certified, err := xssh.NewCertSigner(sign(t, ca, key.PublicKey(), xssh.HostCert, "elsewhere"), key)
	if err != nil {
		t.Fatal(err)
	}
	server := sshtest.Start(t)
	elsewhere := sshtest.Start(t, sshtest.HostKeys(certified))
	for name, c := range map[string]struct {
		server  *sshtest.Server
		line    string
		changed bool
		trust   []string // parts of the command
		says    string
	}{
		"unknown": {server: server, line: "# nobody", trust: []string{"ssh-keyscan -p ", "127.0.0.1 >> "}, says: "is unknown"},
		"changed": {server: server, line: knownhosts.Line([]string{server.Address()}, key.PublicKey()), changed: true,
			trust: []string{"ssh-keygen -f ", " -R '[127.0.0.1]:", " && ssh-keyscan -p "}, says: "has CHANGED"},
		"revoked": {server: server, line: "@revoked * " + strings.SplitN(knownhosts.Line([]string{"x"}, server.HostKey), " ", 2)[1],
			says: "revoked"},
		"certified for another host": {server: elsewhere, line: "@cert-authority * " + string(xssh.MarshalAuthorizedKey(ca.PublicKey())), says: "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.server.Config(t)
			cfg.KnownHosts = []string{c.server.KnownHosts(t, c.line)}
			err := try(t, cfg)
			var refused *ssh.HostKeyError
			if !errors.As(err, &refused) {
				t.Fatalf("%v is no HostKeyError", err)
			}
			if refused.Host != "node" || refused.Address != c.server.Address() || refused.Changed != c.changed || !strings.HasPrefix(refused.Fingerprint, "SHA256:") {
				t.Errorf("%+v", refused)
			}
			if (refused.Trust == "") != (c.trust == nil) {
				t.Errorf("trust %q", refused.Trust)
			}
			for _, part := range c.trust {
				if !strings.Contains(refused.Trust, part) {
					t.Errorf("trust %q lacks %q", refused.Trust, part)
				}
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), refused.Trust) {
				t.Errorf("%q lacks %q or the command", err, c.says)
			}
		})
	}
}

func TestKnownHostsDamaged(t *testing.T) {
	server := sshtest.Start(t)
	cfg := server.Config(t)
	cfg.KnownHosts = []string{server.KnownHosts(t, "127.0.0.1 ssh-ed25519 garbage")}
	if err := try(t, cfg); err == nil || !strings.Contains(err.Error(), "known_hosts:1") {
		t.Errorf("%v", err)
	}
}

func TestBastions(t *testing.T) {
	outer, inner, target := sshtest.Start(t), sshtest.Start(t), sshtest.Start(t)
	cfg := target.Config(t)
	cfg.Bastions = []ssh.Config{outer.Config(t), inner.Config(t)}
	if err := try(t, cfg); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*sshtest.Server{outer, inner, target} {
		if s.Dials() != 1 {
			t.Errorf("host %d of the chain was dialled %d times", i, s.Dials())
		}
	}
	h := sshtest.Host(t, cfg)
	for range 3 {
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
		outer.Drop() // and with it the whole chain
	}
	cfg.Bastions[1].KnownHosts = nil
	var refused *ssh.HostKeyError
	if err := try(t, cfg); !errors.As(err, &refused) || refused.Address != inner.Address() ||
		!strings.HasPrefix(refused.Trust, "ssh -p ") {
		t.Errorf("a bastion nobody knows: %v", err)
	}
	strict := sshtest.Start(t, sshtest.NoForwarding())
	cfg.Bastions = []ssh.Config{strict.Config(t)}
	var forbidden *ssh.ForwardingError
	if err := try(t, cfg); !errors.As(err, &forbidden) || !strings.Contains(err.Error(), "sshd_config of bastion 127.0.0.1") {
		t.Errorf("a bastion that forwards nothing: %v", err)
	}
	cfg.Bastions = []ssh.Config{outer.Config(t)}
	cfg.Port = 1
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var lost *remote.ConnectionError
	if _, err := sshtest.Host(t, cfg).Run(ctx, remote.Command{Argv: []string{"true"}}); !errors.As(err, &lost) || !lost.Unsent {
		t.Errorf("a host that is down behind a bastion: %v", err)
	}
}

func TestEncryptedIdentity(t *testing.T) {
	file, key := sshtest.NewIdentity(t, t.TempDir(), "locked", "open sesame")
	server := sshtest.Start(t, sshtest.Accept(key.PublicKey()))
	cfg := server.Config(t)
	good := cfg.Identities
	asked := 0
	cfg.Identities = []string{file}
	cfg.Passphrase = func(identity string) ([]byte, error) {
		asked++
		if identity != file {
			t.Errorf("asked for %s", identity)
		}
		return []byte("open sesame"), nil
	}
	h := sshtest.Host(t, cfg)
	for range 3 {
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
		server.Drop()
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}

	var refused *ssh.AuthError
	cfg.Passphrase = func(string) ([]byte, error) { return []byte("hunter2"), nil }
	if err := try(t, cfg); !errors.As(err, &refused) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong passphrase: %v", err)
	}
	cfg.Passphrase = nil
	if err := try(t, cfg); !errors.As(err, &refused) || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("nobody to ask: %v", err)
	}
	// A host that does not want the key does not make anybody type.
	other := sshtest.Start(t).Config(t)
	other.Identities = append([]string{file}, other.Identities...)
	other.Passphrase = func(string) ([]byte, error) { t.Error("asked in vain"); return nil, nil }
	if err := try(t, other); err != nil {
		t.Error(err)
	}
	cfg.Identities = append([]string{filepath.Join(t.TempDir(), "none")}, good...)
	if err := try(t, cfg); err != nil {
		t.Errorf("with an identity that is not there: %v", err)
	}
}

func TestSlowPassphrase(t *testing.T) {
	t.Parallel()
	file, key := sshtest.NewIdentity(t, t.TempDir(), "locked", "open sesame")
	cfg := sshtest.Start(t, sshtest.Accept(key.PublicKey())).Config(t)
	cfg.Identities, cfg.ConnectTimeout = []string{file}, 3*time.Second
	cfg.Passphrase = func(string) ([]byte, error) {
		<-time.After(cfg.ConnectTimeout + 100*time.Millisecond) // a person
		return []byte("open sesame"), nil
	}
	if err := try(t, cfg); err != nil {
		t.Error(err)
	}
}

// startAgent serves an agent with these keys behind $SSH_AUTH_SOCK.
func startAgent(t *testing.T, keys ...agent.AddedKey) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "kup") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
}

func TestAgent(t *testing.T) {
	file, key := sshtest.NewIdentity(t, t.TempDir(), "locked", "open sesame")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := xssh.ParseRawPrivateKeyWithPassphrase(content, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	startAgent(t, agent.AddedKey{PrivateKey: raw})
	cfg := sshtest.Start(t, sshtest.Accept(key.PublicKey())).Config(t)
	cfg.Identities, cfg.Agent = nil, true
	if err := try(t, cfg); err != nil {
		t.Errorf("with the agent: %v", err)
	}
	cfg.Identities, cfg.IdentitiesOnly = []string{file}, true
	if err := try(t, cfg); err != nil {
		t.Errorf("an encrypted identity that the agent holds: %v", err)
	}
	var refused *ssh.AuthError
	cfg.Identities = nil
	if err := try(t, cfg); !errors.As(err, &refused) {
		t.Errorf("identities only: %v", err)
	}
	cfg.IdentitiesOnly, cfg.Agent = false, false
	if err := try(t, cfg); !errors.As(err, &refused) || !strings.Contains(err.Error(), "ops@127.0.0.1") {
		t.Errorf("without the agent: %v", err)
	}
}

func TestUserCertificate(t *testing.T) {
	ca := sshtest.NewKey(t)
	dir := t.TempDir()
	file, key := sshtest.NewIdentity(t, dir, "id", "")
	cert := sign(t, ca, key.PublicKey(), xssh.UserCert, "ops")
	if err := os.WriteFile(file+"-cert.pub", xssh.MarshalAuthorizedKey(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := sshtest.Start(t, sshtest.UserCA(ca.PublicKey())).Config(t)
	cfg.Identities = []string{file}
	if err := try(t, cfg); err != nil {
		t.Error(err)
	}
}
