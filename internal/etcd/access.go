package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

// DefaultAddress is where kubeadm lets a stacked member serve its own node.
const DefaultAddress = "127.0.0.1:2379"

// Access says how the member of one node is reached.
type Access struct {
	// Node is the node's name, as in the rest of the plan.
	Node string
	// Host gives the certificates, read as root.
	Host remote.Host
	// Dial opens a connection from the node, not from here.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Address is the member's client address as the node sees it; empty means
	// [DefaultAddress].
	Address string
	// Certificates are files on the node; empty ones mean kubeadm's.
	Certificates Certificates
}

// Certificates are the paths, on the node, of a client's identity.
type Certificates struct {
	CA, Cert, Key string
}

// Streamer is what a host may be able to do beyond [remote.Host]: run a command
// whose standard input and output stay connected. It is the way to a member
// when the node's sshd forbids forwarding. The stream lives until it is closed;
// ctx bounds its start only.
type Streamer interface {
	Stream(ctx context.Context, c remote.Command) (io.ReadWriteCloser, error)
}

func (a Access) complete() (Access, error) {
	if a.Node == "" || a.Host == nil || a.Dial == nil {
		return a, fmt.Errorf("etcd: access to %q needs a node, a host and a dial function", a.Node)
	}
	if a.Address == "" {
		a.Address = DefaultAddress
	}
	if _, _, err := net.SplitHostPort(a.Address); err != nil {
		return a, fmt.Errorf("etcd: address of %s: %w", a.Node, err)
	}
	c := &a.Certificates
	for _, f := range []struct {
		path     *string
		fallback string
	}{
		{&c.CA, "/etc/kubernetes/pki/etcd/ca.crt"},
		{&c.Cert, "/etc/kubernetes/pki/etcd/healthcheck-client.crt"},
		{&c.Key, "/etc/kubernetes/pki/etcd/healthcheck-client.key"},
	} {
		if *f.path == "" {
			*f.path = f.fallback
		}
	}
	return a, nil
}

// identity reads the client's identity from the node. Nothing of it is kept on
// disk or in an error.
func (a Access) identity(ctx context.Context) (*tls.Config, error) {
	ca, err := a.Host.ReadFile(ctx, a.Certificates.CA)
	if err != nil {
		return nil, fmt.Errorf("read the etcd CA: %w", err)
	}
	cert, err := a.Host.ReadFile(ctx, a.Certificates.Cert)
	if err != nil {
		return nil, fmt.Errorf("read etcd's client certificate: %w", err)
	}
	key, err := a.Host.ReadFile(ctx, a.Certificates.Key)
	if err != nil {
		return nil, fmt.Errorf("read the key of etcd's client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", a.Certificates.CA)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and its key do not fit together: %w", a.Certificates.Cert, err)
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("%s expired at %s; renew it on the node: kubeadm certs renew etcd-healthcheck-client",
			a.Certificates.Cert, end.UTC().Format(time.RFC3339))
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

// connect opens a connection to the member, through a relay on the node when
// sshd forbids forwarding.
func (a Access) connect(ctx context.Context) (net.Conn, error) {
	conn, err := a.Dial(ctx, "tcp", a.Address)
	if err == nil {
		return conn, nil
	}
	var forwarding interface{ ForwardingProhibited() bool }
	if !errors.As(err, &forwarding) || !forwarding.ForwardingProhibited() {
		return nil, err
	}
	conn, relayErr := a.relay(ctx)
	if relayErr != nil {
		return nil, &ForwardingError{Node: a.Node, Err: err, Relay: relayErr}
	}
	return conn, nil
}
