package ssh_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
	"golang.org/x/crypto/ssh/knownhosts"
)

// resolved makes hosts of one client configuration.
func resolved(t *testing.T, client *ssh.ClientConfig, c ssh.Config) *ssh.Host {
	t.Helper()
	c, err := client.Resolve(c, ssh.NoBastion)
	if err != nil {
		t.Fatal(err)
	}
	return sshtest.Host(t, c)
}

func TestHostsShareWhatTheyOpened(t *testing.T) {
	file, key := sshtest.NewIdentity(t, t.TempDir(), "locked", "open sesame")
	client, err := ssh.LoadClientConfig("")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for range 2 {
		cfg := sshtest.Start(t, sshtest.Accept(key.PublicKey())).Config(t)
		cfg.Identities = []string{file}
		cfg.Passphrase = func(string) ([]byte, error) { asked++; return []byte("open sesame"), nil }
		if _, err := resolved(t, client, cfg).Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked for the passphrase of one key %d times", asked)
	}
}

func TestKnownHostsMendedMeanwhile(t *testing.T) {
	server := sshtest.Start(t)
	client, err := ssh.LoadClientConfig("")
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.Config(t)
	file := server.KnownHosts(t, "# nobody")
	cfg.KnownHosts = []string{file}
	run := func() error {
		_, err := resolved(t, client, cfg).Run(t.Context(), remote.Command{Argv: []string{"true"}})
		return err
	}
	var refused *ssh.HostKeyError
	if err := run(); !errors.As(err, &refused) {
		t.Fatalf("a host that nobody knows: %v", err)
	}
	line := knownhosts.Line([]string{server.Address()}, server.HostKey)
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Errorf("after its key was added: %v", err)
	}
	// Of the same size, so that only its time tells.
	if err := os.WriteFile(file, []byte("#"+line), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if err := run(); !errors.As(err, &refused) {
		t.Errorf("after its key was removed: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := run(); !errors.As(err, &refused) {
		t.Errorf("after the file was removed: %v", err)
	}
}
