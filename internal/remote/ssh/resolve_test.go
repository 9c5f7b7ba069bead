package ssh_test

import (
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote/ssh"
)

// home makes a home directory with an SSH configuration and one usual key.
func home(t *testing.T, config string) (dir string, c *ssh.ClientConfig) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"config": config, "id_ed25519": "key"} {
		if err := os.WriteFile(filepath.Join(dir, ".ssh", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ssh.LoadClientConfig(filepath.Join(dir, ".ssh", "config"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, c
}

func TestResolve(t *testing.T) {
	dir, c := home(t, `
Host cp-1
  HostName 10.0.0.11
  Port 2222
  IdentityFile "~/.ssh/it's %r"
  IdentityFile %d/other
  UserKnownHostsFile ~/known "/etc/%n hosts"
  IdentitiesOnly yes
Host w-*
  HostName %h.example.org
  UserKnownHostsFile none
  GlobalKnownHostsFile /etc/fleet_hosts
  ProxyJump jump,ops@10.0.0.5:2200
Host jump
  HostName 192.0.2.1
  User jumper
  ProxyJump first
Host *
  User everyone
`)
	us, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	usual := []string{filepath.Join(dir, ".ssh/id_ed25519")}
	known := []string{filepath.Join(dir, ".ssh/known_hosts"), filepath.Join(dir, ".ssh/known_hosts2"), "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}

	got, err := c.Resolve(ssh.Config{Address: "cp-1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := ssh.Config{Name: "cp-1", Address: "10.0.0.11", Port: 2222, User: "everyone", IdentitiesOnly: true,
		Identities: []string{filepath.Join(dir, ".ssh", "it's everyone"), filepath.Join(dir, "other")},
		KnownHosts: []string{filepath.Join(dir, "known"), "/etc/cp-1 hosts", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}}
	if !reflect.DeepEqual(got.Alone(), want) {
		t.Errorf("from the configuration:\n got %+v\nwant %+v", got, want)
	}

	explicit := ssh.Config{Name: "n", Address: "cp-1", Port: 22, User: "root", Identities: []string{"/k"}, KnownHosts: []string{"/h"}}
	got, err = c.Resolve(explicit, "b1,me@b2:23,[2001:db8::1]:24")
	if err != nil {
		t.Fatal(err)
	}
	if got.Port != 22 || got.User != "root" || got.Identities[0] != "/k" || got.KnownHosts[0] != "/h" || got.Address != "10.0.0.11" {
		t.Errorf("explicit settings did not win: %+v", got)
	}
	if s := chain(got); s != "everyone@b1:22 me@b2:23 everyone@2001:db8::1:24" || got.Bastions[0].Identities[0] != "/k" {
		t.Errorf("chain %s", s)
	}

	got, err = c.Resolve(ssh.Config{Address: "w-1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if s := chain(got); got.Address != "w-1.example.org" || s != "everyone@first:22 jumper@192.0.2.1:22 ops@10.0.0.5:2200" {
		t.Errorf("%s through %s", got.Address, s)
	}
	if !reflect.DeepEqual(got.KnownHosts, []string{"/etc/fleet_hosts"}) {
		t.Errorf("trusted keys from %q", got.KnownHosts)
	}
	if got, err = c.Resolve(ssh.Config{Address: "w-1"}, ssh.NoBastion); err != nil || len(got.Bastions) != 0 {
		t.Errorf("directly: %+v, %v", got.Bastions, err)
	}

	none, err := ssh.LoadClientConfig("")
	if err != nil {
		t.Fatal(err)
	}
	got, err = none.Resolve(ssh.Config{Address: "10.0.0.1"}, "10.0.0.2")
	if err != nil || got.User != us.Username || got.Port != 22 || !reflect.DeepEqual(got.Identities, usual) || !reflect.DeepEqual(got.KnownHosts, known) {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	if s := chain(got); s != us.Username+"@10.0.0.2:22" {
		t.Errorf("chain %s", s)
	}
}

func chain(c ssh.Config) string {
	var out []string
	for _, b := range c.Bastions {
		out = append(out, b.User+"@"+b.Address+":"+strconv.Itoa(b.Port))
	}
	return strings.Join(out, " ")
}

func TestResolveRefused(t *testing.T) {
	_, c := home(t, `
Host circle
  ProxyJump circle
Host command
  ProxyCommand nc %h %p
Host port
  Port many
`)
	for address, says := range map[string]string{"circle": "circle", "command": "ProxyCommand", "port": "no port"} {
		if _, err := c.Resolve(ssh.Config{Address: address}, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, bastion := range []string{"ops@", "a b", "host:99999", "-oProxyCommand=x", "a,,b"} {
		if _, err := c.Resolve(ssh.Config{Address: "x"}, bastion); err == nil {
			t.Errorf("bastion %q was taken", bastion)
		}
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("Match exec true\n  User x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.LoadClientConfig(file); err == nil || !strings.Contains(err.Error(), "ssh.config") {
		t.Errorf("a configuration that cannot be read: %v", err)
	}
}
