package planner

import (
	"fmt"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// topology describes a healthy cluster for tests.
type topology struct {
	controlPlanes, workers int
	version                string
	etcd                   string // empty: what kubeadm of the version brings
}

var surveyed = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// facts gives what a survey of such a cluster would find.
func (t topology) facts(c *catalog.Catalog) cluster.Facts {
	v := cluster.MustParseVersion(t.version)
	m, ok := c.Minor(v.Line())
	if !ok {
		panic("no row for " + t.version)
	}
	tag, etcd, _ := m.Etcd(v)
	if t.etcd != "" {
		etcd = cluster.MustParseVersion(t.etcd)
		tag = etcd.Bare() + "-0"
	}
	images := m.Images(v, "", tag)
	f := cluster.Facts{
		At:       surveyed,
		Identity: cluster.Identity{UID: "0c9de2a5-0f4b-4b5e-9a51-6f2a3c1d7e10", CA: "sha256:00", Name: "lab", Endpoint: "https://10.90.0.2:6443"},
		Kubeadm: cluster.Kubeadm{
			ConfigDigest: "sha256:01", KubeletConfigDigest: "sha256:02", APIVersion: "kubeadm.k8s.io/" + m.ConfigAPIs()[len(m.ConfigAPIs())-1],
			ClusterVersion: v, ImageRepository: m.DefaultRepository(), Endpoint: "10.90.0.2:6443", PodSubnet: "10.244.0.0/16",
		},
		Etcd: cluster.Etcd{Topology: "stacked"},
		Addons: []cluster.Addon{
			{Name: "coredns", Image: images.CoreDNS, Ready: true},
			{Name: "kube-proxy", Image: images.KubeProxy, Ready: true},
		},
		Workload: []cluster.Workload{{Kind: "Deployment", Namespace: "kube-system", Name: "coredns", Desired: 2, Ready: 2}},
	}
	for i := range t.controlPlanes {
		f.Nodes = append(f.Nodes, node(fmt.Sprintf("cp-%d", i+1), cluster.ControlPlane, 11+i, v, etcd, images))
		f.Etcd.Members = append(f.Etcd.Members, cluster.Member{
			ID: fmt.Sprintf("%x", 0xa0+i), Name: fmt.Sprintf("cp-%d", i+1), Node: fmt.Sprintf("cp-%d", i+1),
			PeerURL: fmt.Sprintf("https://10.90.0.%d:2380", 11+i), ClientURL: fmt.Sprintf("https://10.90.0.%d:2379", 11+i),
			Version: etcd, Healthy: true, Leader: i == 0, DBSize: 32 << 20, Quota: 2 << 30,
		})
	}
	for i := range t.workers {
		n := node(fmt.Sprintf("w-%d", i+1), cluster.Worker, 101+i, v, etcd, images)
		n.Pool = "default"
		f.Nodes = append(f.Nodes, n)
	}
	return f
}

func node(name string, role cluster.Role, host int, v, etcd cluster.Version, images catalog.Images) cluster.Node {
	n := cluster.Node{
		Name: name, Role: role, Address: fmt.Sprintf("10.90.0.%d", host), InAPI: true, Kubelet: v, Ready: true,
		Runtime: "containerd://1.7.27", CRISocket: "unix:///run/containerd/containerd.sock",
		OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-40-amd64", Arch: "amd64",
		Host: &cluster.Host{
			BootID: "boot-" + name, Kubeadm: v, Kubelet: v, Kubectl: v, SandboxImage: images.Pause,
			DiskFree:             map[string]uint64{"/etc/kubernetes": 20 << 30, "/var/lib/containerd": 20 << 30, "/var/lib/etcd": 20 << 30},
			ImageDiskUsedPercent: 40,
		},
	}
	for _, name := range []string{"kubeadm", "kubectl", "kubelet"} {
		n.Host.Packages = append(n.Host.Packages, cluster.Package{Name: name, Version: v.Bare() + "-1.1", Held: true})
	}
	if role != cluster.ControlPlane {
		return n
	}
	for i, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		n.StaticPods = append(n.StaticPods, cluster.StaticPod{Component: component, Version: v, Image: images.ControlPlane[i], Ready: true})
	}
	n.StaticPods = append(n.StaticPods, cluster.StaticPod{Component: "etcd", Version: etcd, Image: images.Etcd, Ready: true})
	for _, name := range []string{"admin.conf", "apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "controller-manager.conf",
		"etcd-healthcheck-client", "etcd-peer", "etcd-server", "front-proxy-client", "scheduler.conf"} {
		n.Host.Certificates = append(n.Host.Certificates, cluster.Certificate{Name: name, NotAfter: surveyed.AddDate(0, 11, 0)})
	}
	return n
}

func testPolicy(targets ...cluster.Version) Policy {
	p := Policy{
		Now: surveyed.Add(time.Minute), KupVersion: "v0.0.0-test", InventoryDigest: "sha256:03",
		CertificateRenewal: true, GateSustain: 10 * time.Second,
		Packages: Packages{
			Manager: "apt", Repository: "https://pkgs.k8s.io/core:/stable:/v{minor}/deb/", RepositoryFile: "/etc/apt/sources.list.d/kubernetes.list",
			SigningKey: "/etc/apt/keyrings/kubernetes-apt-keyring.gpg", Hold: true, LockTimeout: 5 * time.Minute,
		},
		Offers: map[cluster.Version]string{},
		Pools:  map[string]Pool{"default": DefaultPool()},
	}
	for _, v := range targets {
		p.Offers[v] = v.Bare() + "-1.1"
	}
	return p
}
