package kube

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	kindDaemonSet    = "DaemonSet"
	defaultScheduler = corev1.DefaultSchedulerName
)

// pods reads all pods in one piece, or, where that fails, page by page: a server may
// have no protobuf, and a slow line more to carry than an answer may take.
func (p *placing) pods(ctx context.Context) error {
	seen := map[string]bool{} // by namespace/name: a list that goes on at another revision may repeat
	again := func() {
		p.out.Pods, p.out.Ending = nil, 0
		clear(seen)
	}
	err := podsAtOnce(ctx, p.client.core, func(pod *corev1.Pod) error { return p.pod(ctx, pod) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	again()
	return eachPage(ctx, p.client.lean.Pods(metav1.NamespaceAll).List, func(l *corev1.PodList) error {
		for i := range l.Items {
			if name := podName(&l.Items[i]); !seen[name] {
				seen[name] = true
				if err := p.pod(ctx, &l.Items[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}, again)
}

func (p *placing) pod(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		p.out.Ending++
		return nil
	}
	owner := metav1.GetControllerOf(pod)
	controller := p.owner(pod, owner)
	sibling, has := p.siblings[controller]
	if !has {
		sibling = alone
	}
	spec, err := p.spec(ctx, pod.Namespace, pod.Labels, &pod.Spec, owner == nil || owner.Kind != kindDaemonSet, sibling.spec)
	if err != nil {
		return err
	}
	set := p.labels(pod.Labels, sibling.labels)
	if controller >= 0 {
		p.siblings[controller] = indexes{spec, set}
	}
	out := cluster.PlacedPod{
		Namespace: pod.Namespace, Name: pod.Name, Node: -1, Labels: set, Spec: spec, Controller: controller,
		Volume: p.volume(pod), Ready: podReady(pod),
	}
	if i, known := p.nodeIndex[pod.Spec.NodeName]; known {
		out.Node = i
	}
	switch pod.Status.Phase {
	case corev1.PodPending:
		out.Phase = cluster.PodPending
	case corev1.PodSucceeded, corev1.PodFailed:
		out.Phase = cluster.PodFinished
	default: // what is unknown was running
	}
	_, out.Mirror = pod.Annotations[corev1.MirrorPodAnnotationKey]
	p.out.Pods = append(p.out.Pods, out)
	return nil
}

// indexes are where a pod's spec and labels are.
type indexes struct{ spec, labels int32 }

// alone has no sibling.
var alone = indexes{-1, -1}

// labels gives the index of a pod's labels. Those of the sibling are looked at first: most
// pods of a controller are alike, and to compare two costs far less than to find one.
func (p *placing) labels(of map[string]string, sibling int32) int32 {
	if sibling >= 0 && maps.Equal(of, p.out.LabelSets[sibling]) {
		return sibling
	}
	set, isNew := p.labelSets.index(of)
	if isNew {
		p.out.LabelSets = append(p.out.LabelSets, of)
	}
	return set
}

// owner is the pod's controller. A ReplicaSet of a Deployment is named after it
// and the hash that its pods have as a label, which saves reading all
// ReplicaSets, most of which are old and empty.
func (p *placing) owner(pod *corev1.Pod, owner *metav1.OwnerReference) int32 {
	if owner == nil {
		return -1
	}
	key := controllerKey{owner.Kind, pod.Namespace, owner.Name}
	if owner.Kind == "ReplicaSet" {
		if deployment, ok := strings.CutSuffix(owner.Name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]); ok {
			if i, known := p.controllers[controllerKey{"Deployment", pod.Namespace, deployment}]; known {
				return i
			}
		}
	}
	return p.controller(key)
}

// spec gives the index of what the pod demands, often that of its sibling (-1: it has
// none). The node affinity of a DaemonSet's pod is left out (withAffinity false): its
// controller wrote the node's name there.
func (p *placing) spec(ctx context.Context, namespace string, podLabels map[string]string, s *corev1.PodSpec, withAffinity bool, sibling int32) (int32, error) {
	out := cluster.PodSpec{Requests: p.requests(s), NodeSelector: s.NodeSelector, Claims: len(s.ResourceClaims) > 0}
	if s.Priority != nil {
		out.Priority = *s.Priority
	}
	if s.SchedulerName != defaultScheduler {
		out.Scheduler = s.SchedulerName
	}
	if a := s.Affinity; a != nil {
		if n := a.NodeAffinity; withAffinity && n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			nodes := nodeSelector(n.RequiredDuringSchedulingIgnoredDuringExecution)
			out.NodeAffinity = &nodes
		}
		var err error
		if a.PodAffinity != nil {
			if out.Affinity, err = p.terms(ctx, namespace, podLabels, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
				return 0, err
			}
		}
		if a.PodAntiAffinity != nil {
			if out.AntiAffinity, err = p.terms(ctx, namespace, podLabels, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
				return 0, err
			}
		}
	}
	out.Spread = spreads(podLabels, s.TopologySpreadConstraints)
	for _, t := range s.Tolerations {
		out.Tolerations = append(out.Tolerations, cluster.Toleration{Key: t.Key, Operator: string(t.Operator), Value: t.Value, Effect: string(t.Effect), Seconds: t.TolerationSeconds})
	}
	out.HostPorts = hostPorts(s)
	out.EmptyDir, out.InMemory = emptyDirs(s)
	if sibling >= 0 && reflect.DeepEqual(out, p.out.Specs[sibling]) {
		return sibling, nil
	}
	index, isNew := p.specs.index(out)
	if isNew {
		p.out.Specs = append(p.out.Specs, out)
	}
	return index, nil
}

func emptyDirs(s *corev1.PodSpec) (any, allInMemory bool) {
	allInMemory = true
	for i := range s.Volumes {
		if e := s.Volumes[i].EmptyDir; e != nil {
			any = true
			allInMemory = allInMemory && e.Medium == corev1.StorageMediumMemory
		}
	}
	return any, any && allInMemory
}

func hostPorts(s *corev1.PodSpec) []cluster.HostPort {
	var out []cluster.HostPort
	for i := range s.Containers {
		for _, port := range s.Containers[i].Ports {
			if port.HostPort == 0 {
				continue
			}
			h := cluster.HostPort{Protocol: string(port.Protocol), IP: port.HostIP, Port: port.HostPort}
			if h.IP == "" {
				h.IP = "0.0.0.0"
			}
			if h.Protocol == "" {
				h.Protocol = string(corev1.ProtocolTCP)
			}
			out = append(out, h)
		}
	}
	return out
}

func (p *placing) terms(ctx context.Context, namespace string, podLabels map[string]string, in []corev1.PodAffinityTerm) ([]cluster.AffinityTerm, error) {
	var out []cluster.AffinityTerm
	for _, t := range in {
		selector, ok := selectorOf(t.LabelSelector)
		term := cluster.AffinityTerm{TopologyKey: t.TopologyKey, Nothing: !ok, Selector: withLabels(selector, podLabels, t.MatchLabelKeys, t.MismatchLabelKeys)}
		var err error
		term.Namespaces, term.AllNamespaces, err = p.meant(ctx, namespace, t)
		if err != nil {
			return nil, err
		}
		out = append(out, term)
	}
	return out, nil
}

// meant are the namespaces an affinity term speaks of.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#namespace-selector
func (p *placing) meant(ctx context.Context, namespace string, t corev1.PodAffinityTerm) (names []string, all bool, err error) {
	names = slices.Clone(t.Namespaces)
	if t.NamespaceSelector == nil {
		if len(names) == 0 {
			names = []string{namespace}
		}
		slices.Sort(names)
		return names, false, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(t.NamespaceSelector)
	if err != nil {
		selector = labels.Nothing() // the API server admits no such selector
	}
	if selector.Empty() {
		return nil, true, nil
	}
	if err := p.readNamespaces(ctx); err != nil {
		return nil, false, err
	}
	for name, l := range p.namespaces {
		if selector.Matches(labels.Set(l)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false, nil
}

func (p *placing) readNamespaces(ctx context.Context) error {
	if p.namespaces != nil {
		return nil
	}
	found := map[string]map[string]string{}
	err := eachPage(ctx, p.client.clientset.CoreV1().Namespaces().List, func(l *corev1.NamespaceList) error {
		for i := range l.Items {
			found[l.Items[i].Name] = l.Items[i].Labels
		}
		return nil
	}, nil)
	if err == nil {
		p.namespaces = found
	}
	return err
}

// spreads are the constraints that keep a pod from being scheduled.
func spreads(podLabels map[string]string, in []corev1.TopologySpreadConstraint) []cluster.Spread {
	var out []cluster.Spread
	for _, c := range in {
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		selector, ok := selectorOf(c.LabelSelector)
		if !ok {
			continue // it counts no pod and keeps none away
		}
		s := cluster.Spread{
			TopologyKey: c.TopologyKey, MaxSkew: c.MaxSkew, Selector: withLabels(selector, podLabels, c.MatchLabelKeys, nil),
			IgnoreAffinity: c.NodeAffinityPolicy != nil && *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyIgnore,
			HonorTaints:    c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor,
		}
		if c.MinDomains != nil {
			s.MinDomains = *c.MinDomains
		}
		out = append(out, s)
	}
	return out
}

// selectorOf is false for a selector that is absent, which chooses nothing.
func selectorOf(s *metav1.LabelSelector) (cluster.Selector, bool) {
	if s == nil {
		return nil, false
	}
	var out cluster.Selector
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		out = append(out, cluster.Requirement{Key: key, Operator: string(metav1.LabelSelectorOpIn), Values: []string{s.MatchLabels[key]}})
	}
	for _, r := range s.MatchExpressions {
		out = append(out, cluster.Requirement{Key: r.Key, Operator: string(r.Operator), Values: r.Values})
	}
	return out, true
}

// withLabels adds what matchLabelKeys and mismatchLabelKeys say: the pod's own
// value of a label, or any other than it.
func withLabels(s cluster.Selector, podLabels map[string]string, match, mismatch []string) cluster.Selector {
	for _, key := range match {
		if value, has := podLabels[key]; has {
			s = append(s, cluster.Requirement{Key: key, Operator: string(metav1.LabelSelectorOpIn), Values: []string{value}})
		}
	}
	for _, key := range mismatch {
		if value, has := podLabels[key]; has {
			s = append(s, cluster.Requirement{Key: key, Operator: string(metav1.LabelSelectorOpNotIn), Values: []string{value}})
		}
	}
	return s
}
