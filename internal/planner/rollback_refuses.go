package planner

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// refuses tells in a sentence why a lane cannot be taken back; empty: it can.
func (r *rollback) refuses(l openLane) string {
	if r.external(l.node) {
		return r.refusesExternal(l)
	}
	n := r.node(l.node)
	if n == nil {
		return fmt.Sprintf("node %s is not in the cluster any more", l.node)
	}
	if why := r.lacks(l.node, l.needsBackup(), l.packages); why != "" {
		return why
	}
	if r.evidence.Facts == nil && (l.swapped || l.cordoned) {
		return fmt.Sprintf("the API does not answer, and node %s goes back cordoned and drained", l.node)
	}
	if l.control {
		if on := r.newerKubelet(l.node); on != "" {
			return fmt.Sprintf("the kubelet of node %s is at %s already, and must not be newer than the API server of node %s", on, r.from, l.node)
		}
	}
	if l.crossed {
		return r.refusesMember(l.node)
	}
	return ""
}

// needsBackup tells whether files are put back where the lane is taken back.
func (l openLane) needsBackup() bool {
	return len(l.packages) > 0 || l.control || l.etcd || l.command
}

// lacks tells in a sentence what a node would go back to and cannot: its backup, where
// files are put back, or packages of which nobody knows the version.
func (r *rollback) lacks(node string, files bool, packages []string) string {
	b := r.before[node]
	if files && b.backup.Path == "" {
		return fmt.Sprintf("there is no backup of node %s from before hop %s", node, r.line)
	}
	for _, name := range packages {
		if _, known := b.packages[name]; !known {
			return fmt.Sprintf("which %s node %s had before hop %s is not known", name, node, r.line)
		}
	}
	return ""
}

// replacedCA tells whether the cluster's CA is another one than when the run began.
func (r *rollback) replacedCA() bool {
	was, is := r.undone.Plan.Facts.Identity.CA, r.facts.Identity.CA
	return was != "" && is != "" && was != is
}

// newerKubelet names a node whose kubelet moved in this hop and does not go back
// before the API server of the node.
func (r *rollback) newerKubelet(node string) string {
	going := r.taken()
	for _, l := range r.openLanes() {
		back := slices.ContainsFunc(going, func(t openLane) bool { return t.node == l.node && t.stage == l.stage && t.swapped })
		if l.swapped && !back {
			return l.node
		}
	}
	for _, n := range r.state.nodes {
		// One that this run did not bring there, such as a node that joined since.
		moved := slices.ContainsFunc(r.openLanes(), func(l openLane) bool { return l.node == n.Name && l.swapped })
		if !moved && r.to.Line().Less(n.Kubelet.Line()) {
			return n.Name
		}
	}
	return ""
}

// refusesMember tells why a member cannot run its etcd of before: once all members ran
// a newer minor, the version they agreed on rose, and the older etcd refuses the data.
func (r *rollback) refusesMember(node string) string {
	old, brought := r.before[node].etcd.Line(), r.hop.Etcd.Line()
	if old == brought || r.evidence.EtcdCluster.Line() == old {
		return ""
	}
	if r.evidence.EtcdCluster.IsZero() && r.otherOldMember(node) {
		return ""
	}
	return fmt.Sprintf("etcd on node %s cannot go back from %s to %s: no member of before is left, and the older etcd no longer reads the data", node, brought, old)
}

// agreedBelow asks once more, right before a member goes back to another minor, what
// refusesMember and refusesExternal asked when the way was chosen.
func agreedBelow(node string, old, brought cluster.Version) []plan.GateID {
	if old.Line() == brought.Line() {
		return nil
	}
	return []plan.GateID{gate("etcd-agreed", node, old.String())}
}

// otherOldMember tells whether some other member had no turn in the hop.
func (r *rollback) otherOldMember(node string) bool {
	turned := map[string]bool{}
	for _, l := range r.openLanes() {
		turned[l.node] = turned[l.node] || l.crossed
	}
	return slices.ContainsFunc(r.state.members(), func(n *nodeState) bool {
		return n.Name != node && !turned[n.Name] && r.before[n.Name].etcd.Line() == r.before[node].etcd.Line()
	})
}
