package controllers

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// bounds are how many pods may be there beyond, and missing of, those wanted.
func (r *rollout) bounds(want int32) (surge, unavailable int32) {
	rolling := deref(r.Spec.Strategy.RollingUpdate)
	part := func(of *intstr.IntOrString, up bool) int32 {
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(of, intstr.FromInt32(0)), int(want), up)
		if err != nil {
			return 0 // what is no part is none
		}
		return int32(n)
	}
	surge, unavailable = part(rolling.MaxSurge, true), part(rolling.MaxUnavailable, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, want)
}

// status is what a Deployment says of itself.
func (r *rollout) status() appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{ObservedGeneration: r.Generation, CollisionCount: r.Status.CollisionCount, TerminatingReplicas: r.Status.TerminatingReplicas}
	sets := r.old
	if r.present != nil {
		s.UpdatedReplicas = r.present.Status.Replicas
		sets = append(slices.Clone(sets), r.present)
	}
	for _, set := range sets {
		s.Replicas += set.Status.Replicas
		s.ReadyReplicas += set.Status.ReadyReplicas
		s.AvailableReplicas += set.Status.AvailableReplicas
	}
	want := orOne(r.Spec.Replicas)
	s.UnavailableReplicas = max(0, want-s.AvailableReplicas)
	_, unavailable := r.bounds(want)
	enough := s.AvailableReplicas >= want-unavailable
	over := s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
	s.Conditions = []appsv1.DeploymentCondition{
		r.condition(appsv1.DeploymentAvailable, enough, "MinimumReplicasAvailable", "MinimumReplicasUnavailable", fmt.Sprintf("%d of %d replicas are available.", s.AvailableReplicas, want)),
		r.condition(appsv1.DeploymentProgressing, true, map[bool]string{true: "NewReplicaSetAvailable", false: "ReplicaSetUpdated"}[over], "", ""),
	}
	return s
}

// condition keeps the times of one that holds as long as before.
func (r *rollout) condition(kind appsv1.DeploymentConditionType, holds bool, yes, no, message string) appsv1.DeploymentCondition {
	status, reason := corev1.ConditionTrue, yes
	if !holds {
		status, reason = corev1.ConditionFalse, no
	}
	out := appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: message, LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now()}
	for _, old := range r.Status.Conditions {
		if old.Type == kind && old.Status == status {
			out.LastTransitionTime = old.LastTransitionTime
			if old.Reason == reason && old.Message == message {
				out.LastUpdateTime = old.LastUpdateTime
			}
		}
	}
	return out
}
