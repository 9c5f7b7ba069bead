package planner

import (
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// Policy is what the operator wants, as plain data from the inventory and the
// command line. Every field is documented with its unit and its zero value.
type Policy struct {
	// Now becomes the plan's CreatedAt.
	Now time.Time
	// KupVersion and InventoryDigest are written into the plan as they are.
	KupVersion      string
	InventoryDigest string

	// Accepted are the preflight rules that the operator lets through, by id, each
	// with the reason; written into the plan as they are.
	Accepted map[string]string

	// IgnorePreflightErrors are names of kubeadm's own checks to ignore.
	IgnorePreflightErrors []string
	// PatchesDir is a directory on the control planes given to kubeadm, and on
	// the workers that have it; empty: none.
	PatchesDir string
	// CertificateRenewal lets kubeadm renew its certificates, which is its own
	// default and should be the caller's.
	CertificateRenewal bool

	// Defragment has etcd's members defragmented once, before the first hop changes
	// anything.
	Defragment bool

	Packages Packages
	// EtcdBinaries says where releases for the members of an external etcd come from.
	EtcdBinaries EtcdBinaries

	// Offers are the package manager's names of the target versions, from the
	// repository's listing: v1.34.4 is "1.34.4-1.1". A target without an entry is
	// refused, except with the manager "binaries", which has no revisions.
	Offers map[cluster.Version]string

	// Pools are the workers' pools by name. A pool without an entry gets
	// DefaultPool's values.
	Pools map[string]Pool

	// Workers says in which hops the kubelets of workers move; empty: in each.
	Workers WorkerHops

	// LoadBalancer commands run on the operator's machine around an API server's
	// restart.
	LoadBalancer LoadBalancer

	// Snapshots says what else happens to a hop's snapshot.
	Snapshots Snapshots

	// Measured are durations of earlier runs, which take the place of the catalog's;
	// zero: none.
	Measured Measured

	// GateSustain is how long gates must hold, for the estimates only.
	GateSustain time.Duration
}

// Snapshots says how a hop's snapshot is taken and kept, for people who review the plan.
type Snapshots struct {
	Limit     string // bytes a second at most: 50MiB; empty: as fast as they come
	Encrypted bool   // wherever it is kept
	Second    string // the name of the second place; empty: none
}

// title is what the step says it does.
func (s Snapshots) title() string {
	title := "save an etcd snapshot and prove it by restoring it aside"
	if s.Limit != "" {
		title += ", at " + s.Limit + " a second at most"
	}
	if s.Encrypted {
		title += "; encrypt it"
	}
	if s.Second != "" {
		title += "; keep it in " + s.Second + ", too"
	}
	return title
}

// Packages says where kubeadm, kubelet and kubectl come from.
type Packages struct {
	Manager        string // apt, dnf or binaries
	Repository     string // URL; {minor} is replaced by 1.34
	RepositoryFile string // on the nodes
	SigningKey     string // on the nodes
	Hold           bool   // hold the pinned packages afterwards
	LockTimeout    time.Duration
	// BinaryURL and ChecksumURL are for the manager binaries: {version} and
	// {arch} are replaced here; {binary} is left to the step, {url} in
	// ChecksumURL stands for BinaryURL.
	BinaryURL   string
	ChecksumURL string
}

// EtcdBinaries are URLs of a release's archive and of the list of digests that names it;
// {version} and {arch} are replaced.
type EtcdBinaries struct {
	URL         string
	ChecksumURL string
}

// Pool is how workers of one pool are treated.
type Pool struct {
	MaxUnavailable Amount
	Drain          Drain
}

// Amount is a number of nodes or a share of a pool; Percent counts when it is
// not zero. The result is at least 1 and at most the pool's size.
type Amount struct {
	Count   int
	Percent int // of the pool's nodes, rounded down
}

// of gives the number of nodes out of size.
func (a Amount) of(size int) int {
	n := a.Count
	if a.Percent != 0 {
		n = size * a.Percent / 100
	}
	return max(1, min(n, size))
}

// Drain is how nodes are emptied. A negative GracePeriod is the pod's own.
type Drain struct {
	Timeout            time.Duration
	GracePeriod        time.Duration
	DeleteEmptyDirData bool
	Force              bool
}

// DefaultPool is one node at a time, ten minutes, the pods' own grace period.
func DefaultPool() Pool {
	return Pool{
		MaxUnavailable: Amount{Count: 1},
		Drain:          Drain{Timeout: 10 * time.Minute, GracePeriod: -time.Second, DeleteEmptyDirData: true},
	}
}

// LoadBalancer are argv lists; {node} and {address} are replaced. Empty: none.
type LoadBalancer struct {
	Drain   []string
	Restore []string
}

func (p Policy) pool(name string) Pool {
	if pool, ok := p.Pools[name]; ok {
		return pool
	}
	return DefaultPool()
}
