package catalog

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// placementData is what the minors change about where pods may run.
type placementData struct {
	nodeChanges []NodeChange
	unreadyGo   unreadyRow
}

// NodeChange is what kubeadm does to nodes in the hop to a minor. Taints are
// keys; their effect is NoSchedule.
type NodeChange struct {
	In cluster.Minor `json:"in"`
	// HasLabel and HasTaint are on the nodes that are changed; empty: either way.
	HasLabel string `json:"hasLabel"`
	HasTaint string `json:"hasTaint"`

	AddLabel    string `json:"addLabel"`
	RemoveLabel string `json:"removeLabel"`
	AddTaint    string `json:"addTaint"`
	RemoveTaint string `json:"removeTaint"`
	Source      string `json:"source"`
}

type unreadyRow struct {
	In     cluster.Minor `json:"in"`
	Source string        `json:"source"`
}

func (c *Catalog) loadPlacement() error {
	var file struct {
		NodeChanges []NodeChange `json:"nodeChanges"`
		UnreadyGo   unreadyRow   `json:"unreadyGo"`
	}
	if err := read("placement", &file); err != nil {
		return err
	}
	c.nodeChanges, c.unreadyGo = file.NodeChanges, file.UnreadyGo
	return nil
}

// NodeChanges are what kubeadm does to nodes in the hop to a minor, in order.
func (c *Catalog) NodeChanges(to cluster.Minor) []NodeChange {
	return slices.DeleteFunc(slices.Clone(c.nodeChanges), func(n NodeChange) bool { return n.In != to })
}

// UnreadyGo tells whether the eviction API of the minor lets pods go that are not
// ready while others meet their budget.
func (c *Catalog) UnreadyGo(m cluster.Minor) bool { return !m.Less(c.unreadyGo.In) }
