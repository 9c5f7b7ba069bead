package gate

import (
	"context"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Nodes is what the API says of a node, its static pods included. InAPI is false
// for a node that does not exist.
type Nodes interface {
	Node(ctx context.Context, name string) (cluster.Node, error)
}

// components are those that move with the version of Kubernetes.
var components = [...]string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

func (d *Deps) staticPods(node string, want cluster.Version) check {
	return d.ofNode(node, func(n cluster.Node) plan.Verdict {
		verdicts := make([]plan.Verdict, len(components))
		for i, component := range components {
			verdicts[i] = staticPod(n, component, func(v cluster.Version) bool { return v == want }, want)
		}
		return worst(verdicts)
	})
}

// staticPod judges one component. A mirror pod is absent for a moment whenever it
// is replaced.
func staticPod(n cluster.Node, component string, is func(cluster.Version) bool, want cluster.Version) plan.Verdict {
	pod := n.Static(component)
	switch {
	case pod == nil:
		return notYet("%s of %s has no pod", component, n.Name)
	case pod.Version.IsZero():
		return cannotTell("%s of %s runs image %s, which tells no version", component, n.Name, pod.Image)
	case !is(pod.Version):
		return notYet("%s of %s runs %s, not %s", component, n.Name, pod.Version, want)
	case !pod.Ready:
		return notYet("%s of %s runs %s and is not ready", component, n.Name, pod.Version)
	}
	return holds()
}

// ofNode looks at the node and judges it.
func (d *Deps) ofNode(name string, judge func(cluster.Node) plan.Verdict) check {
	return func(ctx context.Context) plan.Verdict {
		n, err := d.Nodes.Node(ctx, name)
		switch {
		case err != nil:
			return cannotTell("node %s: %v", name, err)
		case !n.InAPI:
			return never("node %s is not in the cluster any more", name)
		}
		return judge(n)
	}
}
