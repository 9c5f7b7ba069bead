package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// syncStatefulSets has each StatefulSet have its pods, one after the other.
func (c *controllers) syncStatefulSets() error {
	sets, err := apiserver.Typed[appsv1.StatefulSet](c.store, statefulSets, "")
	if err != nil {
		return err
	}
	theirs, err := owned[corev1.Pod](c, pods)
	if err != nil {
		return err
	}
	for _, set := range sets {
		have := theirs[set.UID]
		slices.SortFunc(have, func(a, b *corev1.Pod) int { return cmp.Compare(ordinal(a), ordinal(b)) })
		if set.DeletionTimestamp == nil {
			if err := c.order(set, have); err != nil {
				return err
			}
		}
		status := statefulStatus(set, have)
		if err := keep(c, statefulSets, set, set.Status, status, func(o *appsv1.StatefulSet, s appsv1.StatefulSetStatus) { o.Status = s }); err != nil {
			return err
		}
	}
	return nil
}

// ordinal is the pod's number; -1 when its name has none.
func ordinal(p *corev1.Pod) int {
	n, err := strconv.Atoi(p.Name[strings.LastIndex(p.Name, "-")+1:])
	if err != nil {
		return -1
	}
	return n
}

func revisionName(set *appsv1.StatefulSet) string { return set.Name + "-" + hashOf(&set.Spec.Template) }

// order does the next thing that the set's order allows. A pod that is ending
// keeps its name until it is gone: there are never two.
func (c *controllers) order(set *appsv1.StatefulSet, have []*corev1.Pod) error {
	byOrdinal := map[int]*corev1.Pod{}
	for _, p := range have {
		byOrdinal[ordinal(p)] = p
	}
	want := int(orOne(set.Spec.Replicas))
	parallel := set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement
	whole := true
	for i := range want {
		p := byOrdinal[i]
		switch {
		case p == nil:
			if _, err := apiserver.Create(c.store, pods, statefulPod(set, i)); err != nil {
				return err
			}
		case p.DeletionTimestamp == nil && !active(p): // it has ended by itself
			if err := c.remove(pods, p); err != nil {
				return err
			}
		}
		if p == nil || !readyNow(p) {
			whole = false
			if !parallel {
				return nil
			}
		}
	}
	for _, p := range slices.Backward(have) {
		if ordinal(p) < want {
			break
		}
		if p.DeletionTimestamp == nil {
			if err := c.remove(pods, p); err != nil {
				return err
			}
		}
		if !parallel {
			return nil
		}
	}
	if !whole {
		return nil
	}
	return c.replaceLast(set, have)
}

// replaceLast ends the last pod that is not of the present template.
func (c *controllers) replaceLast(set *appsv1.StatefulSet, have []*corev1.Pod) error {
	if set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return nil
	}
	partition := 0
	if u := set.Spec.UpdateStrategy.RollingUpdate; u != nil {
		partition = int(deref(u.Partition))
	}
	for _, p := range slices.Backward(have) {
		if ordinal(p) >= partition && p.Labels[appsv1.ControllerRevisionHashLabelKey] != revisionName(set) {
			return c.remove(pods, p)
		}
	}
	return nil
}

func statefulPod(set *appsv1.StatefulSet, i int) *corev1.Pod {
	p := fromTemplate(&set.Spec.Template, set, kindStatefulSet)
	p.GenerateName, p.Name = "", fmt.Sprintf("%s-%d", set.Name, i)
	p.Labels = with(p.Labels, appsv1.StatefulSetPodNameLabel, p.Name)
	p.Labels[appsv1.PodIndexLabel] = strconv.Itoa(i)
	p.Labels[appsv1.ControllerRevisionHashLabelKey] = revisionName(set)
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, set.Spec.ServiceName
	return p
}

func statefulStatus(set *appsv1.StatefulSet, have []*corev1.Pod) appsv1.StatefulSetStatus {
	update := revisionName(set)
	updated := func(p *corev1.Pod) bool {
		return p.Labels[appsv1.ControllerRevisionHashLabelKey] == update && active(p)
	}
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: int32(len(have)), ReadyReplicas: count(have, readyNow), AvailableReplicas: count(have, readyNow),
		UpdatedReplicas: count(have, updated), CurrentRevision: set.Status.CurrentRevision, UpdateRevision: update, CollisionCount: set.Status.CollisionCount,
	}
	if s.CurrentRevision == "" || s.UpdatedReplicas == orOne(set.Spec.Replicas) && s.ReadyReplicas == s.UpdatedReplicas {
		s.CurrentRevision = update
	}
	s.CurrentReplicas = count(have, func(p *corev1.Pod) bool {
		return active(p) && p.Labels[appsv1.ControllerRevisionHashLabelKey] == s.CurrentRevision
	})
	return s
}
