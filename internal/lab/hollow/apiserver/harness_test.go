package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue gives a certificate and its key in PEM.
func (a *authority) issue(t testing.TB, name string, until time.Time, groups ...string) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: groups}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, "kube-apiserver", time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ClientCAs: clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil },
	}
}

// lab is a store with a server that runs, and an administrator of it.
type lab struct {
	store  *apiserver.Store
	server *apiserver.Server
	config *rest.Config
	client *kubernetes.Clientset
	ca     *authority
}

func start(t testing.TB, change ...func(*apiserver.Config)) *lab {
	t.Helper()
	l := &lab{store: apiserver.NewStore(), ca: newAuthority(t)}
	config := apiserver.Config{Store: l.store, TLS: l.ca.serverTLS(t)}
	for _, c := range change {
		c(&config)
	}
	l.server = apiserver.NewServer(config)
	if err := l.server.Start(t.Context(), "v1.34.4"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.server.Kill)
	l.config = l.as(t, "kubernetes-admin", time.Now().Add(time.Hour), "kubeadm:cluster-admins")
	var err error
	if l.client, err = kubernetes.NewForConfig(l.config); err != nil {
		t.Fatal(err)
	}
	return l
}

// as gives a client's config with a certificate of its own.
func (l *lab) as(t testing.TB, name string, until time.Time, groups ...string) *rest.Config {
	t.Helper()
	cert, key := l.ca.issue(t, name, until, groups...)
	return &rest.Config{
		Host: "https://" + l.server.Addr(), QPS: -1, UserAgent: "lab-test/1",
		TLSClientConfig: rest.TLSClientConfig{CAData: l.ca.pem, CertData: cert, KeyData: key},
	}
}

// kubeconfig writes one for the administrator.
func (l *lab) kubeconfig(t testing.TB) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["hollow"] = &clientcmdapi.Cluster{Server: l.config.Host, CertificateAuthorityData: l.ca.pem}
	c.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: l.config.CertData, ClientKeyData: l.config.KeyData}
	c.Contexts["admin"] = &clientcmdapi.Context{Cluster: "hollow", AuthInfo: "admin"}
	c.CurrentContext = "admin"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// resources that tests use.
var (
	podsResource  = corev1.SchemeGroupVersion.WithResource("pods")
	nodesResource = corev1.SchemeGroupVersion.WithResource("nodes")
	mapsResource  = corev1.SchemeGroupVersion.WithResource("configmaps")
)

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
