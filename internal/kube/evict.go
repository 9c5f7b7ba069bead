package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// evictAll evicts the pods side by side and waits until they are gone.
func (d *drainer) evictAll(ctx context.Context, pods []corev1.Pod) error {
	errs := make([]error, len(pods))
	var evicting sync.WaitGroup
	for i := range pods {
		evicting.Go(func() {
			if err := d.evict(ctx, pods[i]); err != nil {
				errs[i] = fmt.Errorf("evict pod %s: %w", podName(&pods[i]), err)
			}
		})
	}
	evicting.Wait()
	return errors.Join(errs...)
}

// evict asks for the pod's eviction until it is granted, as kubectl does, and
// waits until the pod is gone.
func (d *drainer) evict(ctx context.Context, pod corev1.Pod) error {
	between, granted := betweenEvictions, false
	for {
		if !granted {
			var err error
			if granted, err = d.tryEvict(ctx, &pod); err != nil {
				return err
			}
		}
		if there, err := d.there(ctx, &pod); err != nil || !there {
			return err
		}
		if granted {
			between = betweenGlances
		}
		if err := d.pause(ctx, between); err != nil {
			return err
		}
	}
}

// there tells whether the pod still exists, and brings it up to date. Another one
// of its name is not this node's to evict.
func (d *drainer) there(ctx context.Context, pod *corev1.Pod) (bool, error) {
	now, err := d.client.clientset.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && now.UID != pod.UID:
		d.say(podName(pod) + " is gone")
		return false, nil
	case err != nil:
		return false, err
	}
	*pod = *now
	return true, nil
}

// tryEvict asks once; granted also when the pod is gone or going.
func (d *drainer) tryEvict(ctx context.Context, pod *corev1.Pod) (granted bool, err error) {
	if d.o.May != nil {
		if err := d.o.May(ctx); err != nil {
			return false, err
		}
	}
	d.begin(pod)
	err = d.helper(ctx).EvictPod(*pod, d.version)
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return true, nil
	case apierrors.IsTooManyRequests(err):
		return false, nil // a budget; the next try may find it relaxed
	case apierrors.IsForbidden(err) && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return pod.DeletionTimestamp != nil, nil // its namespace takes it away
	}
	return false, err
}

func (d *drainer) begin(pod *corev1.Pod) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	key := podName(pod) + " " + string(pod.UID)
	if !d.started[key] {
		d.started[key] = true
		d.note("evicting " + podName(pod))
	}
}

// pause waits, or ends with ctx.
func (d *drainer) pause(ctx context.Context, between time.Duration) error {
	timer := time.NewTimer(d.o.pace(between))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
