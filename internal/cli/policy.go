package cli

import (
	"time"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/pkg/cluster"
)

// policy turns the inventory into what the planner reads. Without an inventory
// the defaults of an empty one hold.
func policy(inv *inventory.Inventory, offers map[cluster.Version]string) planner.Policy {
	p := planner.Policy{
		Now:                   time.Now(),
		KupVersion:            version,
		InventoryDigest:       inv.Digest(),
		IgnorePreflightErrors: inv.Kubeadm.IgnorePreflightErrors,
		PatchesDir:            inv.Kubeadm.Patches,
		CertificateRenewal:    inv.Kubeadm.CertificateRenewal,
		Defragment:            inv.Etcd.Defragment,
		Packages: planner.Packages{
			Manager:        string(inv.Packages.Manager),
			Repository:     inv.Packages.Repository,
			RepositoryFile: inv.Packages.RepositoryFile,
			SigningKey:     inv.Packages.SigningKey,
			Hold:           inv.Packages.Hold,
			LockTimeout:    inv.Packages.LockTimeout,
			BinaryURL:      inv.Packages.Binaries.URL,
			ChecksumURL:    inv.Packages.Binaries.ChecksumURL,
		},
		EtcdBinaries: planner.EtcdBinaries{URL: inv.Etcd.Binaries.URL, ChecksumURL: inv.Etcd.Binaries.ChecksumURL},
		Offers:       offers,
		Pools:        map[string]planner.Pool{},
		Workers:      planner.WorkerHops(inv.Workers),
		LoadBalancer: planner.LoadBalancer{Drain: inv.LoadBalancer.Drain, Restore: inv.LoadBalancer.Restore},
		GateSustain:  inv.Gates.Sustain,
		Snapshots: planner.Snapshots{
			Limit: inv.Snapshots.Limit.String(), Encrypted: len(inv.Snapshots.Recipients) > 0 || inv.Snapshots.RecipientsFile != "",
		},
	}
	if second := secondPlace(inv); second != nil {
		p.Snapshots.Second = second.String()
	}
	for _, pool := range inv.Pools {
		p.Pools[pool.Name] = planner.Pool{
			MaxUnavailable: planner.Amount{Count: pool.MaxUnavailable.Number, Percent: pool.MaxUnavailable.Percent},
			Drain: planner.Drain{
				Timeout:            pool.Drain.Timeout,
				GracePeriod:        pool.Drain.GracePeriod,
				DeleteEmptyDirData: pool.Drain.DeleteEmptyDirData,
				Force:              pool.Drain.Force,
			},
		}
	}
	return p
}
