package bench

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	clusterName   = "bench"
	controlPlanes = 3

	apiPort = "6443"
	sshPort = 2222 // 22 needs root
	sshUser = "ops"

	// podSubnet holds a /24 for each of 4096 nodes.
	podSubnet = "10.240.0.0/12"
	maxNodes  = 4096
	// maxPodsPerNode leaves room for the pods of drained nodes below the kubelet's 110.
	maxPodsPerNode = 90
	// daemonsPerNode are the DaemonSets that run on every node, see daemons.
	daemonsPerNode = 5

	// Workers' addresses are 127.100.N.1 and on, N the network that was claimed.
	workerOctet      = 100
	workersPerSubnet = 250
)

// zones are the failure domains that nodes are spread over.
var zones = []string{"zone-a", "zone-b", "zone-c"}

// layout is the cluster on paper.
type layout struct {
	claim *member.Claim
	known *catalog.Catalog
	// start is what the cluster runs, etcd the version of its members.
	start, etcd cluster.Version
	places      []place // control planes first
	pods        int
}

// place is a host's name, role and addresses.
type place struct {
	name string
	role cluster.Role
	ip   string
	zone string
	pods netip.Prefix // what its pods get their addresses from
}

func (l *layout) controlPlanes() []place { return l.places[:controlPlanes] }

func (l *layout) workers() []place { return l.places[controlPlanes:] }

// balancer is the address that the API is reached at. The one API server serves it
// by itself.
func (l *layout) balancer() string { return fmt.Sprintf("127.77.%d.3", l.claim.Cluster) }

func (l *layout) endpoint() string { return net.JoinHostPort(l.balancer(), apiPort) }

// config is kubeadm's configuration of the cluster.
func (l *layout) config() *manifest.Config {
	return manifest.NewConfig(clusterName, l.endpoint(), podSubnet, l.start)
}

// arrange gives every host its place.
func (l *layout) arrange(nodes, pods int) error {
	workers := nodes - controlPlanes
	switch {
	case workers < len(zones) || nodes > maxNodes:
		return fmt.Errorf("%d nodes: want %d to %d, %d of them control planes", nodes, controlPlanes+len(zones), maxNodes, controlPlanes)
	case pods < nodes*(daemonsPerNode+1) || pods > workers*maxPodsPerNode:
		return fmt.Errorf("%d pods: %d nodes want %d to %d", pods, nodes, nodes*(daemonsPerNode+1), workers*maxPodsPerNode)
	}
	l.pods = pods
	subnet := netip.MustParsePrefix(podSubnet).Addr().As4()
	for i := range nodes {
		p := place{zone: zones[i%len(zones)]}
		p.pods = netip.PrefixFrom(netip.AddrFrom4([4]byte{subnet[0], subnet[1] + byte(i>>8), byte(i), 0}), 24)
		if i < controlPlanes {
			p.name, p.role, p.ip = fmt.Sprintf("cp-%d", i+1), cluster.ControlPlane, l.claim.Address(i)
		} else {
			w := i - controlPlanes
			p.name, p.role = fmt.Sprintf("w-%04d", w+1), cluster.Worker
			p.ip = fmt.Sprintf("127.%d.%d.%d", workerOctet+w/workersPerSubnet, l.claim.Cluster, w%workersPerSubnet+1)
		}
		l.places = append(l.places, p)
	}
	return nil
}
