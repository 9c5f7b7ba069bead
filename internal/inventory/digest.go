package inventory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// intent is the part of an inventory that decides what a plan holds. How the
// hosts and the API are reached is not in it: a second operator with other
// keys, paths and passwords may carry on with the first one's plan.
type intent struct {
	APIVersion   string
	Nodes        []intendedNode
	Pools        []Pool
	Workers      WorkerHops
	Packages     Packages
	Kubeadm      Kubeadm
	LoadBalancer LoadBalancer
	Etcd         Etcd
	Keep         int
	Gates        Gates
	// Left out while they are not given, as they were by older kups.
	Limit      Bytes    `json:",omitempty"`
	Recipients []string `json:",omitempty"`
	Bucket     string   `json:",omitempty"`
}

type intendedNode struct {
	Name, Address, Pool string
	Role                cluster.Role
}

// Digest is "sha256:" and the hash of the inventory's intent: the same for
// files that differ only in formatting, in the order of nodes and pools, in
// defaults written out, or in how hosts and API are reached. No secret is
// part of it.
func (inv *Inventory) Digest() string {
	v := intent{
		APIVersion: inv.APIVersion, Pools: slices.Clone(inv.Pools), Workers: inv.Workers, Packages: inv.Packages, Kubeadm: inv.Kubeadm,
		LoadBalancer: inv.LoadBalancer, Etcd: inv.Etcd, Keep: inv.Snapshots.Keep, Gates: inv.Gates,
	}
	v.Limit, v.Recipients = inv.Snapshots.Limit, slices.Sorted(slices.Values(inv.Snapshots.Recipients))
	if b := inv.Snapshots.Second.S3; b.Bucket != "" {
		v.Bucket = b.Endpoint + " " + b.Bucket + " " + b.Prefix
	}
	for _, n := range inv.Nodes {
		v.Nodes = append(v.Nodes, intendedNode{Name: n.Name, Address: canonical(n.Address), Pool: n.Pool, Role: n.Role})
	}
	slices.SortFunc(v.Nodes, func(a, b intendedNode) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(v.Pools, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	emptyToNil(&v.Kubeadm.IgnorePreflightErrors)
	emptyToNil(&v.LoadBalancer.Drain)
	emptyToNil(&v.LoadBalancer.Restore)
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("inventory: plain data does not marshal: %v", err))
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func emptyToNil(s *[]string) {
	if len(*s) == 0 {
		*s = nil
	}
}
