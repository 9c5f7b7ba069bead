package bench

import (
	"bytes"
	_ "embed" // the inventory's template
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/kup-project/kup/pkg/cluster"
)

// Files of the cluster's directory.
const (
	kubeconfigFile = "kubeconfig"
	inventoryFile  = "kup.yaml"
	identityFile   = "id_ed25519"
	knownHostsFile = "known_hosts"
)

//go:embed kup.yaml.tmpl
var inventoryTemplate string

// write puts what kup needs to reach the cluster into a directory.
func (f *fleet) write(dir string) error {
	kubeconfig, err := f.authority.Kubeconfig("https://" + f.layout.endpoint())
	if err != nil {
		return err
	}
	identity, err := ssh.MarshalPrivateKey(f.user, sshUser+"@"+clusterName)
	if err != nil {
		return fmt.Errorf("SSH key: %w", err)
	}
	inventory, err := f.inventory()
	if err != nil {
		return err
	}
	known, err := f.known()
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range map[string][]byte{
		kubeconfigFile: kubeconfig, inventoryFile: inventory, identityFile: pem.EncodeToMemory(identity), knownHostsFile: known,
	} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return errors.Join(errs...)
}

func (f *fleet) inventory() ([]byte, error) {
	t, err := template.New(inventoryFile).Parse(inventoryTemplate)
	if err != nil {
		return nil, err
	}
	type node struct {
		Name    string
		Role    cluster.Role
		Address string
	}
	var nodes []node
	for _, p := range f.layout.places {
		nodes = append(nodes, node{p.name, p.role, p.ip})
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Name": clusterName, "User": sshUser, "Port": sshPort, "Repository": repositoryURL, "Nodes": nodes})
	return out.Bytes(), err
}

func (f *fleet) known() ([]byte, error) {
	var out strings.Builder
	for _, h := range f.hosts {
		public, err := ssh.NewPublicKey(h.key.Public())
		if err != nil {
			return nil, fmt.Errorf("host key of %s: %w", h.name, err)
		}
		name := knownhosts.Normalize(fmt.Sprintf("%s:%d", h.ip, sshPort))
		out.WriteString(name + " " + string(ssh.MarshalAuthorizedKey(public)))
	}
	return []byte(out.String()), nil
}
