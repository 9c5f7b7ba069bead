package hollow

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Files of a cluster's directory.
const (
	kubeconfigFile   = "kubeconfig"
	inventoryFile    = "kup.yaml"
	identityFile     = "id_ed25519"
	knownHostsFile   = "known_hosts"
	sudoPasswordFile = "sudo-password"
)

// keys are what makes SSH to the hosts possible; they are saved with the cluster.
type keys struct {
	User         ed25519.PrivateKey            `json:"user"`
	Hosts        map[string]ed25519.PrivateKey `json:"hosts"` // by address
	SudoPassword string                        `json:"sudoPassword"`
}

func newKeys(l *layout) (keys, error) {
	k := keys{Hosts: map[string]ed25519.PrivateKey{}}
	addresses := []string{l.address(hostBastion)}
	for _, h := range l.Hosts {
		addresses = append(addresses, h.IP)
	}
	var err error
	if _, k.User, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return k, fmt.Errorf("SSH key: %w", err)
	}
	for _, address := range addresses {
		if _, k.Hosts[address], err = ed25519.GenerateKey(rand.Reader); err != nil {
			return k, fmt.Errorf("host key: %w", err)
		}
	}
	secret := make([]byte, 8)
	_, _ = rand.Read(secret) // never fails; see its documentation
	k.SudoPassword = hex.EncodeToString(secret)
	return k, nil
}

// authorised is the user's public key.
func (k *keys) authorised() (ssh.PublicKey, error) { return ssh.NewPublicKey(k.User.Public()) }

//go:embed kup.yaml.tmpl
var inventoryTemplate string

// writeFiles puts in dir what a user of the cluster needs: with it the current
// directory, "kup plan" finds everything.
func writeFiles(dir string, l *layout, k *keys, kubeconfig []byte) error {
	known, err := k.known()
	if err != nil {
		return err
	}
	identity, err := ssh.MarshalPrivateKey(k.User, sshUser+"@"+l.Name)
	if err != nil {
		return fmt.Errorf("SSH key: %w", err)
	}
	inventory, err := renderInventory(l)
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range map[string][]byte{
		kubeconfigFile: kubeconfig, inventoryFile: inventory, identityFile: pem.EncodeToMemory(identity),
		knownHostsFile: known, sudoPasswordFile: []byte(k.SudoPassword + "\n"),
	} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return errors.Join(errs...)
}

func (k *keys) known() ([]byte, error) {
	var out strings.Builder
	for address, key := range k.Hosts {
		public, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			return nil, fmt.Errorf("host key of %s: %w", address, err)
		}
		name := knownhosts.Normalize(address + ":" + strconv.Itoa(sshPort))
		out.WriteString(name + " " + string(ssh.MarshalAuthorizedKey(public)))
	}
	return []byte(out.String()), nil
}

func renderInventory(l *layout) ([]byte, error) {
	t, err := template.New(inventoryFile).Parse(inventoryTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Cluster": l, "User": sshUser, "Port": sshPort, "Bastion": l.address(hostBastion), "Repository": repositoryURL,
		"Kubeconfig": kubeconfigFile, "Identity": identityFile, "KnownHosts": knownHostsFile, "SudoPassword": sudoPasswordFile,
	})
	return out.Bytes(), err
}

// repositoryURL is where the hosts' packages come from; nothing listens there.
const repositoryURL = "https://pkgs.hollow.test/core:/stable:/v{minor}/deb/"
