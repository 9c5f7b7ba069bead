package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"
)

const (
	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"

	caLifetime = 10 * 365 * 24 * time.Hour
	// renewedFor is how long what kubeadm renews is good for.
	renewedFor = 365 * 24 * time.Hour
	// backdated is how long before they are made certificates begin to be valid.
	backdated = time.Hour
)

// Files are what is needed of a host's file system.
type Files interface {
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
}

// Authority is what all control planes of a cluster share: three CAs and the key
// that signs service account tokens. It is safe for concurrent use.
type Authority struct {
	pairs map[string]pair // by name under pkiDir, of the CAs and "sa"

	mu sync.Mutex
	// latest is the last moment that a certificate for a year was made to expire
	// at. The next one goes beyond it, however quick the model's hops are: what
	// is renewed later expires later, by a whole second.
	latest time.Time
}

// New makes the CAs of a new cluster.
func New() (*Authority, error) {
	a := &Authority{pairs: map[string]pair{}}
	for _, ca := range authorities {
		made, err := newCA(ca.subject)
		if err != nil {
			return nil, fmt.Errorf("pki: CA %s: %w", ca.file, err)
		}
		a.pairs[ca.file] = made
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: service account key: %w", err)
	}
	a.pairs[serviceAccount] = pair{key: key}
	return a, nil
}

// CA gives the certificate that clients of the API server trust, as PEM.
func (a *Authority) CA() []byte { return encodeCert(a.pairs[clusterCA].cert) }

// expiry gives when what is issued now expires.
func (a *Authority) expiry(lifetime time.Duration) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	end := time.Now().Add(lifetime).UTC().Truncate(time.Second)
	if lifetime != renewedFor {
		return end
	}
	if !end.After(a.latest) {
		end = a.latest.Add(time.Second)
	}
	a.latest = end
	return end
}

// share writes the CAs and the service account key.
func (a *Authority) share(files Files) error {
	if err := files.MkdirAll(path.Join(pkiDir, "etcd"), 0o755); err != nil {
		return err
	}
	for _, ca := range authorities {
		if err := a.pairs[ca.file].write(files, ca.file); err != nil {
			return err
		}
	}
	sa := a.pairs[serviceAccount].key
	key, err := encodeKey(sa)
	if err != nil {
		return err
	}
	public, err := encodePublic(&sa.PublicKey)
	if err != nil {
		return err
	}
	if err := files.WriteFile(path.Join(pkiDir, "sa.key"), key, 0o600); err != nil {
		return err
	}
	return files.WriteFile(path.Join(pkiDir, "sa.pub"), public, 0o600)
}

// saved is the form that an Authority is kept in.
type saved struct {
	Pairs  map[string]savedPair `json:"pairs"`
	Latest time.Time            `json:"latest"`
}

type savedPair struct {
	Cert []byte `json:"cert,omitempty"` // PEM
	Key  []byte `json:"key"`
}

// MarshalJSON implements json.Marshaler. The keys are in it.
func (a *Authority) MarshalJSON() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := saved{Pairs: map[string]savedPair{}, Latest: a.latest}
	for name, p := range a.pairs {
		key, err := encodeKey(p.key)
		if err != nil {
			return nil, err
		}
		s := savedPair{Key: key}
		if p.cert != nil {
			s.Cert = encodeCert(p.cert)
		}
		out.Pairs[name] = s
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Authority) UnmarshalJSON(b []byte) error {
	var in saved
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	pairs := map[string]pair{}
	for _, name := range append(caFiles(), serviceAccount) {
		s, ok := in.Pairs[name]
		if !ok {
			return fmt.Errorf("pki: the saved authority has no %s", name)
		}
		p, err := decodePair(s.Cert, s.Key)
		if err != nil {
			return fmt.Errorf("pki: saved %s: %w", name, err)
		}
		pairs[name] = p
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pairs, a.latest = pairs, in.Latest
	return nil
}

// pair is a certificate and its key; the service accounts' has no certificate.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// write puts a pair under kubeadm's directory, with kubeadm's modes.
func (p pair) write(files Files, name string) error {
	key, err := encodeKey(p.key)
	if err != nil {
		return err
	}
	if err := files.WriteFile(path.Join(pkiDir, name+".key"), key, 0o600); err != nil {
		return err
	}
	return files.WriteFile(path.Join(pkiDir, name+".crt"), encodeCert(p.cert), 0o644)
}
