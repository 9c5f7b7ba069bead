package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// labelRolePrefix is of the labels that name a node's roles, which kubeadm itself
// puts on and takes off.
const labelRolePrefix = "node-role.kubernetes.io/"

// Placement reads which pods run where, and what decides where they may run. It
// takes every list page by page and keeps of each object only what decides, so
// that its memory does not grow with what pods carry besides.
func (c *Client) Placement(ctx context.Context) (cluster.Placement, error) {
	p := newPlacing(c)
	for _, part := range []struct {
		what string
		read func(context.Context) error
	}{
		{"nodes", p.nodes},
		{"persistent volumes", p.volumes},
		{"Deployments", p.deployments},
		{"StatefulSets", p.statefulSets},
		{"DaemonSets", p.daemonSets},
		{"PodDisruptionBudgets", p.budgets},
		{"pods", p.pods},
	} {
		if err := part.read(ctx); err != nil {
			return cluster.Placement{}, fmt.Errorf("list %s: %w", part.what, err)
		}
	}
	p.trim()
	return p.out, nil
}

// placing builds a placement.
type placing struct {
	client *Client
	out    cluster.Placement

	nodeIndex   map[string]int32
	controllers map[controllerKey]int32
	siblings    map[int32]indexes               // of the last pod, by controller
	claims      map[string]cluster.NodeSelector // by namespace/name of the claim
	namespaces  map[string]map[string]string    // labels by name; nil: not asked yet
	extended    map[string]int
	labelSets   intern
	specs       intern
	selectors   intern // of volumes
}

type controllerKey struct{ kind, namespace, name string }

func newPlacing(c *Client) *placing {
	return &placing{
		client: c, nodeIndex: map[string]int32{}, controllers: map[controllerKey]int32{}, siblings: map[int32]indexes{},
		claims: map[string]cluster.NodeSelector{}, extended: map[string]int{},
		labelSets: intern{}, specs: intern{}, selectors: intern{},
	}
}

func (p *placing) nodes(ctx context.Context) error {
	err := eachPage(ctx, p.client.lean.Nodes().List, func(l *corev1.NodeList) error {
		for i := range l.Items {
			n := &l.Items[i]
			node := cluster.PlacedNode{Name: n.Name, Labels: n.Labels, Cordoned: n.Spec.Unschedulable, Allocatable: p.resources(n.Status.Allocatable)}
			node.Allocatable.Pods = n.Status.Allocatable.Pods().Value()
			for _, t := range n.Spec.Taints {
				node.Taints = append(node.Taints, cluster.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
			}
			for _, condition := range n.Status.Conditions {
				if condition.Type == corev1.NodeReady {
					node.Ready = condition.Status == corev1.ConditionTrue
				}
			}
			p.out.Nodes = append(p.out.Nodes, node)
		}
		return nil
	}, func() { p.out.Nodes = nil })
	slices.SortFunc(p.out.Nodes, func(a, b cluster.PlacedNode) int { return strings.Compare(a.Name, b.Name) })
	for i := range p.out.Nodes {
		p.nodeIndex[p.out.Nodes[i].Name] = int32(i)
	}
	return err
}

func (p *placing) deployments(ctx context.Context) error {
	return eachPage(ctx, p.client.clientset.AppsV1().Deployments(metav1.NamespaceAll).List, func(l *appsv1.DeploymentList) error {
		for i := range l.Items {
			d := &l.Items[i]
			if err := p.template(ctx, controllerKey{"Deployment", d.Namespace, d.Name}, replicas(d.Spec.Replicas), &d.Spec.Template, false); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

func (p *placing) statefulSets(ctx context.Context) error {
	return eachPage(ctx, p.client.clientset.AppsV1().StatefulSets(metav1.NamespaceAll).List, func(l *appsv1.StatefulSetList) error {
		for i := range l.Items {
			s := &l.Items[i]
			onDelete := s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
			if err := p.template(ctx, controllerKey{"StatefulSet", s.Namespace, s.Name}, replicas(s.Spec.Replicas), &s.Spec.Template, onDelete); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

func (p *placing) daemonSets(ctx context.Context) error {
	return eachPage(ctx, p.client.clientset.AppsV1().DaemonSets(metav1.NamespaceAll).List, func(l *appsv1.DaemonSetList) error {
		for i := range l.Items {
			d := &l.Items[i]
			onDelete := d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
			if err := p.template(ctx, controllerKey{kindDaemonSet, d.Namespace, d.Name}, d.Status.DesiredNumberScheduled, &d.Spec.Template, onDelete); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

func (p *placing) template(ctx context.Context, key controllerKey, desired int32, t *corev1.PodTemplateSpec, onDelete bool) error {
	spec, err := p.spec(ctx, key.namespace, t.Labels, &t.Spec, true, alone.spec)
	if err != nil {
		return err
	}
	i := p.controller(key)
	c := &p.out.Controllers[i]
	c.Desired, c.Spec, c.OnDelete = desired, spec, onDelete
	return nil
}

// controller gives the index of a controller, which is made when it is new.
func (p *placing) controller(key controllerKey) int32 {
	i, known := p.controllers[key]
	if !known {
		i = int32(len(p.out.Controllers))
		p.controllers[key] = i
		p.out.Controllers = append(p.out.Controllers, cluster.PodController{Kind: key.kind, Namespace: key.namespace, Name: key.name, Desired: -1, Spec: -1})
	}
	return i
}

// trim drops the labels that nothing asks for, and makes one of label sets that
// became equal: most of a pod's labels tell it from its siblings and decide
// nothing.
func (p *placing) trim() {
	ofPods, ofNodes := p.asked()
	sets := intern{}
	moved := make([]int32, len(p.out.LabelSets))
	var kept []map[string]string
	for i, set := range p.out.LabelSets {
		only := maps.Clone(set)
		maps.DeleteFunc(only, func(key, _ string) bool { return !ofPods[key] })
		index, isNew := sets.index(only)
		if isNew {
			kept = append(kept, only)
		}
		moved[i] = index
	}
	p.out.LabelSets = kept
	for i := range p.out.Pods {
		p.out.Pods[i].Labels = moved[p.out.Pods[i].Labels]
	}
	for i := range p.out.Nodes {
		only := maps.Clone(p.out.Nodes[i].Labels)
		maps.DeleteFunc(only, func(key, _ string) bool { return !ofNodes[key] && !strings.HasPrefix(key, labelRolePrefix) })
		p.out.Nodes[i].Labels = only
	}
	slices.SortFunc(p.out.Pods, func(a, b cluster.PlacedPod) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// asked gives the keys of the labels that selectors ask of pods and of nodes.
func (p *placing) asked() (ofPods, ofNodes map[string]bool) {
	ofPods, ofNodes = map[string]bool{}, map[string]bool{}
	add := func(to map[string]bool, s cluster.Selector) {
		for _, r := range s {
			to[r.Key] = true
		}
	}
	addNodes := func(s cluster.NodeSelector) {
		for _, term := range s {
			add(ofNodes, term.Labels)
		}
	}
	for _, b := range p.out.Budgets {
		add(ofPods, b.Selector)
	}
	for _, v := range p.out.Volumes {
		addNodes(v)
	}
	for i := range p.out.Specs {
		s := &p.out.Specs[i]
		for key := range s.NodeSelector {
			ofNodes[key] = true
		}
		if s.NodeAffinity != nil {
			addNodes(*s.NodeAffinity)
		}
		for _, term := range slices.Concat(s.Affinity, s.AntiAffinity) {
			add(ofPods, term.Selector)
			ofNodes[term.TopologyKey] = true
		}
		for _, spread := range s.Spread {
			add(ofPods, spread.Selector)
			ofNodes[spread.TopologyKey] = true
		}
	}
	return ofPods, ofNodes
}
