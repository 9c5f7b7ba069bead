package controllers

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// syncDaemonSets has each DaemonSet have a pod on every node it is for.
func (c *controllers) syncDaemonSets() error {
	sets, err := apiserver.Typed[appsv1.DaemonSet](c.store, daemonSets, "")
	if err != nil {
		return err
	}
	all, err := apiserver.Typed[corev1.Node](c.store, nodes, "")
	if err != nil {
		return err
	}
	theirs, err := owned[corev1.Pod](c, pods)
	if err != nil {
		return err
	}
	for _, set := range sets {
		d := newDaemons(set, all, theirs[set.UID])
		if set.DeletionTimestamp == nil {
			if err := c.spread(d); err != nil {
				return err
			}
		}
		if err := keep(c, daemonSets, set, set.Status, d.status(), func(o *appsv1.DaemonSet, s appsv1.DaemonSetStatus) { o.Status = s }); err != nil {
			return err
		}
	}
	return nil
}

// daemons is a DaemonSet with its pods by node.
type daemons struct {
	*appsv1.DaemonSet
	hash   string
	wanted []string // nodes
	pods   map[string][]*corev1.Pod
}

func newDaemons(set *appsv1.DaemonSet, all []*corev1.Node, have []*corev1.Pod) *daemons {
	d := &daemons{DaemonSet: set, hash: hashOf(&set.Spec.Template), pods: map[string][]*corev1.Pod{}}
	sample := &corev1.Pod{Spec: *daemonSpec(&set.Spec.Template.Spec, "")}
	sample.Spec.Affinity = set.Spec.Template.Spec.Affinity
	for _, n := range all {
		if wantsNode(sample, n) && toleratesAll(sample, n) {
			d.wanted = append(d.wanted, n.Name)
		}
	}
	for _, p := range have {
		node := targetOf(p)
		d.pods[node] = append(d.pods[node], p)
	}
	return d
}

// targetOf is the node that a daemon's pod is on or meant for.
func targetOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" || p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return p.Spec.NodeName
	}
	for _, term := range deref(p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution).NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}

// daemonSpec adds to a template's spec what every daemon tolerates, and its node.
func daemonSpec(t *corev1.PodSpec, node string) *corev1.PodSpec {
	spec := t.DeepCopy()
	tolerate := func(key string, effect corev1.TaintEffect) {
		spec.Tolerations = append(spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect})
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerate(key, corev1.TaintEffectNoExecute)
	}
	for _, key := range []string{corev1.TaintNodeDiskPressure, corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure, corev1.TaintNodeUnschedulable} {
		tolerate(key, corev1.TaintEffectNoSchedule)
	}
	if spec.HostNetwork {
		tolerate(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)
	}
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}
	return spec
}

// spread makes the pods that nodes lack, deletes those that no node wants, and
// replaces some that are not of the present template.
func (c *controllers) spread(d *daemons) error {
	for node, have := range d.pods {
		slices.SortFunc(have, func(a, b *corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		kept := false
		for _, p := range have {
			wanted := slices.Contains(d.wanted, node) && active(p) && !kept
			kept = kept || wanted
			if wanted || p.DeletionTimestamp != nil {
				continue
			}
			if err := c.remove(pods, p); err != nil {
				return err
			}
		}
	}
	for _, node := range d.wanted {
		if len(d.pods[node]) > 0 { // one that is ending is waited for
			continue
		}
		p := fromTemplate(&d.Spec.Template, d.DaemonSet, kindDaemonSet)
		p.Spec = *daemonSpec(&p.Spec, node)
		p.Labels = with(p.Labels, appsv1.ControllerRevisionHashLabelKey, d.hash)
		if _, err := apiserver.Create(c.store, pods, p); err != nil {
			return err
		}
	}
	return c.replaceSome(d)
}

// replaceSome ends pods of an older template, as many as may be missing; those
// that are not ready cost nothing.
func (c *controllers) replaceSome(d *daemons) error {
	if d.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || d.Spec.UpdateStrategy.RollingUpdate == nil {
		return nil
	}
	most, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1)), len(d.wanted), true)
	if err != nil {
		most = 1
	}
	var old []*corev1.Pod
	for _, node := range d.wanted {
		p := d.on(node)
		if p == nil || !ready(p) {
			most--
		}
		if p != nil && p.Labels[appsv1.ControllerRevisionHashLabelKey] != d.hash {
			old = append(old, p)
		}
	}
	for _, p := range old {
		if ready(p) {
			if most <= 0 {
				continue
			}
			most--
		}
		if err := c.remove(pods, p); err != nil {
			return err
		}
	}
	return nil
}

// on gives the pod that serves a node; nil when it has none.
func (d *daemons) on(node string) *corev1.Pod {
	for _, p := range d.pods[node] {
		if active(p) {
			return p
		}
	}
	return nil
}

func (d *daemons) status() appsv1.DaemonSetStatus {
	s := appsv1.DaemonSetStatus{ObservedGeneration: d.Generation, DesiredNumberScheduled: int32(len(d.wanted)), CollisionCount: d.Status.CollisionCount}
	for node, have := range d.pods {
		if node != "" && !slices.Contains(d.wanted, node) && slices.ContainsFunc(have, active) {
			s.NumberMisscheduled++
		}
	}
	for _, node := range d.wanted {
		p := d.on(node)
		if p == nil {
			continue
		}
		s.CurrentNumberScheduled++
		if p.Labels[appsv1.ControllerRevisionHashLabelKey] == d.hash {
			s.UpdatedNumberScheduled++
		}
		if ready(p) {
			s.NumberReady++
			s.NumberAvailable++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	return s
}
