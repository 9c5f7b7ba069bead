package member_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/internal/remote"
)

// patience bounds what ends by itself.
const patience = 2 * time.Minute

// host is a node as kup's adapter sees it: root's files, and a port.
type host struct {
	remote.Host // nothing else is asked
	name        string
	fs          *vfs.FS
}

func (h host) String() string { return h.name }

func (h host) ReadFile(_ context.Context, path string) ([]byte, error) { return h.fs.ReadFile(path) }

// lab is a cluster of members with all that belongs to it.
type lab struct {
	*member.Cluster
	config member.Config
	ca     *pki.Authority
	files  map[string]*vfs.FS
}

// newLab prepares the hosts of n control planes.
func newLab(t *testing.T, n int, version string) *lab {
	t.Helper()
	ca, err := pki.New()
	check(t, err)
	l := &lab{ca: ca, files: map[string]*vfs.FS{}, config: member.Config{Dir: filepath.Join(t.TempDir(), "etcd"), Version: version}}
	l.place(t, n)
	return l
}

// place gives the hosts addresses that nobody else has, and certificates for
// them.
func (l *lab) place(t *testing.T, n int) {
	t.Helper()
	claim, err := member.ClaimCluster(t.Context(), 0)
	check(t, err)
	t.Cleanup(func() { check(t, claim.Close()) })
	l.config.Nodes = nil
	for i := range n {
		name := fmt.Sprintf("cp-%d", i+1)
		fs := vfs.New()
		check(t, l.ca.Write(fs, pki.Node{Name: name, IP: claim.Address(i), Endpoint: "https://" + claim.Address(0) + ":6443", Minor: 31, First: i == 0, Lifetime: time.Hour}))
		l.files[name] = fs
		l.config.Nodes = append(l.config.Nodes, member.Node{Name: name, IP: claim.Address(i), FS: fs})
	}
}

// start starts all of them.
func (l *lab) start(t *testing.T) {
	t.Helper()
	c, err := member.New(l.config)
	check(t, err)
	l.run(t, c)
}

func (l *lab) run(t *testing.T, c *member.Cluster) {
	t.Helper()
	l.Cluster = c
	t.Cleanup(func() { c.Close(bounded(t)) })
	check(t, c.Start(bounded(t)))
}

// bounded lives on while a test cleans up.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// connect is kup's own adapter, to the named nodes or all.
func (l *lab) connect(t *testing.T, names ...string) *etcd.Cluster {
	t.Helper()
	if len(names) == 0 {
		for _, m := range l.Members() {
			names = append(names, m.Name())
		}
	}
	var accesses []etcd.Access
	for _, name := range names {
		address := l.Member(name).Address()
		accesses = append(accesses, etcd.Access{Node: name, Host: host{name: name, fs: l.files[name]}, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != etcd.DefaultAddress {
				return nil, fmt.Errorf("asked for %s", addr)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}})
	}
	c, err := etcd.Connect(t.Context(), accesses)
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	return c
}

// client is a plain one of a single member.
func (l *lab) client(t *testing.T, name string) *clientv3.Client {
	t.Helper()
	read := func(file string) []byte {
		b, err := l.files[name].ReadFile("/etc/kubernetes/pki/" + file)
		check(t, err)
		return b
	}
	pair, err := tls.X509KeyPair(read("apiserver-etcd-client.crt"), read("apiserver-etcd-client.key"))
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read("etcd/ca.crt"))
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"https://" + l.Member(name).Address()}, Logger: zap.NewNop(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}},
	})
	check(t, err)
	t.Cleanup(func() { _ = c.Close() }) // its member may be gone
	return c
}

// healthy waits until nothing speaks against any member.
func (l *lab) healthy(t *testing.T, c *etcd.Cluster, members int) etcd.Health {
	t.Helper()
	var h etcd.Health
	await(t, func() (bool, string) {
		var err error
		h, err = c.Health(t.Context())
		ok := err == nil && h.Leader != "" && len(h.Members) == members && h.AlarmsErr == nil && len(h.Alarms) == 0
		for _, m := range h.Members {
			ok = ok && m.Healthy && !m.Learner
		}
		return ok, fmt.Sprintf("%+v, %v", h, err)
	})
	return h
}

func leaders(h etcd.Health) (leader, follower string) {
	for _, m := range h.Members {
		if m.Leader {
			leader = m.Name
		} else {
			follower = m.Name
		}
	}
	return leader, follower
}

func await(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, state := ok()
		if done {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("it did not come true in %s: %s", patience, state)
		case <-tick.C:
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
