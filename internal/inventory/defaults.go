package inventory

import (
	"slices"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// DefaultPool is the pool of every node that names none. It exists even where
// the file does not list it.
const DefaultPool = "default"

// MinSustain is the shortest time a gate may hold before it counts.
const MinSustain = 10 * time.Second

// defaults is the inventory an empty file stands for, before the fields that
// depend on others are completed. Every default of the format is in this file.
func defaults() Inventory {
	return Inventory{
		SSH: SSH{
			Agent:          true,
			Config:         "~/.ssh/config",
			ConnectTimeout: 10 * time.Second,
			Keepalive:      15 * time.Second,
			Sudo:           Sudo{Mode: SudoAuto},
		},
		Workers:   EachHop,
		Packages:  Packages{Manager: APT, Hold: true, LockTimeout: 5 * time.Minute},
		Kubeadm:   Kubeadm{CertificateRenewal: true, KeepBackups: 2},
		Etcd:      Etcd{Topology: Stacked},
		Snapshots: Snapshots{Keep: 5},
		Gates:     Gates{Sustain: MinSustain, Timeout: 10 * time.Minute},
	}
}

// Default is the inventory of somebody who has none: every default and no
// nodes. It is enough to look at a cluster through its API.
func Default() *Inventory {
	inv := defaults()
	inv.APIVersion = APIVersion
	inv.complete()
	return &inv
}

// defaultPool is what a pool starts from.
func defaultPool() Pool {
	return Pool{
		MaxUnavailable: Amount{Number: 1},
		Drain:          Drain{Timeout: 10 * time.Minute, GracePeriod: -time.Second, DeleteEmptyDirData: true},
	}
}

// defaultEtcdMember is what a member of an external etcd starts from. The certificates
// are those of kubeadm's own guide to external etcd.
func defaultEtcdMember() EtcdMember {
	return EtcdMember{
		Unit: "etcd.service", DataDirectory: "/var/lib/etcd", Endpoint: "127.0.0.1:2379",
		Certificates: EtcdCertificates{
			CA:   "/etc/kubernetes/pki/etcd/ca.crt",
			Cert: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
			Key:  "/etc/kubernetes/pki/etcd/healthcheck-client.key",
		},
	}
}

// complete fills the defaults that depend on other fields.
func (inv *Inventory) complete() {
	inv.Packages.complete()
	if inv.Etcd.Topology == External {
		inv.Etcd.complete(inv.Nodes)
	}
	for i := range inv.Nodes {
		fill(&inv.Nodes[i].Pool, DefaultPool)
	}
	if !slices.ContainsFunc(inv.Pools, func(p Pool) bool { return p.Name == DefaultPool }) {
		p := defaultPool()
		p.Name = DefaultPool
		inv.Pools = append(inv.Pools, p)
	}
}

func (p *Packages) complete() {
	switch p.Manager {
	case APT:
		fill(&p.Repository, "https://pkgs.k8s.io/core:/stable:/v{minor}/deb/")
		fill(&p.RepositoryFile, "/etc/apt/sources.list.d/kubernetes.list")
		fill(&p.SigningKey, "/etc/apt/keyrings/kubernetes-apt-keyring.gpg")
	case DNF:
		fill(&p.Repository, "https://pkgs.k8s.io/core:/stable:/v{minor}/rpm/")
		fill(&p.RepositoryFile, "/etc/yum.repos.d/kubernetes.repo")
	case Binaries:
		fill(&p.Binaries.URL, "https://dl.k8s.io/release/{version}/bin/linux/{arch}/{binary}")
		fill(&p.Binaries.ChecksumURL, "{url}.sha256")
	}
}

// complete gives every host of role etcd its member, in the order of the hosts.
func (e *Etcd) complete(nodes []Node) {
	fill(&e.Binaries.URL, "https://github.com/etcd-io/etcd/releases/download/{version}/etcd-{version}-linux-{arch}.tar.gz")
	fill(&e.Binaries.ChecksumURL, "https://github.com/etcd-io/etcd/releases/download/{version}/SHA256SUMS")
	for _, n := range nodes {
		if n.Role != cluster.EtcdHost || slices.ContainsFunc(e.Members, func(m EtcdMember) bool { return m.Node == n.Name }) {
			continue
		}
		m := defaultEtcdMember()
		m.Node = n.Name
		e.Members = append(e.Members, m)
	}
}

func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
