package member

import (
	"context"
	"fmt"
	"net"
)

const (
	clientPort = "2379"
	peerPort   = "2380"

	firstHost   = 11  // the last part of the first host's address
	claimHost   = 2   // where a claim on a cluster's addresses is held
	maxClusters = 250 // the third part of an address
)

// Address gives host i of a cluster, counted from 0, an address of its own. The
// whole of 127.0.0.0/8 is this machine, without any configuration, so that each
// host can have etcd and an API server at their own ports.
func Address(cluster, i int) string {
	return fmt.Sprintf("127.77.%d.%d", cluster, firstHost+i)
}

// Claim holds the addresses of one cluster against other processes. It ends with
// the process, or with Close.
type Claim struct {
	Cluster int
	held    net.Listener
}

// ClaimCluster takes the addresses of a cluster by number; 0 takes the first
// that nobody holds.
func ClaimCluster(ctx context.Context, cluster int) (*Claim, error) {
	if cluster < 0 || cluster > maxClusters {
		return nil, fmt.Errorf("member: cluster %d: want 1 to %d", cluster, maxClusters)
	}
	if cluster > 0 {
		held, err := hold(ctx, cluster)
		if err != nil {
			return nil, fmt.Errorf("member: the addresses of cluster %d (127.77.%d.0/24) are in use by another process: %w", cluster, cluster, err)
		}
		return &Claim{cluster, held}, nil
	}
	var last error
	for n := 1; n <= maxClusters; n++ {
		held, err := hold(ctx, n)
		if err == nil {
			return &Claim{n, held}, nil
		}
		last = err
	}
	return nil, fmt.Errorf("member: no cluster's addresses are free: %w", last)
}

// Address is [Address] of the claimed cluster.
func (c *Claim) Address(i int) string { return Address(c.Cluster, i) }

// Close gives the addresses back.
func (c *Claim) Close() error { return c.held.Close() }

func hold(ctx context.Context, cluster int) (net.Listener, error) {
	address := net.JoinHostPort(fmt.Sprintf("127.77.%d.%d", cluster, claimHost), peerPort)
	return new(net.ListenConfig).Listen(ctx, "tcp4", address)
}

// checkFree gives a clear error where etcd would give its reader a riddle.
func checkFree(ctx context.Context, node, ip string) error {
	for _, port := range []string{clientPort, peerPort} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(ip, port))
		if err != nil {
			return fmt.Errorf("member: etcd of %s cannot have its port; another cluster has this address: %w", node, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("member: %s: %w", node, err)
		}
	}
	return nil
}

// peerURL is what a member of that address advertises to its peers.
func peerURL(ip string) string { return "https://" + net.JoinHostPort(ip, peerPort) }
