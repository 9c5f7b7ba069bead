package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Writer writes the manifests of one node as one kubeadm would.
type Writer struct {
	Kubeadm cluster.Minor
	Config  *Config
	Images  catalog.Images
	Node    string
	IP      string
}

// namedProbes is the minor whose kubeadm names the ports that probes ask, and, with
// newer libraries, leaves out creationTimestamp.
var namedProbes = cluster.Minor{Major: 1, Minor: 34}

// All are the manifests of the control plane by component, without etcd's.
func (w *Writer) All() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, pod := range map[string]*corev1.Pod{
		"kube-apiserver": w.apiServer(), "kube-controller-manager": w.controllerManager(), "kube-scheduler": w.scheduler(),
	} {
		text, err := w.render(pod)
		if err != nil {
			return nil, fmt.Errorf("manifest of %s: %w", name, err)
		}
		out[name] = text
	}
	return out, nil
}

// Etcd is etcd's manifest. Joined are the members, "cp-1=https://10.0.0.1:2380",
// that the node found when it joined; none on the first node, and none in what an
// upgrade writes.
func (w *Writer) Etcd(joined []string) ([]byte, error) {
	text, err := w.render(w.etcd(joined))
	if err != nil {
		return nil, fmt.Errorf("manifest of etcd: %w", err)
	}
	return text, nil
}

func (w *Writer) render(pod *corev1.Pod) ([]byte, error) {
	document, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		return nil, err
	}
	meta, _ := document["metadata"].(map[string]any)
	delete(meta, "creationTimestamp")
	if w.Kubeadm.Less(namedProbes) {
		meta["creationTimestamp"] = nil
	}
	document["status"] = map[string]any{}
	return yaml.Marshal(document)
}

// argument is a flag of a component.
type argument struct{ name, value string }

// command is a command line as kubeadm writes it: its own flags in order of names,
// the configuration's additions over them.
func command(program string, own, extra []argument) []string {
	own = slices.DeleteFunc(own, func(a argument) bool {
		return slices.ContainsFunc(extra, func(e argument) bool { return e.name == a.name })
	})
	slices.SortFunc(own, func(a, b argument) int { return cmp.Compare(a.name, b.name) })
	out := []string{program}
	for _, a := range append(own, extra...) {
		out = append(out, "--"+a.name+"="+a.value)
	}
	return out
}

func pairs(words ...string) []argument {
	var out []argument
	for i := 0; i+1 < len(words); i += 2 {
		out = append(out, argument{words[i], words[i+1]})
	}
	return out
}

// port is where a component answers probes.
type port struct {
	number int32
	scheme corev1.URIScheme
	host   string
}

func (w *Writer) probe(p port, path string, delay, failures, period int32) *corev1.Probe {
	number := intstr.FromInt32(p.number)
	if !w.Kubeadm.Less(namedProbes) {
		number = intstr.FromString("probe-port")
	}
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: p.host, Path: path, Port: number, Scheme: p.scheme}},

		InitialDelaySeconds: delay, TimeoutSeconds: 15, FailureThreshold: failures, PeriodSeconds: period,
	}
}

// container is a component with its probes; readiness may be empty.
func (w *Writer) container(name, image string, words []string, p port, live, ready, start string) corev1.Container {
	c := corev1.Container{
		Name: name, Image: image, Command: words, ImagePullPolicy: corev1.PullIfNotPresent,
		LivenessProbe: w.probe(p, live, 10, 8, 10), StartupProbe: w.probe(p, start, 10, 24, 10),
	}
	if ready != "" {
		c.ReadinessProbe = w.probe(p, ready, 0, 3, 1)
	}
	if !w.Kubeadm.Less(namedProbes) {
		c.Ports = []corev1.ContainerPort{{Name: "probe-port", ContainerPort: p.number, Protocol: corev1.ProtocolTCP}}
	}
	return c
}

func requests(c *corev1.Container, cpu, memory string) {
	c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	if memory != "" {
		c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse(memory)
	}
}

// mount is a path of the host that a component sees.
type mount struct {
	name, path string
	kind       corev1.HostPathType
	writable   bool
}

func pod(c corev1.Container, mounts []mount, annotations map[string]string) *corev1.Pod {
	priority := int32(2000001000)
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: c.Name, Namespace: metav1.NamespaceSystem, Annotations: annotations,
			Labels: map[string]string{"component": c.Name, "tier": "control-plane"},
		},
		Spec: corev1.PodSpec{
			Priority: &priority, PriorityClassName: "system-node-critical", HostNetwork: true,
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		},
	}
	for _, m := range mounts {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: m.name, MountPath: m.path, ReadOnly: !m.writable})
	}
	for _, m := range sorted(mounts) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: m.name, VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: m.path, Type: &m.kind},
		}})
	}
	p.Spec.Containers = []corev1.Container{c}
	return p
}

// sorted gives mounts by name.
func sorted(mounts []mount) []mount {
	return slices.SortedFunc(slices.Values(mounts), func(a, b mount) int { return cmp.Compare(a.name, b.name) })
}

// trust are the mounts that hold certificates.
func trust() []mount {
	const dir = corev1.HostPathDirectoryOrCreate
	return []mount{
		{"ca-certs", "/etc/ssl/certs", dir, false}, {"etc-ca-certificates", "/etc/ca-certificates", dir, false},
		{"k8s-certs", PKI, dir, false}, {"usr-local-share-ca-certificates", "/usr/local/share/ca-certificates", dir, false},
		{"usr-share-ca-certificates", "/usr/share/ca-certificates", dir, false},
	}
}

// Image is the image of the first container in a manifest; empty when there is none.
func Image(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if image, found := strings.CutPrefix(strings.TrimSpace(line), "image: "); found {
			return image
		}
	}
	return ""
}
