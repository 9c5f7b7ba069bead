package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// How long pods take on a real machine.
const (
	podStart = 3 * time.Second
	podEnd   = 2 * time.Second
	jobTime  = 5 * time.Second // of one whose containers end by themselves
)

// syncPods starts the pods that were bound to the node and ends those that are to
// go. What runs already is left alone: a kubelet that starts anew restarts nothing.
func (k *kubelet) syncPods(ctx context.Context, api Objects, all []*unstructured.Unstructured) error {
	node := k.m.cfg.Name
	pods, err := selected[corev1.Pod](all, func(u *unstructured.Unstructured) bool { return nodeOf(u) == node && !isMirror(u) })
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, p := range pods {
		uid := string(p.UID)
		present[uid] = true
		_, runs := k.m.runtime.pod(uid)
		switch {
		case p.DeletionTimestamp != nil:
			k.work(ctx, uid, func(ctx context.Context) error { return k.endPod(ctx, p) })
		case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		case !runs:
			k.work(ctx, uid, func(ctx context.Context) error { return k.startPod(ctx, p) })
		case !endless(p):
			k.work(ctx, uid, func(ctx context.Context) error { return k.completePod(ctx, p) })
		case !isReady(p): // it was taken for dead
			k.work(ctx, uid, func(context.Context) error { return k.reportPod(api, p, k.m.stateOf(p)) })
		}
	}
	k.m.runtime.keepPods(present)
	return nil
}

// startPod brings a pod up; one that ran before a reboot comes up again.
func (k *kubelet) startPod(ctx context.Context, p *corev1.Pod) error {
	api, err := k.m.cfg.API()
	if err != nil {
		return err
	}
	if p.Status.Phase == corev1.PodRunning { // what ran is gone
		if err := k.reportPod(api, p, podState{restarts: restartsOf(p)}); err != nil {
			return err
		}
	}
	for _, c := range p.Spec.Containers {
		if err := k.m.pull(ctx, c.Image); err != nil {
			return err
		}
	}
	if err := k.m.wait(ctx, podStart); err != nil {
		return err
	}
	state := podState{running: true, ready: true, restarts: restartsOf(p), ip: k.m.cfg.IP}
	if p.Status.Phase == corev1.PodRunning {
		state.restarts++
	}
	if !p.Spec.HostNetwork {
		if state.ip, err = k.m.freeAddress(); err != nil {
			return err
		}
	}
	k.m.runtime.setPod(string(p.UID), &podSandbox{Namespace: p.Namespace, Name: p.Name, IP: state.ip})
	if api, err = k.m.cfg.API(); err == nil {
		err = k.reportPod(api, p, state)
	}
	if err != nil {
		k.m.runtime.setPod(string(p.UID), nil) // it is started again, and then reported
		return err
	}
	return nil
}

// endless tells whether the pod's containers are to run for ever.
func endless(p *corev1.Pod) bool {
	return p.Spec.RestartPolicy == corev1.RestartPolicyAlways || p.Spec.RestartPolicy == ""
}

// stateOf is the state of a pod that runs.
func (m *Machine) stateOf(p *corev1.Pod) podState {
	sandbox, _ := m.runtime.pod(string(p.UID))
	return podState{running: true, ready: true, restarts: restartsOf(p), ip: sandbox.IP}
}

// completePod lets a pod that is not to run for ever come to its end.
func (k *kubelet) completePod(ctx context.Context, p *corev1.Pod) error {
	if err := k.m.wait(ctx, jobTime); err != nil {
		return err
	}
	api, err := k.m.cfg.API()
	if err != nil {
		return err
	}
	state := k.m.stateOf(p)
	state.running, state.ready, state.completed = false, false, true
	return k.reportPod(api, p, state)
}

// reportPod writes the status of one pod, if it is still that one.
func (k *kubelet) reportPod(api Objects, p *corev1.Pod, state podState) error {
	return absent(modify(api, resourcePods, p.Namespace, p.Name, func(now *corev1.Pod) {
		if now.UID == p.UID {
			k.m.setStatus(now, state)
		}
	}))
}

// endPod ends a pod gracefully and then removes its object.
func (k *kubelet) endPod(ctx context.Context, p *corev1.Pod) error {
	if _, runs := k.m.runtime.pod(string(p.UID)); runs {
		end := podEnd
		if grace := p.DeletionGracePeriodSeconds; grace != nil {
			end = min(end, time.Duration(*grace)*time.Second)
		}
		if err := k.m.wait(ctx, end); err != nil {
			return err
		}
		k.m.runtime.setPod(string(p.UID), nil)
	}
	api, err := k.m.cfg.API()
	if err != nil {
		return err
	}
	if len(p.Finalizers) > 0 {
		return nil
	}
	return absent(api.Remove(resourcePods, p.Namespace, p.Name, string(p.UID)))
}

func restartsOf(p *corev1.Pod) int32 {
	if len(p.Status.ContainerStatuses) == 0 {
		return 0
	}
	return p.Status.ContainerStatuses[0].RestartCount
}

// freeAddress picks an address for a pod.
func (m *Machine) freeAddress() (string, error) {
	used := m.runtime.addresses()
	at := m.cfg.PodCIDR.Masked().Addr().Next().Next() // the network, and the bridge
	for ; m.cfg.PodCIDR.Contains(at); at = at.Next() {
		if !used[at.String()] {
			return at.String(), nil
		}
	}
	return "", fmt.Errorf("no IP addresses available in range set: %s: %w", m.cfg.PodCIDR, errors.ErrUnsupported)
}

// podState is what a pod's containers are up to.
type podState struct {
	running, ready, completed bool
	restarts                  int32
	ip                        string
}

// setStatus writes a pod's status as the kubelet does.
func (m *Machine) setStatus(p *corev1.Pod, s podState) {
	now := metav1.NewTime(m.now().UTC().Truncate(time.Second))
	st := &p.Status
	st.Phase = corev1.PodPending
	switch {
	case s.completed:
		st.Phase = corev1.PodSucceeded
	case s.running || s.restarts > 0:
		st.Phase = corev1.PodRunning
	}
	if st.StartTime == nil {
		st.StartTime = &now
	}
	st.HostIP, st.HostIPs = m.cfg.IP, []corev1.HostIP{{IP: m.cfg.IP}}
	if s.ip != "" {
		st.PodIP, st.PodIPs = s.ip, []corev1.PodIP{{IP: s.ip}}
	}
	for _, c := range []struct {
		kind corev1.PodConditionType
		true bool
	}{
		{corev1.PodScheduled, true}, {corev1.PodInitialized, true}, {corev1.ContainersReady, s.ready}, {corev1.PodReady, s.ready},
	} {
		setPodCondition(st, c.kind, c.true, now)
	}
	st.ContainerStatuses = nil
	for _, c := range p.Spec.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, containerStatus(c, s, now))
	}
}

func containerStatus(c corev1.Container, s podState, now metav1.Time) corev1.ContainerStatus {
	out := corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: digestOf(c.Image), ContainerID: "containerd://" + digestOf(c.Name + now.String())[7:],
		Ready: s.ready, Started: &s.running, RestartCount: s.restarts,
	}
	switch {
	case s.completed:
		out.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now}
	case s.running:
		out.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
	default:
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	}
	return out
}

func setPodCondition(st *corev1.PodStatus, kind corev1.PodConditionType, holds bool, now metav1.Time) {
	status := corev1.ConditionFalse
	if holds {
		status = corev1.ConditionTrue
	}
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status != status {
			c.Status, c.LastTransitionTime = status, now
		}
		return
	}
	st.Conditions = append(st.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: now})
}
