package controllers

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// wantsNode tells whether the pod's node selector and required node affinity let
// it onto a node.
func wantsNode(p *corev1.Pod, n *corev1.Node) bool {
	for key, value := range p.Spec.NodeSelector {
		if n.Labels[key] != value {
			return false
		}
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return true
	}
	required := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return required == nil || slices.ContainsFunc(required.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool { return termMatches(t, n) })
}

func termMatches(t corev1.NodeSelectorTerm, n *corev1.Node) bool {
	for _, r := range t.MatchFields {
		if !requirementMatches(r, map[string]string{metav1.ObjectNameField: n.Name}) {
			return false
		}
	}
	for _, r := range t.MatchExpressions {
		if !requirementMatches(r, n.Labels) {
			return false
		}
	}
	return len(t.MatchFields)+len(t.MatchExpressions) > 0
}

func requirementMatches(r corev1.NodeSelectorRequirement, set map[string]string) bool {
	value, there := set[r.Key]
	number := func(text string) int {
		n, _ := strconv.Atoi(text) //nolint:errcheck // what is no number is 0
		return n
	}
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return there && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !there || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return there
	case corev1.NodeSelectorOpDoesNotExist:
		return !there
	case corev1.NodeSelectorOpGt:
		return there && len(r.Values) == 1 && number(value) > number(r.Values[0])
	case corev1.NodeSelectorOpLt:
		return there && len(r.Values) == 1 && number(value) < number(r.Values[0])
	}
	return false
}

// toleratesAll tells whether the pod tolerates the taints that keep pods off a
// node.
func toleratesAll(p *corev1.Pod, n *corev1.Node) bool {
	for _, taint := range n.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(p, taint) {
			return false
		}
	}
	return true
}

func tolerates(p *corev1.Pod, taint corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			return false
		}
		return t.Operator == corev1.TolerationOpExists || t.Key != "" && t.Value == taint.Value
	})
}

// open tells whether the node takes the pod now: it is ready and not cordoned,
// unless the pod bears that.
func open(p *corev1.Pod, n *corev1.Node) bool {
	if n.Spec.Unschedulable && !tolerates(p, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return false
	}
	return nodeReady(n) || isDaemon(p)
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func isDaemon(p *corev1.Pod) bool {
	owner := metav1.GetControllerOf(p)
	return owner != nil && owner.Kind == kindDaemonSet.Kind
}

// placed is a pod with the node it is on.
type placed struct {
	pod  *corev1.Pod
	node *corev1.Node
}

// repelled tells whether a required anti-affinity, the pod's or that of one that
// is there, keeps the pod off the node.
func repelled(p *corev1.Pod, n *corev1.Node, there []placed) bool {
	for _, other := range there {
		for _, term := range antiAffinity(p) {
			if sameTopology(term.TopologyKey, n, other.node) && covers(term, p.Namespace, other.pod) {
				return true
			}
		}
		for _, term := range antiAffinity(other.pod) {
			if sameTopology(term.TopologyKey, n, other.node) && covers(term, other.pod.Namespace, p) {
				return true
			}
		}
	}
	return false
}

func antiAffinity(p *corev1.Pod) []corev1.PodAffinityTerm {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	return p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func sameTopology(key string, a, b *corev1.Node) bool {
	if key == corev1.LabelHostname {
		return a.Name == b.Name
	}
	value, there := a.Labels[key]
	return there && b.Labels[key] == value
}

// covers tells whether a term is about a pod; without namespaces it means that of
// the pod it belongs to.
func covers(t corev1.PodAffinityTerm, namespace string, p *corev1.Pod) bool {
	if len(t.Namespaces) == 0 && namespace != p.Namespace || len(t.Namespaces) > 0 && !slices.Contains(t.Namespaces, p.Namespace) {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
	return err == nil && selector.Matches(labels.Set(p.Labels))
}
