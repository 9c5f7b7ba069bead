package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

const loopback = "127.0.0.1"

func (w *Writer) apiServer() *corev1.Pod {
	words := command("kube-apiserver", pairs(
		"advertise-address", w.IP, "allow-privileged", "true", "authorization-mode", "Node,RBAC", "client-ca-file", PKI+"/ca.crt",
		"enable-admission-plugins", "NodeRestriction", "enable-bootstrap-token-auth", "true",
		"etcd-cafile", PKI+"/etcd/ca.crt", "etcd-certfile", PKI+"/apiserver-etcd-client.crt", "etcd-keyfile", PKI+"/apiserver-etcd-client.key",
		"etcd-servers", "https://127.0.0.1:2379",
		"kubelet-client-certificate", PKI+"/apiserver-kubelet-client.crt", "kubelet-client-key", PKI+"/apiserver-kubelet-client.key",
		"kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname",
		"proxy-client-cert-file", PKI+"/front-proxy-client.crt", "proxy-client-key-file", PKI+"/front-proxy-client.key",
		"requestheader-allowed-names", "front-proxy-client", "requestheader-client-ca-file", PKI+"/front-proxy-ca.crt",
		"requestheader-extra-headers-prefix", "X-Remote-Extra-", "requestheader-group-headers", "X-Remote-Group",
		"requestheader-username-headers", "X-Remote-User", "secure-port", apiPort,
		"service-account-issuer", "https://kubernetes.default.svc."+DNSDomain, "service-account-key-file", PKI+"/sa.pub",
		"service-account-signing-key-file", PKI+"/sa.key", "service-cluster-ip-range", ServiceCIDR,
		"tls-cert-file", PKI+"/apiserver.crt", "tls-private-key-file", PKI+"/apiserver.key",
	), w.Config.extra("apiServer"))
	c := w.container("kube-apiserver", w.Images.ControlPlane[0], words, port{6443, corev1.URISchemeHTTPS, w.IP}, "/livez", "/readyz", "/livez")
	requests(&c, "250m", "")
	return pod(c, trust(), map[string]string{"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": w.IP + ":" + apiPort})
}

func (w *Writer) controllerManager() *corev1.Pod {
	const conf = "/etc/kubernetes/controller-manager.conf"
	words := command("kube-controller-manager", pairs(
		"authentication-kubeconfig", conf, "authorization-kubeconfig", conf, "bind-address", loopback, "client-ca-file", PKI+"/ca.crt",
		"allocate-node-cidrs", "true", "cluster-cidr", w.Config.text("networking", "podSubnet"), "cluster-name", w.Config.Name(),
		"cluster-signing-cert-file", PKI+"/ca.crt", "cluster-signing-key-file", PKI+"/ca.key", "controllers", "*,bootstrapsigner,tokencleaner",
		"kubeconfig", conf, "leader-elect", "true", "requestheader-client-ca-file", PKI+"/front-proxy-ca.crt", "root-ca-file", PKI+"/ca.crt",
		"service-account-private-key-file", PKI+"/sa.key", "service-cluster-ip-range", ServiceCIDR, "use-service-account-credentials", "true",
	), w.Config.extra("controllerManager"))
	c := w.container("kube-controller-manager", w.Images.ControlPlane[1], words, port{10257, corev1.URISchemeHTTPS, loopback}, "/healthz", "", "/healthz")
	requests(&c, "200m", "")
	mounts := append(trust(),
		mount{"kubeconfig", conf, corev1.HostPathFileOrCreate, false},
		mount{"flexvolume-dir", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec", corev1.HostPathDirectoryOrCreate, true})
	return pod(c, sorted(mounts), nil)
}

func (w *Writer) scheduler() *corev1.Pod {
	const conf = "/etc/kubernetes/scheduler.conf"
	words := command("kube-scheduler", pairs(
		"authentication-kubeconfig", conf, "authorization-kubeconfig", conf, "bind-address", loopback, "kubeconfig", conf, "leader-elect", "true",
	), w.Config.extra("scheduler"))
	c := w.container("kube-scheduler", w.Images.ControlPlane[2], words, port{10259, corev1.URISchemeHTTPS, loopback}, "/livez", "/readyz", "/livez")
	requests(&c, "100m", "")
	return pod(c, []mount{{"kubeconfig", conf, corev1.HostPathFileOrCreate, false}}, nil)
}

// etcdFlags is the first etcd whose flags of these meanings are not experimental.
var etcdFlags = cluster.Minor{Major: 3, Minor: 6}

func (w *Writer) etcd(joined []string) *corev1.Pod {
	client, peer := "https://"+w.IP+":2379", "https://"+w.IP+":2380"
	own := pairs(
		"name", w.Node, "listen-client-urls", "https://127.0.0.1:2379,"+client, "advertise-client-urls", client,
		"listen-peer-urls", peer, "initial-advertise-peer-urls", peer, "data-dir", EtcdData,
		"cert-file", PKI+"/etcd/server.crt", "key-file", PKI+"/etcd/server.key", "trusted-ca-file", PKI+"/etcd/ca.crt", "client-cert-auth", "true",
		"peer-cert-file", PKI+"/etcd/peer.crt", "peer-key-file", PKI+"/etcd/peer.key", "peer-trusted-ca-file", PKI+"/etcd/ca.crt",
		"peer-client-cert-auth", "true", "snapshot-count", "10000", "listen-metrics-urls", "http://127.0.0.1:2381",
	)
	if v, err := catalog.TagVersion(w.Images.Etcd[strings.LastIndex(w.Images.Etcd, ":")+1:]); err == nil && !v.Line().Less(etcdFlags) {
		own = append(own, pairs("feature-gates", "InitialCorruptCheck=true", "watch-progress-notify-interval", "5s")...)
	} else {
		own = append(own, pairs("experimental-initial-corrupt-check", "true", "experimental-watch-progress-notify-interval", "5s")...)
	}
	if len(joined) == 0 {
		own = append(own, pairs("initial-cluster", w.Node+"="+peer)...)
	} else {
		own = append(own, pairs("initial-cluster", strings.Join(joined, ","), "initial-cluster-state", "existing")...)
	}
	words := command(Etcd, own, w.Config.extra("etcd", "local"))
	c := w.container(Etcd, w.Images.Etcd, words, port{2381, corev1.URISchemeHTTP, loopback}, "/livez", "/readyz", "/readyz")
	requests(&c, "100m", "100Mi")
	mounts := []mount{
		{"etcd-data", EtcdData, corev1.HostPathDirectoryOrCreate, true}, {"etcd-certs", PKI + "/etcd", corev1.HostPathDirectoryOrCreate, true},
	}
	return pod(c, mounts, map[string]string{"kubeadm.kubernetes.io/etcd.advertise-client-urls": client})
}
