package apiserver

import (
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func deploymentDefaults(d *appsv1.Deployment) {
	setPointer(&d.Spec.Replicas, 1)
	setPointer(&d.Spec.RevisionHistoryLimit, 10)
	setPointer(&d.Spec.ProgressDeadlineSeconds, 600)
	setDefault(&d.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		setPointer(&d.Spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setPointer(&d.Spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setPointer(&d.Spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	podDefaults(&d.Spec.Template.Spec)
}

func statefulSetDefaults(s *appsv1.StatefulSet) {
	setPointer(&s.Spec.Replicas, 1)
	setPointer(&s.Spec.RevisionHistoryLimit, 10)
	setDefault(&s.Spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	setDefault(&s.Spec.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType)
	if s.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		setPointer(&s.Spec.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
		setPointer(&s.Spec.UpdateStrategy.RollingUpdate.Partition, 0)
	}
	podDefaults(&s.Spec.Template.Spec)
}

func daemonSetDefaults(d *appsv1.DaemonSet) {
	setPointer(&d.Spec.RevisionHistoryLimit, 10)
	setDefault(&d.Spec.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if d.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setPointer(&d.Spec.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setPointer(&d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setPointer(&d.Spec.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	podDefaults(&d.Spec.Template.Spec)
}

func podDefaults(p *corev1.PodSpec) {
	setDefault(&p.RestartPolicy, corev1.RestartPolicyAlways)
	setDefault(&p.DNSPolicy, corev1.DNSClusterFirst)
	setDefault(&p.SchedulerName, corev1.DefaultSchedulerName)
	setPointer(&p.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	setPointer(&p.SecurityContext, corev1.PodSecurityContext{})
	for _, containers := range [][]corev1.Container{p.InitContainers, p.Containers} {
		for i := range containers {
			containerDefaults(&containers[i])
		}
	}
}

func containerDefaults(c *corev1.Container) {
	pull := corev1.PullIfNotPresent
	if _, tag, tagged := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":"); !tagged || tag == "latest" {
		pull = corev1.PullAlways
	}
	setDefault(&c.ImagePullPolicy, pull)
	setDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	setDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		setDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe == nil {
			continue
		}
		setDefault(&probe.TimeoutSeconds, 1)
		setDefault(&probe.PeriodSeconds, 10)
		setDefault(&probe.SuccessThreshold, 1)
		setDefault(&probe.FailureThreshold, 3)
		if probe.HTTPGet != nil {
			setDefault(&probe.HTTPGet.Path, "/")
			setDefault(&probe.HTTPGet.Scheme, corev1.URISchemeHTTP)
		}
	}
}

// newPod does what admission does to a pod that is created.
func newPod(p *corev1.Pod) {
	setDefault(&p.Status.Phase, corev1.PodPending)
	setDefault(&p.Status.QOSClass, qosClass(&p.Spec))
	setPointer(&p.Spec.EnableServiceLinks, true)
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return
	}
	setDefault(&p.Spec.ServiceAccountName, "default")
	setDefault(&p.Spec.DeprecatedServiceAccount, p.Spec.ServiceAccountName)
	setPointer(&p.Spec.PreemptionPolicy, corev1.PreemptLowerPriority)
	setPointer(&p.Spec.Priority, 0)
	const away = 300 // seconds that a pod stays on a node that is away
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !toleratesExecution(p.Spec.Tolerations, taint) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
				Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(away)),
			})
		}
	}
}

func toleratesExecution(tolerations []corev1.Toleration, taint string) bool {
	for _, t := range tolerations {
		if (t.Key == taint || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}

// qosClass tells pods that ask for nothing from those that ask for something;
// those that are guaranteed what they ask for are not told apart.
func qosClass(p *corev1.PodSpec) corev1.PodQOSClass {
	for _, c := range p.Containers {
		if len(c.Resources.Requests)+len(c.Resources.Limits) > 0 {
			return corev1.PodQOSBurstable
		}
	}
	return corev1.PodQOSBestEffort
}

func webhookDefaults(typed runtime.Object) {
	fill := func(policy **admissionv1.FailurePolicyType, match **admissionv1.MatchPolicyType, timeout **int32,
		namespaces, objects **metav1.LabelSelector, to *admissionv1.WebhookClientConfig, rules []admissionv1.RuleWithOperations) {
		setPointer(policy, admissionv1.Fail)
		setPointer(match, admissionv1.Equivalent)
		setPointer(timeout, 10)
		setPointer(namespaces, metav1.LabelSelector{})
		setPointer(objects, metav1.LabelSelector{})
		if to.Service != nil {
			setPointer(&to.Service.Port, 443)
		}
		for i := range rules {
			setPointer(&rules[i].Scope, admissionv1.AllScopes)
		}
	}
	switch o := typed.(type) {
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range o.Webhooks {
			w := &o.Webhooks[i]
			fill(&w.FailurePolicy, &w.MatchPolicy, &w.TimeoutSeconds, &w.NamespaceSelector, &w.ObjectSelector, &w.ClientConfig, w.Rules)
		}
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range o.Webhooks {
			w := &o.Webhooks[i]
			fill(&w.FailurePolicy, &w.MatchPolicy, &w.TimeoutSeconds, &w.NamespaceSelector, &w.ObjectSelector, &w.ClientConfig, w.Rules)
			setPointer(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
		}
	}
}
