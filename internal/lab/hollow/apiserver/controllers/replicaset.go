package controllers

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// syncReplicaSets has each ReplicaSet have as many pods as it wants.
func (c *controllers) syncReplicaSets() error {
	sets, err := apiserver.Typed[appsv1.ReplicaSet](c.store, replicaSets, "")
	if err != nil {
		return err
	}
	theirs, err := owned[corev1.Pod](c, pods)
	if err != nil {
		return err
	}
	for _, set := range sets {
		have := filter(theirs[set.UID], active)
		if set.DeletionTimestamp == nil {
			if err := c.scalePods(set, have); err != nil {
				return err
			}
		}
		status := appsv1.ReplicaSetStatus{
			Replicas: int32(len(have)), FullyLabeledReplicas: int32(len(have)), ReadyReplicas: count(have, ready),
			AvailableReplicas: count(have, ready), ObservedGeneration: set.Generation, Conditions: set.Status.Conditions,
			TerminatingReplicas: set.Status.TerminatingReplicas,
		}
		if err := keep(c, replicaSets, set, set.Status, status, func(o *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) { o.Status = s }); err != nil {
			return err
		}
	}
	return nil
}

// scalePods makes the pods that a set lacks, and deletes those it has too many.
func (c *controllers) scalePods(set *appsv1.ReplicaSet, have []*corev1.Pod) error {
	want := int(orOne(set.Spec.Replicas))
	for range want - len(have) {
		if _, err := apiserver.Create(c.store, pods, fromTemplate(&set.Spec.Template, set, kindReplicaSet)); err != nil {
			return err
		}
	}
	if len(have) <= want {
		return nil
	}
	slices.SortFunc(have, dispensable)
	for _, p := range have[:len(have)-want] {
		if err := c.remove(pods, p); err != nil {
			return err
		}
	}
	return nil
}

// dispensable sorts those pods first that are missed least: without a node, not
// ready, young.
func dispensable(a, b *corev1.Pod) int {
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case !ready(p):
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
