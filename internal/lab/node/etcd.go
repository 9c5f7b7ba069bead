package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// etcdPKI is the CA of an external etcd. Its key ends with the bringing up: nobody renews
// these certificates, which last longer than any lab.
type etcdPKI struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

const etcdCertificateLife = 10 * 365 * 24 * time.Hour

func newEtcdPKI(lab string) (*etcdPKI, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd-ca of " + lab},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(etcdCertificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &etcdPKI{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// pair makes a certificate and its key, in PEM form. With addresses it is a member's, for
// clients and peers alike, else a client's.
func (p *etcdPKI) pair(name string, addresses ...string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: p.cert.NotBefore, NotAfter: p.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(addresses) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames = []string{name, "localhost"}
	}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, &private.PublicKey, p.key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), nil
}

// startEtcd makes an external etcd of the hosts that are there for it, and gives the
// control planes what kubeadm asks for. Without such hosts there is nothing to do.
func (u *bringUp) startEtcd(ctx context.Context) error {
	t := u.lab.state.Topology
	if len(t.Etcd) == 0 {
		return nil
	}
	u.log.logf("  start the external etcd")
	pki, err := newEtcdPKI(u.spec.Name)
	if err != nil {
		return err
	}
	err = eachNode(ctx, t.Etcd, 3, "provision etcd", func(ctx context.Context, n Node) error {
		files, err := u.etcdFiles(pki, n)
		if err != nil {
			return err
		}
		if err := u.lab.put(ctx, n.Name, files); err != nil {
			return err
		}
		_, err = u.lab.ExecIn(ctx, n.Name, etcdScript(t.Depot, u.startingEtcd()), "sh", "-eu")
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range t.controlPlanes() {
		cert, key, err := pki.pair("kube-apiserver-etcd-client")
		if err != nil {
			return err
		}
		// The CA's key is not among them, as it would not be where somebody else runs etcd.
		err = u.lab.put(ctx, n.Name, []nodeFile{
			{path: "/etc/kubernetes/pki/etcd/ca.crt", mode: 0o644, data: pki.pem},
			{path: "/etc/kubernetes/pki/apiserver-etcd-client.crt", mode: 0o644, data: cert},
			{path: "/etc/kubernetes/pki/apiserver-etcd-client.key", mode: 0o600, data: key},
		})
		if err != nil {
			return err
		}
	}
	return poll(ctx, 2*time.Minute, time.Second, u.etcdUp)
}

// startingEtcd is the version that the external etcd begins with: the one asked for, or
// the one that the starting release's kubeadm names.
func (u *bringUp) startingEtcd() string {
	if u.spec.Etcd != "" {
		return u.spec.Etcd
	}
	return etcdOf(u.bundles[0].Refs)
}

// etcdOf is the version of etcd among the references of a release's images; of several
// the first, which is kubeadm's own.
func etcdOf(refs []string) string {
	for _, ref := range refs {
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		if tag, found := strings.CutPrefix(name, "etcd:"); found {
			version, _, _ := strings.Cut(tag, "-")
			return version
		}
	}
	return ""
}

func (u *bringUp) etcdFiles(pki *etcdPKI, n Node) ([]nodeFile, error) {
	t := u.lab.state.Topology
	data := map[string]any{"Lab": u.spec.Name, "Host": n, "Hosts": t.Etcd}
	env, err := render("etcd.env", data)
	if err != nil {
		return nil, err
	}
	unit, err := render("etcd.service", data)
	if err != nil {
		return nil, err
	}
	serverCert, serverKey, err := pki.pair(n.Name, n.IP, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	clientCert, clientKey, err := pki.pair("kup")
	if err != nil {
		return nil, err
	}
	files := []nodeFile{
		{path: "/etc/etcd/etcd.env", mode: 0o644, data: env},
		{path: "/etc/systemd/system/etcd.service", mode: 0o644, data: unit},
		{path: "/etc/etcd/pki/ca.crt", mode: 0o644, data: pki.pem},
		{path: "/etc/etcd/pki/server.crt", mode: 0o644, data: serverCert},
		{path: "/etc/etcd/pki/server.key", mode: 0o600, data: serverKey},
		{path: "/etc/etcd/pki/client.crt", mode: 0o644, data: clientCert},
		{path: "/etc/etcd/pki/client.key", mode: 0o600, data: clientKey},
		{path: "/etc/sudoers.d/" + artifact.SSHUser, mode: 0o440, data: sudoers(n)},
	}
	return append(files, sshServerFiles(u.keys, n.IP)...), nil
}

// etcdScript installs a release from the lab's mirror, as a user would, and starts it
// without waiting: a member is not up before its peers are.
func etcdScript(depot, version string) string {
	r := artifact.EtcdRelease{Version: version}
	return `
chown -R ` + artifact.SSHUser + `: /home/` + artifact.SSHUser + `/.ssh
systemctl disable --now containerd
systemctl restart ssh
mkdir -p -m 0700 /var/lib/etcd
curl -fsS --retry 3 -o /tmp/etcd.tar.gz http://` + depot + r.URLPath() + r.Archive() + `
tar -xzf /tmp/etcd.tar.gz -C /usr/local/bin --strip-components=1 --no-same-owner
rm /tmp/etcd.tar.gz
systemctl daemon-reload
systemctl enable etcd
systemctl start --no-block etcd
`
}

// etcdUp asks every member for its health, from its own host.
func (u *bringUp) etcdUp(ctx context.Context) error {
	return eachNode(ctx, u.lab.state.Topology.Etcd, 3, "ask etcd", func(ctx context.Context, n Node) error {
		out, err := u.lab.Exec(ctx, n.Name, "curl", "-fsS", "--max-time", "5", "--cacert", "/etc/etcd/pki/ca.crt",
			"--cert", "/etc/etcd/pki/client.crt", "--key", "/etc/etcd/pki/client.key", "https://127.0.0.1:2379/health")
		if err == nil && !strings.Contains(out, `"true"`) {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
}

// etcdReleases makes what the mirror serves: the version to start with, and what kubeadm of
// every release that is served deploys.
func etcdReleases(ctx context.Context, store *artifact.Store, spec Spec, bundles []artifact.Bundle) ([]artifact.EtcdRelease, error) {
	if spec.ExternalEtcd == 0 {
		return nil, nil
	}
	var out []artifact.EtcdRelease
	seen := map[string]bool{"": true}
	versions := []string{spec.Etcd}
	for _, b := range bundles {
		versions = append(versions, etcdOf(b.Refs))
	}
	for _, v := range versions {
		if seen[v] {
			continue
		}
		seen[v] = true
		r, err := store.EtcdRelease(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("etcd %s for linux/%s: %w", v, runtime.GOARCH, err)
		}
		out = append(out, r)
	}
	return out, nil
}
