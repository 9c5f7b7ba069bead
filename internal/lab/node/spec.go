package node

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// Roles of nodes.
const (
	RoleControlPlane = "control-plane"
	RoleWorker       = "worker"
	RoleEtcd         = "etcd" // a host of an external etcd, which is no node
)

// Spec is the lab that is wanted.
type Spec struct {
	// Name tells labs apart: lower case letters, digits and dashes. Default "dev".
	Name string
	// ControlPlanes is 1 to 7, Workers 0 to 50; both zero means 3 and 2.
	ControlPlanes, Workers int
	// ExternalEtcd is on how many hosts of their own etcd runs, as a unit of systemd: 1,
	// 3 or 5. Zero: on the control planes.
	ExternalEtcd int
	// Kubernetes is what the cluster starts with: a minor ("1.33") or a release
	// ("v1.33.13"). Default "1.33".
	Kubernetes string
	// Etcd is the etcd the cluster starts with ("3.5.33"); empty means the
	// version from which the minor's next hop is safe.
	Etcd string
	// Minors are served as packages and images; releases are accepted in place
	// of minors. The starting minor is always served. Default 1.33, 1.34, 1.35.
	Minors []string
	// Cleanup takes a lab down again that failed to come up.
	Cleanup bool
}

var (
	nameRE = regexp.MustCompile(`^[a-z][a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$`)
	etcdRE = regexp.MustCompile(`^3\.\d+\.\d+$`)
)

const (
	maxControlPlanes = 7
	maxWorkers       = 50
	oldestMinor      = 31
)

// withDefaults fills what was left out and says what is wrong with the rest.
func (s Spec) withDefaults() (Spec, error) {
	if s.Name == "" {
		s.Name = "dev"
	}
	if s.ControlPlanes == 0 && s.Workers == 0 {
		s.ControlPlanes, s.Workers = 3, 2
	}
	if s.Kubernetes == "" {
		s.Kubernetes = "1.33"
	}
	if len(s.Minors) == 0 {
		s.Minors = []string{"1.33", "1.34", "1.35"}
	}
	minor, err := s.validate()
	if err != nil {
		return s, err
	}
	if s.Etcd == "" {
		s.Etcd = artifact.SafeEtcd(minor)
	}
	s.Minors, err = s.served(minor)
	return s, err
}

// validate returns the minor the cluster starts with.
func (s Spec) validate() (minor string, err error) {
	if !nameRE.MatchString(s.Name) {
		return "", fmt.Errorf("lab name %q: use 2 to 32 lower case letters, digits and dashes, a letter first", s.Name)
	}
	if s.ControlPlanes < 1 || s.ControlPlanes > maxControlPlanes {
		return "", fmt.Errorf("%d control planes: a lab has 1 to %d", s.ControlPlanes, maxControlPlanes)
	}
	if s.Workers < 0 || s.Workers > maxWorkers {
		return "", fmt.Errorf("%d workers: a lab has 0 to %d", s.Workers, maxWorkers)
	}
	if n := s.ExternalEtcd; n != 0 && n != 1 && n != 3 && n != 5 {
		return "", fmt.Errorf("%d hosts of an external etcd: use 1, 3 or 5, or none", n)
	}
	if s.Etcd != "" && !etcdRE.MatchString(s.Etcd) {
		return "", fmt.Errorf("etcd %q is not a version such as 3.5.33", s.Etcd)
	}
	minor, err = artifact.Minor(s.Kubernetes)
	if err != nil {
		return "", err
	}
	var number int
	if _, err := fmt.Sscanf(minor, "1.%d", &number); err != nil || number < oldestMinor {
		return "", fmt.Errorf("kubernetes %s: the lab starts clusters from 1.%d on, whose kubeadm knows v1beta4", s.Kubernetes, oldestMinor)
	}
	return minor, nil
}

// etcdImages are the etcd versions served besides kubeadm's own: the one the cluster
// starts with and, where the way to the next minor is not safe from it, the one it is
// raised to first.
func (s Spec) etcdImages() []string {
	if s.Etcd == "" {
		return nil
	}
	out := []string{s.Etcd}
	minor, err := artifact.Minor(s.Kubernetes)
	if safe := artifact.SafeEtcd(minor); err == nil && safe != "" && safe != s.Etcd {
		out = append(out, safe)
	}
	return out
}

// served lists what is served, the starting release first and no minor twice.
func (s Spec) served(starting string) ([]string, error) {
	seen := map[string]bool{starting: true}
	versions := []string{s.Kubernetes}
	for _, m := range s.Minors {
		minor, err := artifact.Minor(m)
		if err != nil {
			return nil, err
		}
		if !seen[minor] {
			seen[minor] = true
			versions = append(versions, m)
		}
	}
	return versions, nil
}

// Node is one machine of the lab.
type Node struct {
	Name        string `json:"name"`
	Role        string `json:"role"` // RoleControlPlane, RoleWorker or RoleEtcd
	IP          string `json:"ip"`
	ContainerID string `json:"containerID,omitempty"`
	// PodCIDR is what the bridge plugin gives out on the node.
	PodCIDR string `json:"podCIDR"`
	// BehindBastion: SSH is accepted from the bastion only.
	BehindBastion bool `json:"behindBastion,omitempty"`
	// SudoPassword: sudo asks for the lab's password.
	SudoPassword bool `json:"sudoPassword,omitempty"`
}

// topology is the lab's plan of addresses.
type topology struct {
	Subnet       string `json:"subnet"`
	Gateway      string `json:"gateway"`
	Depot        string `json:"depot"`
	LoadBalancer string `json:"loadBalancer"`
	Bastion      string `json:"bastion"`
	Nodes        []Node `json:"nodes"`
	// Etcd are the hosts of an external etcd.
	Etcd []Node `json:"etcd,omitempty"`
}

const (
	podCIDR     = "10.244.0.0/16"
	serviceCIDR = "10.96.0.0/16"
	apiPort     = "6443"

	hostDepot         = 2
	hostLoadBalancer  = 3
	hostBastion       = 4
	hostControlPlanes = 11
	hostEtcd          = 21
	hostWorkers       = 31
)

// layOut gives every machine its address in subnet, a /24, and says which node
// is odd: the last worker is behind the bastion, and the last of several control
// planes (or the worker, where there is one control plane) asks for a sudo
// password.
func layOut(s Spec, subnet netip.Prefix) topology {
	at := func(host int) string {
		b := subnet.Masked().Addr().As4()
		b[3] = byte(host)
		return netip.AddrFrom4(b).String()
	}
	t := topology{
		Subnet: subnet.Masked().String(), Gateway: at(1), Depot: at(hostDepot),
		LoadBalancer: at(hostLoadBalancer), Bastion: at(hostBastion),
	}
	add := func(name, role string, host int) {
		t.Nodes = append(t.Nodes, Node{
			Name: name, Role: role, IP: at(host), PodCIDR: fmt.Sprintf("10.244.%d.0/24", host),
		})
	}
	for i := range s.ControlPlanes {
		add(fmt.Sprintf("cp-%d", i+1), RoleControlPlane, hostControlPlanes+i)
	}
	for i := range s.Workers {
		add(fmt.Sprintf("w-%d", i+1), RoleWorker, hostWorkers+i)
	}
	for i := range s.ExternalEtcd {
		t.Etcd = append(t.Etcd, Node{Name: fmt.Sprintf("etcd-%d", i+1), Role: RoleEtcd, IP: at(hostEtcd + i)})
	}
	last := len(t.Nodes) - 1
	if s.Workers > 0 {
		t.Nodes[last].BehindBastion = true
	}
	if s.ControlPlanes > 1 {
		t.Nodes[s.ControlPlanes-1].SudoPassword = true
	} else if s.Workers > 0 {
		t.Nodes[last].SudoPassword = true
	}
	return t
}

// machines are the nodes and the hosts of an external etcd.
func (t topology) machines() []Node { return slices.Concat(t.Nodes, t.Etcd) }

func (t topology) controlPlanes() []Node {
	return slices.DeleteFunc(slices.Clone(t.Nodes), func(n Node) bool { return n.Role != RoleControlPlane })
}

func (t topology) workers() []Node {
	return slices.DeleteFunc(slices.Clone(t.Nodes), func(n Node) bool { return n.Role != RoleWorker })
}

// endpoint is where clients reach the API: the load balancer.
func (t topology) endpoint() string { return t.LoadBalancer + ":" + apiPort }
