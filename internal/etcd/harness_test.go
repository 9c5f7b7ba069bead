package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/kup-project/kup/internal/remote"
)

// fakeHost is a node that holds etcd's certificates and nothing else.
type fakeHost struct {
	name string
	mu   sync.Mutex
	file map[string][]byte
}

var _ remote.Host = (*fakeHost)(nil)

func (h *fakeHost) String() string { return h.name }

func (h *fakeHost) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{}, fmt.Errorf("%s: no commands here", h.name)
}

func (h *fakeHost) ReadFile(_ context.Context, path string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.file[path]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("%s: %s: %w", h.name, path, fs.ErrNotExist)
}

func (h *fakeHost) WriteFile(_ context.Context, path string, content []byte, _ fs.FileMode) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.file[path] = content
	return nil
}

// authority signs what a cluster's nodes hold.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) issue(t *testing.T, name string, notAfter time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, k.Public(), a.key)
	check(t, err)
	raw, err := x509.MarshalECPrivateKey(k)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// testNode is a node with a real, embedded member.
type testNode struct {
	host   *fakeHost
	config *embed.Config
	etcd   *embed.Etcd
	client string // where it listens
	pki    string // the server's certificates
}

// testCluster is a running etcd cluster with TLS between it and its clients.
type testCluster struct {
	nodes []*testNode
}

// startCluster runs n voting members, named cp-1 and on.
func startCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{}
	ca := newAuthority(t)
	var initial []string
	for i := range n {
		node := newNode(t, fmt.Sprintf("cp-%d", i+1), ca)
		c.nodes = append(c.nodes, node)
		initial = append(initial, node.config.Name+"="+node.config.AdvertisePeerUrls[0].String())
	}
	var wg sync.WaitGroup
	for _, node := range c.nodes {
		node.config.InitialCluster = strings.Join(initial, ",")
		node.config.InitialClusterToken = t.Name()
		wg.Go(func() { node.start(t) })
	}
	wg.Wait()
	return c
}

func newNode(t *testing.T, name string, ca authority) *testNode {
	t.Helper()
	peer, client := freeURL(t, "http"), freeURL(t, "https")
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = name, t.TempDir()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	node := &testNode{host: &fakeHost{name: name, file: map[string][]byte{}}, config: cfg, client: client.Host, pki: t.TempDir()}
	node.certify(t, ca)
	t.Cleanup(node.stop)
	return node
}

// certify gives server and client certificates of an authority.
func (n *testNode) certify(t *testing.T, ca authority) {
	t.Helper()
	at := func(name string, content []byte) string {
		path := filepath.Join(n.pki, name)
		check(t, os.WriteFile(path, content, 0o600))
		return path
	}
	cert, key := ca.issue(t, "server", time.Now().Add(time.Hour))
	n.config.ClientTLSInfo = transport.TLSInfo{
		CertFile: at("server.crt", cert), KeyFile: at("server.key", key),
		TrustedCAFile: at("ca.crt", ca.pem), ClientCertAuth: true,
	}
	cert, key = ca.issue(t, "healthcheck", time.Now().Add(time.Hour))
	n.host.mu.Lock()
	defer n.host.mu.Unlock()
	n.host.file["/etc/kubernetes/pki/etcd/ca.crt"] = ca.pem
	n.host.file["/etc/kubernetes/pki/etcd/healthcheck-client.crt"] = cert
	n.host.file["/etc/kubernetes/pki/etcd/healthcheck-client.key"] = key
}

func (n *testNode) start(t *testing.T) {
	t.Helper()
	e, err := embed.StartEtcd(n.config)
	if err != nil {
		t.Errorf("start %s: %v", n.host, err)
		return
	}
	n.etcd = e
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Errorf("%s is not ready", n.host)
	}
}

func (n *testNode) stop() {
	if n.etcd != nil {
		n.etcd.Close()
		n.etcd = nil
	}
}

// access reaches the member at the address that it believes to be the node's.
func (n *testNode) access() Access {
	return Access{Node: n.host.name, Host: n.host, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != DefaultAddress {
			return nil, fmt.Errorf("asked for %s", addr)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, n.client)
	}}
}

func (c *testCluster) connect(t *testing.T) *Cluster {
	t.Helper()
	var accesses []Access
	for _, n := range c.nodes {
		accesses = append(accesses, n.access())
	}
	out, err := Connect(t.Context(), accesses)
	check(t, err)
	out.pace = 20 * time.Millisecond
	t.Cleanup(func() { check(t, out.Close()) })
	return out
}

// client gives a plain client of the first member, for writing.
func (c *Cluster) testClient(t *testing.T) *clientv3.Client {
	t.Helper()
	cl, _, err := c.members[0].get(t.Context())
	check(t, err)
	return cl
}

// fill writes keys, overwrites some and deletes some, and gives the revision.
func fill(t *testing.T, c *Cluster, keys int) int64 {
	t.Helper()
	cl := c.testClient(t)
	var revision int64
	for i := range keys {
		r, err := cl.Put(t.Context(), fmt.Sprintf("/registry/pods/%04d", i), strings.Repeat("x", 200))
		check(t, err)
		revision = r.Header.Revision
		if i%5 == 0 {
			d, err := cl.Delete(t.Context(), fmt.Sprintf("/registry/pods/%04d", i/2))
			check(t, err)
			revision = d.Header.Revision
		}
	}
	return revision
}

// complaints is all that speaks against taking a member down.
func (h Health) complaints() string {
	var out []string
	for _, m := range h.Members {
		if m.Problem != "" {
			out = append(out, m.Problem)
		}
		if m.Learner {
			out = append(out, m.Name+" is a learner")
		}
	}
	if h.AlarmsErr != nil {
		out = append(out, h.AlarmsErr.Error())
	}
	return strings.Join(append(out, h.Alarms...), "; ")
}

func freeURL(t *testing.T, scheme string) url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer func() { check(t, l.Close()) }()
	return url.URL{Scheme: scheme, Host: l.Addr().String()}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
