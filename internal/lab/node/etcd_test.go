package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/pkg/cluster"
)

func external() topology {
	return layOut(Spec{ControlPlanes: 2, Workers: 1, ExternalEtcd: 3}, netip.MustParsePrefix("10.210.0.0/24"))
}

func TestExternalEtcdTemplates(t *testing.T) {
	lay := external()
	for _, tc := range []struct {
		template, golden string
		data             map[string]any
	}{
		{"etcd.env", "etcd.env", map[string]any{"Lab": "dev", "Host": lay.Etcd[1], "Hosts": lay.Etcd}},
		{"etcd.service", "etcd.service", map[string]any{"Lab": "dev"}},
		{"kup.yaml", "kup-external.yaml", map[string]any{
			"Lab": "dev", "User": "ops", "Depot": lay.Depot, "Bastion": lay.Bastion, "Nodes": lay.machines(), "EtcdHosts": lay.Etcd,
		}},
		{"init.yaml", "init-external.yaml", map[string]any{
			"Node": lay.Nodes[0], "Cluster": "dev", "Version": "v1.33.13", "EtcdTag": "3.5.33-0", "CgroupDriver": "cgroupfs", "PodCIDR": podCIDR,
			"ServiceCIDR": serviceCIDR, "EtcdHosts": lay.Etcd, "Port": apiPort, "Endpoint": lay.endpoint(), "Token": "abcdef.0123456789abcdef", "CertificateKey": "00ff",
		}},
	} {
		got, err := render(tc.template, tc.data)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, tc.golden, got)
		if tc.template != "kup.yaml" {
			continue
		}
		inv, err := inventory.Parse("kup.yaml", got)
		if err != nil {
			t.Fatal(err)
		}
		hosts := 0
		for _, n := range inv.Nodes {
			if n.Role == cluster.EtcdHost {
				hosts++
			}
		}
		if hosts != 3 || len(inv.Etcd.Members) != 3 {
			t.Errorf("%d hosts of role etcd, members %+v", hosts, inv.Etcd.Members)
		}
	}
}

func TestExternalEtcdIsApartFromTheNodes(t *testing.T) {
	lay := external()
	addresses := map[string]bool{}
	for _, n := range lay.machines() {
		addresses[n.IP] = true
	}
	if len(lay.Nodes) != 3 || len(lay.Etcd) != 3 || len(addresses) != 6 {
		t.Errorf("%+v", lay)
	}
	for _, n := range []int{-1, 2, 4, 7} {
		if _, err := (Spec{ExternalEtcd: n}).withDefaults(); err == nil {
			t.Errorf("%d hosts of an external etcd passed", n)
		}
	}
	refs := []string{"registry.k8s.io/kube-proxy:v1.33.13", "registry.k8s.io/etcd:3.5.24-0", "registry.k8s.io/etcd:3.5.33-0"}
	u := &bringUp{spec: Spec{Etcd: "3.5.33"}}
	if got := etcdOf(refs); got != "3.5.24" || u.startingEtcd() != "3.5.33" {
		t.Errorf("%s, %s", got, u.startingEtcd())
	}
	if s := etcdScript("10.210.0.2", "3.5.33"); !strings.Contains(s, "http://10.210.0.2/etcd/v3.5.33/etcd-v3.5.33-linux-") {
		t.Error(s)
	}
}

func TestEtcdCertificates(t *testing.T) {
	pki, err := newEtcdPKI("dev")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pki.pem)
	for _, tc := range []struct {
		addresses []string
		server    bool
	}{{[]string{"10.210.0.21", "127.0.0.1"}, true}, {nil, false}} {
		cert, key, err := pki.pair("etcd-1", tc.addresses...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			t.Error(err)
		}
		block, _ := pem.Decode(cert)
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("as a client's: %v", err)
		}
		_, err = parsed.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"})
		if (err == nil) != tc.server {
			t.Errorf("as a server's: %v", err)
		}
	}
}
