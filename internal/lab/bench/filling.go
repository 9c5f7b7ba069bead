package bench

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// filling puts a cluster's objects into its etcd.
type filling struct {
	layout *layout
	writer *writer
	pods   int            // written so far, without mirrors
	next   int            // the worker that the next pod goes to
	used   map[string]int // addresses that pods have, by node
}

// fill writes all objects. The API server does not run yet.
func fill(ctx context.Context, f *fleet, commit func(context.Context, []clientv3.Op) error) (*filling, error) {
	out := &filling{layout: f.layout, writer: newWriter(ctx, commit), used: map[string]int{}}
	err := out.system(f.hosts)
	if err == nil {
		err = out.workload()
	}
	// A transaction that failed is why the rest could not be written, and comes first.
	return out, cmp.Or(out.writer.close(), err)
}

// read gives an object of the add-ons its Go type.
func read[T any](o *unstructured.Unstructured) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return out, nil
}

// oldSets are how many ReplicaSets of earlier revisions a Deployment keeps.
const oldSets = 2

// deployment writes a Deployment as its controller leaves it: with its present
// ReplicaSet, older ones, and its pods on workers.
func (f *filling) deployment(d *appsv1.Deployment) error {
	n := *d.Spec.Replicas
	d.UID, d.Generation = uuid.NewUUID(), 1
	d.Annotations = map[string]string{"deployment.kubernetes.io/revision": strconv.Itoa(oldSets + 1)}
	d.ManagedFields = managed("kubectl-client-side-apply", fieldsOfWorkload, "kube-controller-manager", fieldsOfWorkloadStatus)
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: 1, Replicas: n, ReadyReplicas: n, AvailableReplicas: n, UpdatedReplicas: n,
		Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable", LastUpdateTime: f.writer.now, LastTransitionTime: f.writer.now}},
	}
	if err := f.writer.put(d); err != nil {
		return err
	}
	for revision := 1; revision <= oldSets+1; revision++ {
		set := f.replicaSet(d, revision)
		if err := f.writer.put(set); err != nil {
			return err
		}
		if *set.Spec.Replicas == 0 {
			continue
		}
		owner := controlledBy("ReplicaSet", set.Name, set.UID)
		for i := range n {
			name := set.Name + "-" + suffix(int(i))
			if err := f.podOnWorker(f.pod(set.Namespace, name, owner, &set.Spec.Template)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replicaSet is the one of a revision; those before the last have no replicas.
func (f *filling) replicaSet(d *appsv1.Deployment, revision int) *appsv1.ReplicaSet {
	hash := digits(fmt.Sprintf("%s-%s-%d", d.Namespace, d.Name, revision), 10)
	n := int32(0)
	if revision > oldSets {
		n = *d.Spec.Replicas
	}
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, UID: uuid.NewUUID(), Labels: with(d.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash),
			Annotations:     map[string]string{"deployment.kubernetes.io/revision": strconv.Itoa(revision), "deployment.kubernetes.io/desired-replicas": strconv.Itoa(int(n))},
			OwnerReferences: controlledBy("Deployment", d.Name, d.UID), Generation: 1,
			ManagedFields: managed("kube-controller-manager", fieldsOfWorkload, "kube-controller-manager", fieldsOfWorkloadStatus),
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: with(d.Spec.Selector.MatchLabels, appsv1.DefaultDeploymentUniqueLabelKey, hash)}, Template: *d.Spec.Template.DeepCopy()},
		Status: appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: n, ReadyReplicas: n, AvailableReplicas: n, FullyLabeledReplicas: n},
	}
	set.Spec.Template.Labels = set.Labels
	return set
}

// daemonSet writes a DaemonSet with a pod on every node.
func (f *filling) daemonSet(d *appsv1.DaemonSet) error {
	n := int32(len(f.layout.places))
	d.UID, d.Generation = uuid.NewUUID(), 1
	d.Status = appsv1.DaemonSetStatus{
		ObservedGeneration: 1, CurrentNumberScheduled: n, DesiredNumberScheduled: n, NumberReady: n, NumberAvailable: n, UpdatedNumberScheduled: n,
	}
	if err := f.writer.put(d); err != nil {
		return err
	}
	template := d.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels, "controller-revision-hash", digits(d.Name, 10))
	owner := controlledBy("DaemonSet", d.Name, d.UID)
	for i := range f.layout.places {
		p := &f.layout.places[i]
		pod := f.pod(d.Namespace, d.Name+"-"+suffix(i), owner, template)
		pod.Spec.Affinity = onNode(p.name) // as its controller writes it
		if err := f.bind(pod, p); err != nil {
			return err
		}
	}
	return nil
}

// podOnWorker gives a pod to the next worker in turn, so that pods of one controller
// are on different nodes and in all zones.
func (f *filling) podOnWorker(pod *corev1.Pod) error {
	workers := f.layout.workers()
	p := &workers[f.next%len(workers)]
	f.next++
	return f.bind(pod, p)
}

// bind writes a pod that runs on a node and is ready.
func (f *filling) bind(pod *corev1.Pod, p *place) error {
	pod.Spec.NodeName = p.name
	ip := p.ip
	if !pod.Spec.HostNetwork {
		f.used[p.name]++
		a := p.pods.Addr().As4()
		a[3] = byte(f.used[p.name] + 1)
		ip = netip.AddrFrom4(a).String()
	}
	now := f.writer.now
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: p.ip, HostIPs: []corev1.HostIP{{IP: p.ip}}, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &now, QOSClass: corev1.PodQOSBurstable,
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	yes := true
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:" + digits(c.Image, 64), ContainerID: "containerd://" + digits(pod.Name+c.Name, 64),
			Ready: true, Started: &yes, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	f.pods++
	return f.writer.put(pod)
}

// pod is one of a controller, as the API server completes it.
func (f *filling) pod(namespace, name string, owner []metav1.OwnerReference, template *corev1.PodTemplateSpec) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations, OwnerReferences: owner,
			ManagedFields: managed("kube-controller-manager", fieldsOfPod, "kubelet", fieldsOfPodStatus),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	const patience = 300
	grace, links, expires, mode, seconds := int64(30), true, int64(3607), corev1.ProjectedVolumeSourceDefaultMode, int64(patience)
	policy, priority := corev1.PreemptLowerPriority, priorities[pod.Spec.PriorityClassName]
	s := &pod.Spec
	s.RestartPolicy, s.TerminationGracePeriodSeconds, s.SchedulerName, s.EnableServiceLinks = corev1.RestartPolicyAlways, &grace, corev1.DefaultSchedulerName, &links
	s.PreemptionPolicy, s.Priority, s.SecurityContext = &policy, &priority, &corev1.PodSecurityContext{}
	if s.DNSPolicy == "" {
		s.DNSPolicy = corev1.DNSClusterFirst
	}
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = "default"
	}
	s.DeprecatedServiceAccount = s.ServiceAccountName
	token := "kube-api-access-" + digits(name, 5)
	s.Volumes = append(s.Volumes, corev1.Volume{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &expires}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
		},
	}}})
	for i := range s.Containers {
		c := &s.Containers[i]
		c.ImagePullPolicy, c.TerminationMessagePath, c.TerminationMessagePolicy = corev1.PullIfNotPresent, corev1.TerminationMessagePathDefault, corev1.TerminationMessageReadFile
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: token, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
	}
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		s.Tolerations = append(s.Tolerations, corev1.Toleration{Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds})
	}
	return pod
}

// priorities are those of the classes that every cluster has.
var priorities = map[string]int32{"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}

// onNode is the affinity that a DaemonSet's controller gives its pods.
func onNode(name string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name}}}}},
	}}}
}

func controlledBy(kind, name string, uid types.UID) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uid, Controller: &yes, BlockOwnerDeletion: &yes}}
}

func with(labels map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range labels {
		out[k] = v
	}
	return out
}

// suffix is the end of a pod's name: another one for each i.
func suffix(i int) string {
	const odd, mask = 0x9e375, 0xfffff // times an odd number is one to one
	return fmt.Sprintf("%05x", i*odd&mask)
}

// digits makes up n hexadecimal digits, up to 64, the same for the same text.
func digits(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:n]
}
