package gate

import (
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// nodeReady asks for Ready and, unless want is zero, for the kubelet's version.
func (d *Deps) nodeReady(name string, want cluster.Version) check {
	return d.ofNode(name, func(n cluster.Node) plan.Verdict {
		switch {
		case !n.Ready:
			return notYet("node %s is not Ready (kubelet %s)", n.Name, n.Kubelet)
		case !want.IsZero() && n.Kubelet != want:
			return notYet("node %s is Ready with kubelet %s", n.Name, n.Kubelet)
		}
		return holds()
	})
}
