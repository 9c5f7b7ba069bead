package pki_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

const dir = "/etc/kubernetes/pki/"

func node(name string) pki.Node {
	return pki.Node{
		Name: name, IP: "127.77.1.11", Endpoint: "https://127.77.1.10:6443", SANs: []string{"api.hollow.test", "192.0.2.7"},
		Minor: 31, First: true, Lifetime: 100 * 24 * time.Hour,
	}
}

func written(t *testing.T, n pki.Node) (*pki.Authority, *vfs.FS) {
	t.Helper()
	a, err := pki.New()
	check(t, err)
	fs := vfs.New()
	check(t, a.Write(fs, n))
	return a, fs
}

// certificates gives all that kubeadm manages on a host, by kubeadm's name.
func certificates(t *testing.T, fs *vfs.FS) map[string]*x509.Certificate {
	t.Helper()
	out := map[string]*x509.Certificate{}
	for _, name := range pki.AllNames() {
		var content []byte
		if strings.HasSuffix(name, ".conf") {
			b, err := fs.ReadFile("/etc/kubernetes/" + name)
			check(t, err)
			config, err := clientcmd.RESTConfigFromKubeConfig(b)
			check(t, err)
			_, err = tls.X509KeyPair(config.CertData, config.KeyData)
			check(t, err)
			content = config.CertData
		} else {
			path := dir + strings.Replace(name, "etcd-", "etcd/", 1)
			if name == "apiserver-etcd-client" {
				path = dir + name
			}
			var err error
			content, err = fs.ReadFile(path + ".crt")
			check(t, err)
			key, err := fs.ReadFile(path + ".key")
			check(t, err)
			_, err = tls.X509KeyPair(content, key)
			check(t, err)
		}
		out[name] = parse(t, content)
	}
	return out
}

func parse(t *testing.T, content []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatal("no PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	return c
}

func TestWrite(t *testing.T) {
	t.Parallel()
	n := node("cp-1")
	_, fs := written(t, n)
	certs := certificates(t, fs)
	for name, want := range map[string]struct {
		ca, cn, org string
		usage       x509.ExtKeyUsage
		names       []string
	}{
		"apiserver":                {"ca", "kube-apiserver", "", x509.ExtKeyUsageServerAuth, []string{"127.77.1.11", "127.77.1.10", "10.96.0.1", "api.hollow.test", "192.0.2.7", "kubernetes.default.svc"}},
		"apiserver-kubelet-client": {"ca", "kube-apiserver-kubelet-client", "kubeadm:cluster-admins", x509.ExtKeyUsageClientAuth, nil},
		"apiserver-etcd-client":    {"etcd/ca", "kube-apiserver-etcd-client", "", x509.ExtKeyUsageClientAuth, nil},
		"front-proxy-client":       {"front-proxy-ca", "front-proxy-client", "", x509.ExtKeyUsageClientAuth, nil},
		"etcd-server":              {"etcd/ca", "cp-1", "", x509.ExtKeyUsageServerAuth, []string{"cp-1", "localhost", "127.77.1.11", "127.0.0.1", "::1"}},
		"etcd-peer":                {"etcd/ca", "cp-1", "", x509.ExtKeyUsageClientAuth, []string{"cp-1", "127.77.1.11"}},
		"etcd-healthcheck-client":  {"etcd/ca", "kube-etcd-healthcheck-client", "", x509.ExtKeyUsageClientAuth, nil},
		"admin.conf":               {"ca", "kubernetes-admin", "kubeadm:cluster-admins", x509.ExtKeyUsageClientAuth, nil},
		"super-admin.conf":         {"ca", "kubernetes-super-admin", "system:masters", x509.ExtKeyUsageClientAuth, nil},
		"controller-manager.conf":  {"ca", "system:kube-controller-manager", "", x509.ExtKeyUsageClientAuth, nil},
		"scheduler.conf":           {"ca", "system:kube-scheduler", "", x509.ExtKeyUsageClientAuth, nil},
	} {
		c := certs[name]
		roots := x509.NewCertPool()
		ca, err := fs.ReadFile(dir + want.ca + ".crt")
		check(t, err)
		roots.AppendCertsFromPEM(ca)
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{want.usage}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.Subject.CommonName != want.cn || strings.Join(c.Subject.Organization, ",") != want.org {
			t.Errorf("%s: subject %s", name, c.Subject)
		}
		for _, san := range want.names {
			if err := c.VerifyHostname(san); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left := time.Until(c.NotAfter); left > n.Lifetime || left < n.Lifetime-time.Hour {
			t.Errorf("%s: %s left of %s", name, left, n.Lifetime)
		}
	}
	for path, server := range map[string]string{"admin.conf": n.Endpoint, "kubelet.conf": n.Endpoint, "scheduler.conf": "https://127.77.1.11:6443"} {
		if got := config(t, fs, path).Host; got != server {
			t.Errorf("%s: server %s, want %s", path, got, server)
		}
	}
	for _, name := range []string{"sa.key", "sa.pub", "ca.key", "etcd/ca.key"} {
		if _, err := fs.ReadFile(dir + name); err != nil {
			t.Error(err)
		}
	}
}

func TestWriteJoinedAndOld(t *testing.T) {
	t.Parallel()
	joined := node("cp-2")
	joined.First = false
	_, fs := written(t, joined)
	if _, err := fs.Stat("/etc/kubernetes/super-admin.conf"); err == nil {
		t.Error("a joined control plane has super-admin.conf")
	}
	old := node("cp-1")
	old.Minor = 28
	a, fs := written(t, old)
	if _, err := fs.Stat("/etc/kubernetes/super-admin.conf"); err == nil {
		t.Error("kubeadm 1.28 wrote super-admin.conf")
	}
	check(t, a.WriteSuperAdmin(fs, old))
	certs := certificates(t, fs)
	for _, name := range []string{"admin.conf", "apiserver-etcd-client", "super-admin.conf"} {
		if org := certs[name].Subject.Organization; !slices.Equal(org, []string{"system:masters"}) {
			t.Errorf("%s of kubeadm 1.28: organisation %v", name, org)
		}
	}
	worker := vfs.New()
	check(t, a.WriteWorker(worker, pki.Node{Name: "worker-1", IP: "127.77.1.14", Endpoint: old.Endpoint}))
	if got := parse(t, config(t, worker, "kubelet.conf").CertData).Subject.CommonName; got != "system:node:worker-1" {
		t.Errorf("the worker's kubelet is %s", got)
	}
	if _, err := worker.Stat(dir + "ca.key"); err == nil {
		t.Error("a worker has the CA's key")
	}
	if err := a.Write(vfs.New(), pki.Node{Name: "cp-1"}); err == nil {
		t.Error("a node without an address was taken")
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	a, fs := written(t, node("cp-1"))
	before := certificates(t, fs)
	renewed, err := a.Renew(fs, pki.ControlPlaneNames()...)
	check(t, err)
	if !slices.Equal(renewed, pki.ControlPlaneNames()) {
		t.Errorf("renewed: %v", renewed)
	}
	after := certificates(t, fs)
	for name := range before {
		held := slices.Contains(pki.EtcdNames(), name)
		if held != after[name].NotAfter.Equal(before[name].NotAfter) || after[name].NotAfter.Before(before[name].NotAfter) {
			t.Errorf("%s: from %s to %s", name, before[name].NotAfter, after[name].NotAfter)
		}
		if after[name].Subject.String() != before[name].Subject.String() || !slices.Equal(after[name].DNSNames, before[name].DNSNames) {
			t.Errorf("%s: another subject or other names", name)
		}
	}
	// However quick: later is later by a second, and etcd's are no earlier than
	// the API server's.
	_, err = a.Renew(fs, pki.EtcdNames()...)
	check(t, err)
	end := certificates(t, fs)["etcd-peer"].NotAfter
	if !end.After(after["apiserver"].NotAfter) {
		t.Errorf("etcd-peer ends %s, apiserver %s", end, after["apiserver"].NotAfter)
	}
	_, err = a.Renew(fs, "etcd-peer")
	check(t, err)
	if again := certificates(t, fs)["etcd-peer"].NotAfter; again.Sub(end) < time.Second {
		t.Errorf("renewed again: from %s to %s", end, again)
	}
	if _, err := a.Renew(fs, "etcd-ca"); err == nil {
		t.Error("kubeadm does not renew a CA")
	}
}

func TestRenewWhatCannotBe(t *testing.T) {
	t.Parallel()
	a, fs := written(t, node("cp-1"))
	check(t, fs.Remove("/etc/kubernetes/super-admin.conf"))
	check(t, fs.Remove(dir+"etcd/ca.key"))
	renewed, err := a.Renew(fs, "etcd-server", "super-admin.conf", "scheduler.conf")
	check(t, err)
	if !slices.Equal(renewed, []string{"scheduler.conf"}) {
		t.Errorf("renewed: %v", renewed)
	}
	check(t, fs.WriteFile(dir+"ca.key", []byte("broken"), 0o600))
	if _, err := a.Renew(fs, "apiserver"); err == nil {
		t.Error("renewed with a broken CA")
	}
}

func TestSaved(t *testing.T) {
	t.Parallel()
	a, fs := written(t, node("cp-1"))
	_, err := a.Renew(fs, "apiserver")
	check(t, err)
	b, err := json.Marshal(a)
	check(t, err)
	var again pki.Authority
	check(t, json.Unmarshal(b, &again))
	_, err = again.Renew(fs, "scheduler.conf")
	check(t, err)
	certs := certificates(t, fs)
	if !certs["scheduler.conf"].NotAfter.After(certs["apiserver"].NotAfter) {
		t.Error("the saved authority does not know what it issued last")
	}
	if string(again.CA()) != string(a.CA()) {
		t.Error("the saved authority has another CA")
	}
	if err := json.Unmarshal([]byte(`{"pairs":{}}`), &again); err == nil {
		t.Error("an empty authority was taken")
	}
}

// TestServe goes over who may come to the API server and what it shows them.
func TestServe(t *testing.T) {
	t.Parallel()
	a, fs := written(t, node("cp-1"))
	serving, err := pki.ServerTLS(fs)
	check(t, err)
	url := serve(t, serving)
	content, err := a.Kubeconfig(url)
	check(t, err)
	admin, err := clientcmd.RESTConfigFromKubeConfig(content)
	check(t, err)
	if who := ask(t, admin); who != "kubernetes-admin" {
		t.Errorf("the administrator is %q", who)
	}
	nobody := rest.AnonymousClientConfig(admin)
	if who := ask(t, nobody); who != "" {
		t.Errorf("nobody is %q", who)
	}
	stranger, err := pki.New()
	check(t, err)
	content, err = stranger.Kubeconfig(url)
	check(t, err)
	foreign, err := clientcmd.RESTConfigFromKubeConfig(content)
	check(t, err)
	foreign.CAData = a.CA()
	if _, _, err := get(t, foreign); err == nil {
		t.Error("another cluster's administrator got in")
	}
	_, first, err := get(t, admin)
	check(t, err)
	_, err = a.Renew(fs, "apiserver")
	check(t, err)
	_, second, err := get(t, admin)
	check(t, err)
	if !second.NotAfter.After(first.NotAfter) {
		t.Error("the renewed certificate is not served")
	}
	if _, err := pki.ServerTLS(vfs.New()); err == nil {
		t.Error("an API server without files")
	}
}

// serve answers with the name of whoever asks.
func serve(t *testing.T, c *tls.Config) (url string) {
	t.Helper()
	s := &http.Server{TLSConfig: c, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName))
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.ServeTLS(l, "", "") })
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
	})
	return "https://" + l.Addr().String()
}

func ask(t *testing.T, c *rest.Config) string {
	t.Helper()
	who, _, err := get(t, c)
	check(t, err)
	return who
}

// get asks over a connection of its own.
func get(t *testing.T, c *rest.Config) (who string, shown *x509.Certificate, err error) {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(c)
	check(t, err)
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, c.Host, nil)
	check(t, err)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, 100)
	n, _ := resp.Body.Read(b)
	return string(b[:n]), resp.TLS.PeerCertificates[0], nil
}

func config(t *testing.T, fs *vfs.FS, name string) *rest.Config {
	t.Helper()
	b, err := fs.ReadFile("/etc/kubernetes/" + name)
	check(t, err)
	c, err := clientcmd.RESTConfigFromKubeConfig(b)
	check(t, err)
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
