package planner

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// state is the cluster as the plan so far leaves it: the facts before the first
// hop, the hop's result after each.
type state struct {
	at            cluster.Version // where the next hop starts
	kubeadmConfig cluster.Version // what kubeadm recorded
	nodes         []*nodeState
	external      []*nodeState // hosts with a member of an external etcd; see externalMembers
	// fresh is true once a whole hop was planned: nothing of the next one can
	// have been done before the plan.
	fresh bool
	// defragmented is true once the plan has it.
	defragmented bool
}

type nodeState struct {
	*cluster.Node
	control cluster.Version // oldest of API server, controller manager, scheduler
	kubelet cluster.Version // oldest of registered and installed
	kubeadm cluster.Version
	managed cluster.Minor // of the kubeadm that configured the kubelet last
	etcd    cluster.Version
	// etcdImage is what its member runs from; empty: no image, or not known.
	etcdImage string
	member    bool // runs an etcd member
	leader    bool
}

func newState(f *cluster.Facts) *state {
	s := &state{at: current(f), kubeadmConfig: f.Kubeadm.ClusterVersion}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.InAPI && (n.Role == cluster.ControlPlane || n.Role == cluster.Worker) {
			s.nodes = append(s.nodes, newNodeState(f, n))
		}
	}
	s.external = externalMembers(f)
	return s
}

func newNodeState(f *cluster.Facts, n *cluster.Node) *nodeState {
	s := &nodeState{Node: n, kubelet: n.Kubelet, managed: n.Kubelet.Line()}
	if n.Host != nil {
		s.kubeadm = n.Host.Kubeadm
		if n.Host.Kubelet.Less(s.kubelet) {
			s.kubelet = n.Host.Kubelet
		}
	}
	if n.Role != cluster.ControlPlane {
		return s
	}
	for i, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		var v cluster.Version
		if pod := n.Static(component); pod != nil {
			v = pod.Version
		}
		if i == 0 || v.Less(s.control) {
			s.control = v
		}
	}
	if pod := n.Static("etcd"); pod != nil {
		s.etcd, s.etcdImage, s.member = pod.Version, pod.Image, true
	}
	for _, m := range f.Etcd.Members {
		if m.Node == n.Name {
			s.etcd, s.member, s.leader = m.Version, true, m.Leader
		}
	}
	s.member = s.member && f.Etcd.Topology != "external"
	return s
}

func (s *state) controlPlanes() []*nodeState { return s.withRole(cluster.ControlPlane) }

func (s *state) withRole(r cluster.Role) []*nodeState {
	var out []*nodeState
	for _, n := range s.nodes {
		if n.Role == r {
			out = append(out, n)
		}
	}
	return out
}

// members are the nodes with an etcd member, the leader last: leadership then
// moves once and not with every member.
func (s *state) members() []*nodeState {
	var out []*nodeState
	for _, n := range s.nodes {
		if n.member {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, leaderLast)
	return out
}

func leaderLast(a, b *nodeState) int {
	switch {
	case a.leader == b.leader:
		return 0
	case a.leader:
		return 1
	}
	return -1
}

// pools groups the workers by pool, both in the order of names.
func (s *state) pools() ([]string, map[string][]*nodeState) {
	byName := map[string][]*nodeState{}
	var names []string
	for _, n := range s.withRole(cluster.Worker) {
		if byName[n.Pool] == nil {
			names = append(names, n.Pool)
		}
		byName[n.Pool] = append(byName[n.Pool], n)
	}
	slices.Sort(names)
	return names, byName
}

// oldestEtcd is that of the members.
func (s *state) oldestEtcd() cluster.Version {
	return oldestOf(s.members())
}

// oldestOf is the oldest etcd among some members; zero where there are none, or one's is
// not known.
func oldestOf(members []*nodeState) cluster.Version {
	var oldest cluster.Version
	for i, n := range members {
		if i == 0 || n.etcd.Less(oldest) {
			oldest = n.etcd
		}
	}
	return oldest
}

// older is the older one of two versions, as far as they are known.
func older(a, b cluster.Version) cluster.Version {
	if a.IsZero() || (!b.IsZero() && b.Less(a)) {
		return b
	}
	return a
}

// arrive moves everything to where a hop ends, but for the kubelets of those that
// wait.
func (s *state) arrive(to cluster.Version, waiting map[string]bool) {
	for _, n := range s.nodes {
		if waiting[n.Name] {
			if n.managed == to.Line() {
				n.kubeadm = to
			}
			continue
		}
		if n.kubelet.Less(to) {
			n.kubelet = to
		}
		n.managed = n.kubelet.Line()
		if n.Role == cluster.ControlPlane {
			n.control = to
		}
		n.kubeadm = to
	}
	s.at, s.kubeadmConfig, s.fresh = to, to, true
}
