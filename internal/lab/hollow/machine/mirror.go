package machine

import (
	"errors"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	annotationMirror = "kubernetes.io/config.mirror"
	annotationHash   = "kubernetes.io/config.hash"
	annotationSeen   = "kubernetes.io/config.seen"
	annotationSource = "kubernetes.io/config.source"
	labelComponent   = "component"
)

func isMirror(u *unstructured.Unstructured) bool {
	_, mirror := u.GetAnnotations()[annotationMirror]
	return mirror
}

func nodeOf(u *unstructured.Unstructured) string {
	node, _, _ := unstructured.NestedString(u.Object, "spec", "nodeName")
	return node
}

// Untold says what the kubelet has yet to do until the API tells of what runs here, and
// not of another time; empty: nothing. Until its first lease the node may be taken for
// dead any moment, with all its pods.
func (m *Machine) Untold(api Objects) (string, error) {
	v, on := m.told()
	if !on {
		return "", nil
	}
	if v.IsZero() {
		return "the kubelet has not looked yet", nil
	}
	want, err := m.manifests(v.Line())
	if err != nil {
		return "", err
	}
	for _, component := range slices.Sorted(maps.Keys(want)) {
		u, err := api.Get(resourcePods, systemNamespace, component+"-"+m.cfg.Name)
		if absent(err) != nil {
			return "", err
		}
		if u == nil || u.GetAnnotations()[annotationMirror] != want[component].hash {
			return "the mirror of " + component + " is not of its manifest", nil
		}
	}
	return "", nil
}

// mirror keeps in the API what runs here as static pods.
func (k *kubelet) mirror(api Objects, pods []*unstructured.Unstructured) error {
	node := k.m.cfg.Name
	want, err := k.m.manifests(k.version.Line())
	if err != nil {
		return err
	}
	have, err := selected[corev1.Pod](pods, func(u *unstructured.Unstructured) bool { return isMirror(u) && nodeOf(u) == node })
	if err != nil {
		return err
	}
	var errs []error
	there := map[string]*corev1.Pod{}
	for _, p := range have {
		component := strings.TrimSuffix(p.Name, "-"+node)
		if w, still := want[component]; !still || p.Annotations[annotationMirror] != w.hash || p.DeletionTimestamp != nil {
			errs = append(errs, absent(api.Remove(resourcePods, p.Namespace, p.Name, string(p.UID))))
			continue
		}
		there[component] = p
	}
	for component, w := range want {
		if there[component] == nil {
			errs = append(errs, k.createMirror(api, w))
			continue
		}
		if k.outdated(there[component], component) {
			errs = append(errs, absent(modify(api, resourcePods, systemNamespace, there[component].Name, func(p *corev1.Pod) { k.setStatic(p, component) })))
		}
	}
	return errors.Join(errs...)
}

func (k *kubelet) createMirror(api Objects, w wanted) error {
	p := w.pod.DeepCopy()
	component, node := p.Name, k.m.cfg.Name
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	p.Name += "-" + node
	p.Annotations = maps.Clone(p.Annotations)
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	maps.Copy(p.Annotations, map[string]string{
		annotationMirror: w.hash, annotationHash: w.hash, annotationSource: "file", annotationSeen: k.m.now().UTC().Format("2006-01-02T15:04:05.000000000Z07:00"),
	})
	p.Spec.NodeName = node
	p.Spec.Tolerations = []corev1.Toleration{{Effect: corev1.TaintEffectNoExecute, Operator: corev1.TolerationOpExists}}
	p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	if owner, err := api.Get(resourceNodes, "", node); err == nil {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: owner.GetUID(), Controller: &yes}}
	}
	k.setStatic(p, component)
	err := create(api, resourcePods, p)
	if apierrors.IsAlreadyExists(err) {
		k.soon()
		return nil
	}
	return err
}

// outdated tells whether a mirror shows something else than what runs.
func (k *kubelet) outdated(p *corev1.Pod, component string) bool {
	state := k.staticState(p, component)
	running := p.Status.Phase == corev1.PodRunning
	return running != state.running || isReady(p) != state.ready || len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].RestartCount != state.restarts
}

// setStatic writes a mirror's status.
func (k *kubelet) setStatic(p *corev1.Pod, component string) {
	k.m.setStatus(p, k.staticState(p, component))
}

// staticState is what runs of the manifest that the mirror shows: not what ran
// before it.
func (k *kubelet) staticState(p *corev1.Pod, component string) podState {
	run, runs := k.m.runtime.static(component)
	runs = runs && run.Hash == p.Annotations[annotationMirror]
	return podState{running: runs, ready: runs && k.m.staticReady(component), restarts: run.Restarts, ip: k.m.cfg.IP}
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// apiServers are the releases that API servers run, by node, as their mirrors say.
func apiServers(pods []*unstructured.Unstructured) (map[string]cluster.Version, error) {
	servers, err := selected[corev1.Pod](pods, func(u *unstructured.Unstructured) bool {
		return isMirror(u) && u.GetLabels()[labelComponent] == apiServer
	})
	if err != nil {
		return nil, err
	}
	out := map[string]cluster.Version{}
	for _, p := range servers {
		image := p.Spec.Containers[0].Image
		if v, err := cluster.ParseVersion(image[strings.LastIndex(image, ":")+1:]); err == nil {
			out[p.Spec.NodeName] = v
		}
	}
	return out, nil
}
