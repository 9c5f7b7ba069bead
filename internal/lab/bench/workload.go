package bench

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/uuid"
)

const (
	// perNamespace is how many workloads a namespace has.
	perNamespace = 15
	// statefulEvery: of so many workloads, one is a StatefulSet.
	statefulEvery = 5
	// volumesEvery: of so many StatefulSets, one has volumes.
	volumesEvery = 2
	// releasesPerNamespace are Helm's.
	releasesPerNamespace = 2
)

// sizes are the replicas of one workload after the other, 30 in the mean.
var sizes = []int{2, 3, 5, 10, 20, 40, 60, 100}

// workload writes Deployments and StatefulSets with all that belongs to them until
// the cluster has its pods.
func (f *filling) workload() error {
	for i := 0; ; i++ {
		mirrors := controlPlanes * staticPods
		left := f.layout.pods - f.pods - mirrors
		if left <= 0 {
			return nil
		}
		a := &app{index: i, replicas: int32(min(sizes[i%len(sizes)], left, len(f.layout.workers())/2)), namespace: fmt.Sprintf("team-%03d", i/perNamespace)}
		if i%perNamespace == 0 {
			if err := f.namespace(a.namespace); err != nil {
				return err
			}
		}
		if err := f.app(a); err != nil {
			return fmt.Errorf("%s/%s: %w", a.namespace, a.name(), err)
		}
	}
}

func (f *filling) namespace(name string) error {
	n := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name, "team": name}},
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
	objects := []object{
		n, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": filler(1100)}},
	}
	for i := range releasesPerNamespace {
		release, err := helmRelease(name, i)
		if err != nil {
			return err
		}
		objects = append(objects, release)
	}
	return f.putAll(objects...)
}

func (f *filling) putAll(objects ...object) error {
	for _, o := range objects {
		if err := f.writer.put(o); err != nil {
			return err
		}
	}
	return nil
}

// app is one workload.
type app struct {
	index     int
	namespace string
	replicas  int32
}

func (a *app) name() string { return fmt.Sprintf("app-%04d", a.index) }

func (a *app) stateful() bool { return a.index%statefulEvery == statefulEvery-1 }

func (a *app) hasVolumes() bool {
	return a.stateful() && a.index/statefulEvery%volumesEvery == 0
}

func (a *app) labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": a.name(), "app.kubernetes.io/part-of": a.namespace, "app.kubernetes.io/managed-by": "Helm"}
}

func (a *app) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": a.name()}}
}

func (a *app) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: a.namespace, Name: a.name(), Labels: a.labels()}
}

// app writes a workload with its Service, configuration and budget.
func (f *filling) app(a *app) error {
	objects := []object{
		&corev1.ConfigMap{ObjectMeta: a.meta(), Data: map[string]string{"settings.yaml": filler(2000)}},
		&corev1.Secret{ObjectMeta: a.meta(), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"password": []byte(filler(40)), "tls.key": []byte(filler(1600))}},
		f.service(a), f.slice(a),
	}
	if b := a.budget(); b != nil {
		b.Status.CurrentHealthy, b.Status.ExpectedPods, b.Status.ObservedGeneration = a.replicas, a.replicas, b.Generation
		objects = append(objects, b)
	}
	if err := f.putAll(objects...); err != nil {
		return err
	}
	template := a.template()
	if a.stateful() {
		return f.statefulSet(a, template)
	}
	return f.deployment(&appsv1.Deployment{
		ObjectMeta: a.meta(), Spec: appsv1.DeploymentSpec{Replicas: &a.replicas, Selector: a.selector(), Template: template},
	})
}

// template is the workload's pod: every third spreads softly over the zones, every
// sixth must, every seventh keeps its pods on different nodes.
func (a *app) template() corev1.PodTemplateSpec {
	amounts := requests([]string{"25m", "50m", "100m", "200m"}[a.index%4], []string{"64Mi", "128Mi", "256Mi", "512Mi"}[a.index/4%4])
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(8080), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		}
	}
	main := corev1.Container{
		Name: "main", Image: "registry.example.com/" + a.namespace + "/" + a.name() + ":v1.4.2", Resources: amounts,
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		ReadinessProbe: probe("/ready"), LivenessProbe: probe("/healthy"),
		VolumeMounts: []corev1.VolumeMount{{Name: "settings", MountPath: "/etc/app"}, {Name: "scratch", MountPath: "/tmp"}},
	}
	for i := range 8 {
		main.Env = append(main.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: filler(24)})
	}
	spec := corev1.PodSpec{
		Containers: []corev1.Container{main},
		Volumes: []corev1.Volume{
			{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: a.name()}}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
	if a.index%4 == 1 {
		spec.Containers = append(spec.Containers, corev1.Container{Name: "proxy", Image: "registry.example.com/mesh/proxy:v1.22.0", Resources: requests("10m", "32Mi")})
	}
	spread := corev1.TopologySpreadConstraint{MaxSkew: 2, TopologyKey: corev1.LabelTopologyZone, LabelSelector: a.selector(), WhenUnsatisfiable: corev1.ScheduleAnyway}
	switch {
	case a.index%6 == 0:
		spread.WhenUnsatisfiable = corev1.DoNotSchedule
		fallthrough
	case a.index%3 == 0:
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{spread}
	}
	if a.index%7 == 0 {
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: a.selector()},
		}}}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: a.labels(), Annotations: map[string]string{"checksum/config": digits(a.name(), 64)}}, Spec: spec}
}

// budget is that of every third workload; nil: none.
func (a *app) budget() *policyv1.PodDisruptionBudget {
	if a.index%3 != 0 || a.replicas < 2 {
		return nil
	}
	quarter := intstr.FromString("25%")
	b := &policyv1.PodDisruptionBudget{ObjectMeta: a.meta(), Spec: policyv1.PodDisruptionBudgetSpec{Selector: a.selector(), MaxUnavailable: &quarter}}
	b.Generation, b.Status.DisruptionsAllowed = 1, (a.replicas+3)/4 // rounded up
	if a.index%2 == 0 {
		least := intstr.FromInt32(a.replicas - 1)
		b.Spec.MaxUnavailable, b.Spec.MinAvailable, b.Status.DisruptionsAllowed = nil, &least, 1
	}
	b.Status.DesiredHealthy = a.replicas - b.Status.DisruptionsAllowed
	return b
}

func (f *filling) service(a *app) *corev1.Service {
	ip := fmt.Sprintf("10.96.%d.%d", 1+a.index/250, 1+a.index%250)
	single, cluster := corev1.IPFamilyPolicySingleStack, corev1.ServiceInternalTrafficPolicyCluster
	return &corev1.Service{ObjectMeta: a.meta(), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Selector: a.selector().MatchLabels, SessionAffinity: corev1.ServiceAffinityNone,
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: &single, InternalTrafficPolicy: &cluster,
		Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
}

func (f *filling) slice(a *app) *discoveryv1.EndpointSlice {
	name, port, tcp, yes := "http", int32(8080), corev1.ProtocolTCP, true
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: a.namespace, Name: a.name() + "-" + digits(a.name(), 5), Labels: map[string]string{discoveryv1.LabelServiceName: a.name()}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	for i := range min(a.replicas, 100) {
		w := f.layout.workers()
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.240.%d.%d", a.index%250, i+1)}, NodeName: &w[int(i)%len(w)].name, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
		})
	}
	return s
}

// statefulSet writes a StatefulSet with its pods, and their volumes where it has
// some.
func (f *filling) statefulSet(a *app, template corev1.PodTemplateSpec) error {
	set := &appsv1.StatefulSet{ObjectMeta: a.meta(), Spec: appsv1.StatefulSetSpec{Replicas: &a.replicas, Selector: a.selector(), Template: template, ServiceName: a.name(), PodManagementPolicy: appsv1.OrderedReadyPodManagement}}
	set.UID, set.Generation = uuid.NewUUID(), 1
	revision := a.name() + "-" + digits(a.name(), 10)
	set.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: 1, Replicas: a.replicas, ReadyReplicas: a.replicas, AvailableReplicas: a.replicas, CurrentReplicas: a.replicas, UpdatedReplicas: a.replicas,
		CurrentRevision: revision, UpdateRevision: revision,
	}
	if a.hasVolumes() {
		set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{*claim(a, "data")}
	}
	if err := f.writer.put(set); err != nil {
		return err
	}
	owner := controlledBy("StatefulSet", set.Name, set.UID)
	for i := range a.replicas {
		name := fmt.Sprintf("%s-%d", a.name(), i)
		t := template.DeepCopy()
		t.Labels = with(with(t.Labels, appsv1.StatefulSetPodNameLabel, name), "controller-revision-hash", revision)
		pod := f.pod(a.namespace, name, owner, t)
		if a.hasVolumes() {
			zone := f.layout.workers()[f.next%len(f.layout.workers())].zone
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + name}}})
			if err := f.volume(claim(a, "data-"+name), zone); err != nil {
				return err
			}
		}
		if err := f.podOnWorker(pod); err != nil {
			return err
		}
	}
	return nil
}

func claim(a *app, name string) *corev1.PersistentVolumeClaim {
	class, mode := storageClass, corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: name, Labels: a.labels()},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class, VolumeMode: &mode,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
		},
	}
}

// volume writes a claim and the volume it is bound to, which can be reached from one
// zone.
func (f *filling) volume(c *corev1.PersistentVolumeClaim, zone string) error {
	c.UID = uuid.NewUUID()
	size := c.Spec.Resources.Requests
	c.Spec.VolumeName = "pvc-" + string(c.UID)
	c.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: c.Spec.AccessModes, Capacity: size}
	return f.putAll(c, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: c.Spec.VolumeName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: c.Spec.AccessModes, Capacity: size, StorageClassName: storageClass, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete, VolumeMode: c.Spec.VolumeMode,
			ClaimRef:               &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: c.Namespace, Name: c.Name, UID: c.UID},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: csiDriver, VolumeHandle: digits(c.Spec.VolumeName, 17), FSType: "ext4"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}}},
			}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	})
}
