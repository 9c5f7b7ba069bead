package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// keyPair is an SSH key in the forms OpenSSH keeps in files.
type keyPair struct {
	private []byte
	public  ssh.PublicKey
}

func newKeyPair(comment string) (keyPair, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return keyPair{}, err
	}
	public, err := ssh.NewPublicKey(pub)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{private: pem.EncodeToMemory(block), public: public}, nil
}

func (k keyPair) authorized() []byte { return ssh.MarshalAuthorizedKey(k.public) }

// sshFiles holds the lab's keys while it is made.
type sshFiles struct {
	user  keyPair
	hosts map[string]keyPair // by address
}

// newSSHFiles makes the user's key and one host key per address, and writes
// what an SSH client needs below dir. The first host's entry in known_hosts is
// hashed, as ssh writes them on many distributions.
func newSSHFiles(dir, lab string, t topology) (sshFiles, error) {
	f := sshFiles{hosts: map[string]keyPair{}}
	var err error
	if f.user, err = newKeyPair(artifact.SSHUser + "@kup-lab-" + lab); err != nil {
		return f, err
	}
	addresses := []string{t.Bastion}
	for _, n := range t.machines() {
		addresses = append(addresses, n.IP)
	}
	var known strings.Builder
	for i, addr := range addresses {
		if f.hosts[addr], err = newKeyPair(""); err != nil {
			return f, err
		}
		name := knownhosts.Normalize(addr + ":22")
		if i == 1 {
			name = knownhosts.HashHostname(name)
		}
		known.WriteString(name + " " + string(f.hosts[addr].authorized()))
	}
	config, err := render("ssh_config", map[string]any{
		"Lab": lab, "User": artifact.SSHUser, "Dir": dir, "Bastion": t.Bastion, "Nodes": t.machines(),
	})
	if err != nil {
		return f, err
	}
	sshDir := filepath.Join(dir, "ssh")
	if err := os.MkdirAll(sshDir, 0o700); err != nil {
		return f, err
	}
	for name, raw := range map[string][]byte{
		"id_ed25519": f.user.private, "id_ed25519.pub": f.user.authorized(),
		"known_hosts": []byte(known.String()), "config": config,
	} {
		if err := os.WriteFile(filepath.Join(sshDir, name), raw, 0o600); err != nil {
			return f, err
		}
	}
	return f, nil
}

// randomHex is n random bytes in hexadecimal.
func randomHex(n int) (string, error) {
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("random bytes: %w", err)
	}
	return hex.EncodeToString(raw), nil
}
