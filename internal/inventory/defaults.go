package inventory

import (
	"slices"
	"time"
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

// complete fills the defaults that depend on other fields.
func (inv *Inventory) complete() {
	inv.Packages.complete()
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

func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
