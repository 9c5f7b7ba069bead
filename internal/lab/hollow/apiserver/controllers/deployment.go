package controllers

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

const annotationRevision = "deployment.kubernetes.io/revision"

// rollout is a Deployment with its ReplicaSets.
type rollout struct {
	*appsv1.Deployment
	present *appsv1.ReplicaSet   // that of the present template
	old     []*appsv1.ReplicaSet // oldest first
	pods    map[types.UID][]*corev1.Pod
}

// available counts the pods of a set that are ready now; the set's status lags.
func (r *rollout) available(set *appsv1.ReplicaSet) int32 { return count(r.pods[set.UID], readyNow) }

// syncDeployments rolls out what Deployments want.
func (c *controllers) syncDeployments() error {
	all, err := apiserver.Typed[appsv1.Deployment](c.store, deployments, "")
	if err != nil {
		return err
	}
	sets, err := owned[appsv1.ReplicaSet](c, replicaSets)
	if err != nil {
		return err
	}
	theirs, err := owned[corev1.Pod](c, pods)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := c.syncDeployment(newRollout(d, sets[d.UID], theirs)); err != nil {
			return err
		}
	}
	return nil
}

func (c *controllers) syncDeployment(r *rollout) error {
	d := r.Deployment
	if d.DeletionTimestamp == nil && !d.Spec.Paused {
		if r.present == nil {
			var err error
			if r.present, err = c.newReplicaSet(r); err != nil {
				return err
			}
		}
		if err := c.renumber(r); err != nil {
			return err
		}
		if err := c.roll(r); err != nil {
			return err
		}
		if err := c.forget(r); err != nil {
			return err
		}
	}
	revision := d.Annotations[annotationRevision]
	if r.present != nil {
		revision = strconv.Itoa(r.revision())
	}
	if err := keep(c, deployments, d, d.Annotations[annotationRevision], revision, func(o *appsv1.Deployment, revision string) {
		o.Annotations = with(o.Annotations, annotationRevision, revision)
	}); err != nil {
		return err
	}
	return keep(c, deployments, d, d.Status, r.status(), func(o *appsv1.Deployment, s appsv1.DeploymentStatus) { o.Status = s })
}

func newRollout(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, pods map[types.UID][]*corev1.Pod) *rollout {
	r := &rollout{Deployment: d, pods: pods}
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revisionOf(a), revisionOf(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, set := range sets {
		if r.present == nil && sameTemplate(&set.Spec.Template, &d.Spec.Template) {
			r.present = set
		} else {
			r.old = append(r.old, set)
		}
	}
	return r
}

func revisionOf(set *appsv1.ReplicaSet) int {
	n, _ := strconv.Atoi(set.Annotations[annotationRevision]) //nolint:errcheck // what is no number is before all
	return n
}

// revision is what the present set's is to be: the highest.
func (r *rollout) revision() int {
	newest := 0
	if len(r.old) > 0 {
		newest = revisionOf(r.old[len(r.old)-1])
	}
	if r.present != nil && revisionOf(r.present) > newest {
		return revisionOf(r.present)
	}
	return newest + 1
}

// renumber gives a set that is wanted again the highest revision.
func (c *controllers) renumber(r *rollout) error {
	return keep(c, replicaSets, r.present, revisionOf(r.present), r.revision(), func(o *appsv1.ReplicaSet, n int) {
		o.Annotations = with(o.Annotations, annotationRevision, strconv.Itoa(n))
	})
}

// newReplicaSet makes the set of the present template, without pods.
func (c *controllers) newReplicaSet(r *rollout) (*appsv1.ReplicaSet, error) {
	hash := hashOf(&r.Spec.Template)
	set := &appsv1.ReplicaSet{}
	set.Name, set.Namespace = r.Name+"-"+hash, r.Namespace
	set.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(r.Deployment, kindDeployment)}
	set.Spec = appsv1.ReplicaSetSpec{
		Replicas: new(int32), MinReadySeconds: r.Spec.MinReadySeconds, Selector: r.Spec.Selector.DeepCopy(), Template: *r.Spec.Template.DeepCopy(),
	}
	set.Labels = with(r.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	set.Spec.Template.Labels = maps.Clone(set.Labels)
	set.Spec.Selector = metav1.AddLabelToSelector(set.Spec.Selector, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	set.Annotations = map[string]string{annotationRevision: strconv.Itoa(r.revision())}
	return apiserver.Create(c.store, replicaSets, set)
}

// roll moves pods from the old sets to the present one within the strategy's
// bounds.
func (c *controllers) roll(r *rollout) error {
	want := orOne(r.Spec.Replicas)
	if r.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return c.recreate(r, want)
	}
	surge, unavailable := r.bounds(want)
	present := orOne(r.present.Spec.Replicas)
	total, available := present, r.available(r.present)
	for _, set := range r.old {
		total += orOne(set.Spec.Replicas)
		available += r.available(set)
	}
	if present > want {
		return c.scale(r.present, want)
	}
	if grow := min(want-present, want+surge-total); grow > 0 {
		return c.scale(r.present, present+grow)
	}
	missing := max(0, present-r.available(r.present)) // of those that are to take over
	return c.shrink(r, total-(want-unavailable)-missing, available-(want-unavailable))
}

// shrink takes pods from old sets: most in all, of them ready ones as many as may
// be missing.
func (c *controllers) shrink(r *rollout, most, readyOnes int32) error {
	for _, set := range r.old {
		have := orOne(set.Spec.Replicas)
		sick := max(0, have-r.available(set))
		take := min(have, max(most, 0), sick+max(readyOnes, 0))
		if take == 0 {
			continue
		}
		if err := c.scale(set, have-take); err != nil {
			return err
		}
		most -= take
		readyOnes -= max(0, take-sick)
	}
	return nil
}

// recreate ends all old pods before it makes new ones.
func (c *controllers) recreate(r *rollout, want int32) error {
	left := int32(0)
	for _, set := range r.old {
		left += count(r.pods[set.UID], func(p *corev1.Pod) bool { return active(p) || p.DeletionTimestamp != nil })
		if err := c.scale(set, 0); err != nil {
			return err
		}
	}
	if left > 0 {
		return nil
	}
	return c.scale(r.present, want)
}

func (c *controllers) scale(set *appsv1.ReplicaSet, replicas int32) error {
	return keep(c, replicaSets, set, orOne(set.Spec.Replicas), replicas, func(o *appsv1.ReplicaSet, n int32) { o.Spec.Replicas = &n })
}

// forget deletes the oldest sets that are only history.
func (c *controllers) forget(r *rollout) error {
	unused := filter(r.old, func(set *appsv1.ReplicaSet) bool { return orOne(set.Spec.Replicas) == 0 && set.Status.Replicas == 0 })
	keep := int(deref(r.Spec.RevisionHistoryLimit))
	for _, set := range unused[:max(0, len(unused)-keep)] {
		if err := c.remove(replicaSets, set); err != nil {
			return err
		}
	}
	return nil
}
