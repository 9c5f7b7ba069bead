package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
)

// The files of the CAs, under kubeadm's directory.
const (
	clusterCA    = "ca"
	frontProxyCA = "front-proxy-ca"
	etcdCA       = "etcd/ca"

	serviceAccount = "sa"
)

// authorities are the CAs with the subjects that kubeadm gives them.
var authorities = [...]struct{ file, subject string }{
	{clusterCA, "kubernetes"},
	{frontProxyCA, "front-proxy-ca"},
	{etcdCA, "etcd-ca"},
}

func caFiles() []string {
	var out []string
	for _, ca := range authorities {
		out = append(out, ca.file)
	}
	return out
}

// item is one thing that `kubeadm certs renew` knows by name: a certificate
// under the pki directory, or the client certificate inside a kubeconfig.
type item struct {
	name       string
	file       string // without .crt, under pkiDir; with .conf, under kubernetesDir
	ca         string
	kubeconfig bool
	local      bool // the kubeconfig points to the node's own API server
	// firstOnly is what kubeadm init makes and join does not.
	firstOnly bool
	request   func(Node) request
}

var (
	client = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	server = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	both   = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
)

// items are all of them, in kubeadm's order.
var items = [...]item{
	{name: "admin.conf", file: "admin.conf", ca: clusterCA, kubeconfig: true,
		request: func(n Node) request { return clientOf("kubernetes-admin", n.admins()...) }},
	{name: "apiserver", file: "apiserver", ca: clusterCA, request: apiserver},
	{name: "apiserver-etcd-client", file: "apiserver-etcd-client", ca: etcdCA,
		request: func(n Node) request { return clientOf("kube-apiserver-etcd-client", n.etcdClients()...) }},
	{name: "apiserver-kubelet-client", file: "apiserver-kubelet-client", ca: clusterCA,
		request: func(n Node) request { return clientOf("kube-apiserver-kubelet-client", n.admins()...) }},
	{name: "controller-manager.conf", file: "controller-manager.conf", ca: clusterCA, kubeconfig: true, local: true,
		request: func(Node) request { return clientOf("system:kube-controller-manager") }},
	{name: "etcd-healthcheck-client", file: "etcd/healthcheck-client", ca: etcdCA,
		request: func(n Node) request { return clientOf("kube-etcd-healthcheck-client", n.etcdClients()...) }},
	{name: "etcd-peer", file: "etcd/peer", ca: etcdCA, request: etcdMember},
	{name: "etcd-server", file: "etcd/server", ca: etcdCA, request: etcdMember},
	{name: "front-proxy-client", file: "front-proxy-client", ca: frontProxyCA,
		request: func(Node) request { return clientOf("front-proxy-client") }},
	{name: "scheduler.conf", file: "scheduler.conf", ca: clusterCA, kubeconfig: true, local: true,
		request: func(Node) request { return clientOf("system:kube-scheduler") }},
	{name: "super-admin.conf", file: "super-admin.conf", ca: clusterCA, kubeconfig: true, firstOnly: true,
		request: func(Node) request { return clientOf("kubernetes-super-admin", mastersGroup) }},
}

const (
	mastersGroup = "system:masters"
	// adminsMinor is the minor of Kubernetes 1 in which kubeadm's administrators
	// got a group of their own, and super-admin.conf came.
	adminsMinor = 29
)

// AllNames gives the names that `kubeadm certs renew` takes, without "all".
func AllNames() []string {
	var out []string
	for _, it := range items {
		out = append(out, it.name)
	}
	return out
}

// EtcdNames gives what kubeadm upgrade renews with the etcd component:
// kubernetes v1.34, cmd/kubeadm/app/phases/upgrade/staticpods.go.
func EtcdNames() []string { return []string{"etcd-server", "etcd-peer", "etcd-healthcheck-client"} }

// ControlPlaneNames gives what kubeadm upgrade renews with the other static
// pods and after them: all but etcd's own.
func ControlPlaneNames() []string {
	return slices.DeleteFunc(AllNames(), func(name string) bool { return slices.Contains(EtcdNames(), name) })
}

func (n Node) admins() []string {
	if n.Minor < adminsMinor {
		return []string{mastersGroup}
	}
	return []string{"kubeadm:cluster-admins"}
}

// etcdClients is the group that etcd's clients had in vain until kubeadm 1.29.
func (n Node) etcdClients() []string {
	if n.Minor < adminsMinor {
		return []string{mastersGroup}
	}
	return nil
}

func clientOf(name string, groups ...string) request {
	return request{subject: pkix.Name{CommonName: name, Organization: groups}, usages: client}
}

// apiserver is valid for the node's own address, the load balancer's, the
// service's in the cluster and, since hollow clusters are used from where they
// run, the loopback.
func apiserver(n Node) request {
	r := request{
		subject: pkix.Name{CommonName: "kube-apiserver"}, usages: server,
		dns: []string{n.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
		ips: []net.IP{net.IPv4(10, 96, 0, 1), net.ParseIP(n.IP), net.IPv4(127, 0, 0, 1)},
	}
	names := n.SANs
	if u, err := url.Parse(n.Endpoint); err == nil && u.Hostname() != "" {
		names = append(slices.Clone(names), u.Hostname())
	}
	for _, name := range names {
		r.add(name)
	}
	return r
}

func etcdMember(n Node) request {
	return request{
		subject: pkix.Name{CommonName: n.Name}, usages: both,
		dns: []string{n.Name, "localhost"},
		ips: []net.IP{net.ParseIP(n.IP), net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
}

// add takes a name or an address that is not there yet.
func (r *request) add(name string) {
	if ip := net.ParseIP(name); ip == nil {
		if !slices.Contains(r.dns, name) {
			r.dns = append(r.dns, name)
		}
	} else if !slices.ContainsFunc(r.ips, ip.Equal) {
		r.ips = append(r.ips, ip)
	}
}
