package drainsim

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Taints of the node itself and their effects.
const (
	taintUnschedulable = "node.kubernetes.io/unschedulable"
	noSchedule         = "NoSchedule"
	noExecute          = "NoExecute"
	existsOperator     = "Exists"
	fieldName          = "metadata.name"
)

// operators are those of the API by the names the label library has for them.
func operator(name string) selection.Operator {
	switch name {
	case "In":
		return selection.In
	case "NotIn":
		return selection.NotIn
	case existsOperator:
		return selection.Exists
	case "DoesNotExist":
		return selection.DoesNotExist
	case "Gt":
		return selection.GreaterThan
	case "Lt":
		return selection.LessThan
	}
	return selection.Operator(name)
}

// compile turns a selector into the label library's; one that the library
// refuses chooses nothing, as in the API server.
func compile(s cluster.Selector) labels.Selector {
	out := labels.NewSelector()
	for _, r := range s {
		requirement, err := labels.NewRequirement(r.Key, operator(r.Operator), r.Values)
		if err != nil {
			return labels.Nothing()
		}
		out = out.Add(*requirement)
	}
	return out
}

// Chooses tells whether a budget is about pods of the namespace with the labels.
func Chooses(b *cluster.PlacedBudget, namespace string, podLabels map[string]string) bool {
	return !b.Nothing && b.Namespace == namespace && compile(b.Selector).Matches(labels.Set(podLabels))
}

// Allows tells whether the pod's own selector and required node affinity allow
// the node. The kubelet asks the same when it starts.
func Allows(s *cluster.PodSpec, n *cluster.PlacedNode) bool {
	for key, value := range s.NodeSelector {
		if have, has := n.Labels[key]; !has || have != value {
			return false
		}
	}
	return s.NodeAffinity == nil || selects(*s.NodeAffinity, n)
}

// selects tells whether one of the terms holds for the node.
// Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity
func selects(s cluster.NodeSelector, n *cluster.PlacedNode) bool {
	return slices.ContainsFunc(s, func(t cluster.NodeTerm) bool {
		if len(t.Labels) == 0 && len(t.Fields) == 0 {
			return false
		}
		return compile(t.Labels).Matches(labels.Set(n.Labels)) && compile(t.Fields).Matches(labels.Set{fieldName: n.Name})
	})
}

// Tolerates tells whether one of the tolerations lets a pod onto a node with the
// taint.
func Tolerates(tolerations []cluster.Toleration, taint cluster.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t cluster.Toleration) bool {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			return false
		}
		switch t.Operator {
		case existsOperator:
			return true
		case "", "Equal":
			return t.Key != "" && t.Value == taint.Value
		}
		return false
	})
}

// Repelled gives the first taint of the node that keeps new pods of the spec away.
func Repelled(s *cluster.PodSpec, n *cluster.PlacedNode) (cluster.Taint, bool) {
	for _, t := range n.Taints {
		// That a node is cordoned is known from the node itself, which is what
		// changes during a drain.
		if t.Key == taintUnschedulable || t.Effect != noSchedule && t.Effect != noExecute {
			continue
		}
		if !Tolerates(s.Tolerations, t) {
			return t, true
		}
	}
	return cluster.Taint{}, false
}

// ToleratesCordon tells whether pods of the spec are scheduled to cordoned nodes.
func ToleratesCordon(s *cluster.PodSpec) bool {
	return Tolerates(s.Tolerations, cluster.Taint{Key: taintUnschedulable, Effect: noSchedule})
}
