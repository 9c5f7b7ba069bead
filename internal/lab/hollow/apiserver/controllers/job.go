package controllers

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// syncJobs has each Job that is neither done nor suspended have its pods.
func (c *controllers) syncJobs() error {
	all, err := apiserver.Typed[batchv1.Job](c.store, jobs, "")
	if err != nil || len(all) == 0 {
		return err
	}
	theirs, err := owned[corev1.Pod](c, pods)
	if err != nil {
		return err
	}
	for _, j := range all {
		if err := c.syncJob(j, theirs[j.UID]); err != nil {
			return err
		}
	}
	return nil
}

func (c *controllers) syncJob(j *batchv1.Job, have []*corev1.Pod) error {
	phase := func(want corev1.PodPhase) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool { return p.Status.Phase == want }
	}
	s := *j.Status.DeepCopy()
	s.Succeeded, s.Failed = count(have, phase(corev1.PodSucceeded)), count(have, phase(corev1.PodFailed))
	s.Active = count(have, active)
	ready := count(have, readyNow)
	s.Ready = &ready
	done := s.CompletionTime != nil
	suspended := deref(j.Spec.Suspend)
	want := orOne(j.Spec.Completions)
	switch {
	case done || j.DeletionTimestamp != nil:
	case s.Succeeded >= want:
		s.CompletionTime = new(metav1.Now())
		s.Conditions = append(s.Conditions, batchv1.JobCondition{
			Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastProbeTime: *s.CompletionTime, LastTransitionTime: *s.CompletionTime,
		})
	case suspended:
		for _, p := range filter(have, active) {
			if err := c.remove(pods, p); err != nil {
				return err
			}
		}
	case s.Failed <= deref(j.Spec.BackoffLimit):
		if s.StartTime == nil {
			s.StartTime = new(metav1.Now())
		}
		for range min(orOne(j.Spec.Parallelism), want-s.Succeeded) - s.Active {
			p := fromTemplate(&j.Spec.Template, j, batchv1.SchemeGroupVersion.WithKind("Job"))
			p.Labels = with(with(p.Labels, batchv1.JobNameLabel, j.Name), batchv1.ControllerUidLabel, string(j.UID))
			if _, err := apiserver.Create(c.store, pods, p); err != nil {
				return err
			}
		}
	}
	return keep(c, jobs, j, j.Status, s, func(o *batchv1.Job, s batchv1.JobStatus) { o.Status = s })
}
