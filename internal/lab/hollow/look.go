package hollow

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
)

// Facts gives what the cluster has become.
func (c *Cluster) Facts() (*Facts, error) {
	objects := c.store.All()
	out := &Facts{Etcd: map[string]string{}}
	var err error
	if out.Objects, err = digests(objects, c.layout.Network); err != nil {
		return nil, err
	}
	if out.Pods, err = pods(objects); err != nil {
		return nil, err
	}
	for _, m := range c.etcd.Members() {
		out.Etcd[m.Name()] = m.Version()
	}
	for _, h := range c.hosts {
		f, err := c.look(h)
		if err != nil {
			return nil, fmt.Errorf("facts of %s: %w", h.Name, err)
		}
		out.Hosts = append(out.Hosts, f)
	}
	return out, nil
}

// look gives the facts of one host.
func (c *Cluster) look(h *host) (HostFacts, error) {
	f := h.machine.FS()
	out := HostFacts{Name: h.Name, Role: h.Role, Packages: map[string]string{}, Runs: map[string]string{}, Files: map[string]string{}}
	for _, name := range []string{"kubeadm", "kubelet", "kubectl", "cri-tools", "kubernetes-cni"} {
		version, err := debian.Version(f, name)
		if err != nil {
			return out, err
		}
		out.Packages[name] = version
	}
	var err error
	if out.Held, err = debian.Held(f); err != nil {
		return out, err
	}
	if err := h.lookAtFiles(&out); err != nil {
		return out, err
	}
	ends, err := expiries(f)
	if err != nil {
		return out, err
	}
	out.Renewed = later(ends, h.expires)
	out.Images = h.machine.Images()
	slices.Sort(out.Images)
	n, err := c.node(h.Name)
	if err != nil || n == nil {
		return out, err
	}
	out.Kubelet, out.Ready, out.Cordoned = n.Status.NodeInfo.KubeletVersion, nodeReady(n), n.Spec.Unschedulable
	return out, nil
}

// lookAtFiles digests kubeadm's and the kubelet's files and reads the manifests.
func (h *host) lookAtFiles(out *HostFacts) error {
	f := h.machine.FS()
	files := []string{manifest.KubeletConfig, manifest.KubeletFlags, manifest.KubeletInstance}
	entries, err := f.ReadDir(manifest.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		files = append(files, path.Join(manifest.Dir, e.Name()))
	}
	for _, name := range files {
		content, err := f.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		out.Files[name] = digest(renumbered(content, h.cluster.layout.Network, 0))
		if path.Dir(name) == manifest.Dir {
			out.Runs[strings.TrimSuffix(path.Base(name), ".yaml")] = manifest.Image(content)
		}
	}
	return nil
}

// node gives a node's object; nil when there is none.
func (c *Cluster) node(name string) (*corev1.Node, error) {
	u, err := c.store.Get(nodes, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := &corev1.Node{}
	return n, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, n)
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// isDNS tells whether an address is the DNS Service's or that of a pod behind it
// that is ready.
func (c *Cluster) isDNS(ip string) bool {
	if ip == manifest.DNSService {
		return true
	}
	all, err := c.store.List(corePods, "kube-system")
	if err != nil {
		return false
	}
	for _, u := range all {
		p := &corev1.Pod{}
		if u.GetLabels()["k8s-app"] == "kube-dns" && runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, p) == nil &&
			p.Status.PodIP == ip && ready(p) {
			return true
		}
	}
	return false
}

// services gives the address of each Service, as CoreDNS knows them.
func (c *Cluster) services() map[string]string {
	out := map[string]string{}
	all, err := c.store.List(services, "")
	if err != nil {
		return out
	}
	for _, u := range all {
		s := &corev1.Service{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s) == nil {
			out[s.Name+"."+s.Namespace] = s.Spec.ClusterIP
		}
	}
	return out
}
