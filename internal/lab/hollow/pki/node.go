package pki

import (
	"errors"
	"fmt"
	"net"
	"path"
	"time"
)

// Node is a host whose files are made.
type Node struct {
	Name, IP string
	// Endpoint is the URL of the API as the cluster knows it: the load
	// balancer's.
	Endpoint string
	// SANs are further names and addresses that the API server's certificate is
	// valid for.
	SANs []string
	// Minor is the minor of Kubernetes 1 whose kubeadm made the files; subjects
	// and super-admin.conf depend on it.
	Minor int
	// First is the control plane that kubeadm init made; the others joined.
	First bool
	// Lifetime is how long what is made is still good for; 0 is kubeadm's year.
	// Renewal always gives a year.
	Lifetime time.Duration
}

func (n Node) check() error {
	if n.Name == "" || net.ParseIP(n.IP) == nil || n.Endpoint == "" {
		return fmt.Errorf("pki: node %q needs a name, an IP address (%q) and the API's endpoint (%q)", n.Name, n.IP, n.Endpoint)
	}
	return nil
}

func (n Node) localServer() string { return "https://" + net.JoinHostPort(n.IP, "6443") }

// Write makes all that kubeadm leaves on a new control plane: the shared CAs and
// service account key, the node's certificates, and the kubeconfigs.
func (a *Authority) Write(files Files, n Node) error {
	if err := n.check(); err != nil {
		return err
	}
	if err := a.share(files); err != nil {
		return fmt.Errorf("pki: %s: %w", n.Name, err)
	}
	end := a.expiry(n.lifetime())
	for _, it := range items {
		if it.firstOnly && (!n.First || n.Minor < adminsMinor) {
			continue
		}
		if err := a.make(files, it, n, end); err != nil {
			return fmt.Errorf("pki: %s: %s: %w", n.Name, it.name, err)
		}
	}
	return a.kubelet(files, n, end)
}

// WriteWorker makes what kubeadm join leaves on a worker: the cluster's CA and
// kubelet.conf.
func (a *Authority) WriteWorker(files Files, n Node) error {
	if err := n.check(); err != nil {
		return err
	}
	if err := files.MkdirAll(pkiDir, 0o755); err != nil {
		return fmt.Errorf("pki: %s: %w", n.Name, err)
	}
	if err := files.WriteFile(path.Join(pkiDir, clusterCA+".crt"), a.CA(), 0o644); err != nil {
		return fmt.Errorf("pki: %s: %w", n.Name, err)
	}
	return a.kubelet(files, n, a.expiry(n.lifetime()))
}

// WriteSuperAdmin makes super-admin.conf, which the kubeadm that brings 1.29
// adds on the control plane where it upgrades the cluster.
func (a *Authority) WriteSuperAdmin(files Files, n Node) error {
	if err := n.check(); err != nil {
		return err
	}
	it, ok := itemNamed("super-admin.conf")
	if !ok {
		return errors.New("pki: super-admin.conf is unknown")
	}
	if err := a.make(files, it, n, a.expiry(renewedFor)); err != nil {
		return fmt.Errorf("pki: %s: %s: %w", n.Name, it.name, err)
	}
	return nil
}

// Kubeconfig makes an administrator's kubeconfig for the API at the given URL.
func (a *Authority) Kubeconfig(url string) ([]byte, error) {
	r := clientOf("kubernetes-admin", mastersGroup)
	r.notAfter = a.expiry(renewedFor)
	made, err := a.pairs[clusterCA].issue(r)
	if err != nil {
		return nil, fmt.Errorf("pki: administrator's kubeconfig: %w", err)
	}
	return kubeconfig("kubernetes-admin", url, a.CA(), made)
}

func (n Node) lifetime() time.Duration {
	if n.Lifetime == 0 {
		return renewedFor
	}
	return n.Lifetime
}

// make issues one thing and writes it to its place.
func (a *Authority) make(files Files, it item, n Node, end time.Time) error {
	r := it.request(n)
	r.notAfter = end
	made, err := a.pairs[it.ca].issue(r)
	if err != nil {
		return err
	}
	if !it.kubeconfig {
		return made.write(files, it.file)
	}
	target := n.Endpoint
	if it.local {
		target = n.localServer()
	}
	return a.writeKubeconfig(files, it.file, r.subject.CommonName, target, made)
}

// kubelet writes kubelet.conf, which kubeadm does not renew.
func (a *Authority) kubelet(files Files, n Node, end time.Time) error {
	r := clientOf("system:node:"+n.Name, "system:nodes")
	r.notAfter = end
	made, err := a.pairs[clusterCA].issue(r)
	if err == nil {
		err = a.writeKubeconfig(files, "kubelet.conf", r.subject.CommonName, n.Endpoint, made)
	}
	if err != nil {
		return fmt.Errorf("pki: %s: kubelet.conf: %w", n.Name, err)
	}
	return nil
}

func (a *Authority) writeKubeconfig(files Files, file, user, target string, p pair) error {
	content, err := kubeconfig(user, target, a.CA(), p)
	if err != nil {
		return err
	}
	return files.WriteFile(path.Join(kubernetesDir, file), content, 0o600)
}

func itemNamed(name string) (item, bool) {
	for _, it := range items {
		if it.name == name {
			return it, true
		}
	}
	return item{}, false
}
