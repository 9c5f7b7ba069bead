package hollow

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// Facts are what a cluster has become, as its hosts, its etcd and its objects say
// it, not kup. Two clusters that went the same way have equal facts, whenever and
// however often interrupted they did.
type Facts struct {
	Hosts []HostFacts `json:"hosts"`
	// Etcd are the members' versions.
	Etcd map[string]string `json:"etcd"`
	// Objects are the digests of what lasts of each object; Pods are counted.
	Objects map[string]string    `json:"objects"`
	Pods    map[string]PodsFacts `json:"pods"`
}

// HostFacts are those of one host and its node.
type HostFacts struct {
	Name string       `json:"name"`
	Role cluster.Role `json:"role"`
	// Kubelet is the release that runs; Packages and Held are dpkg's.
	Kubelet  string            `json:"kubelet"`
	Packages map[string]string `json:"packages"`
	Held     []string          `json:"held,omitempty"`
	// Runs are the images of the static pods, by component.
	Runs map[string]string `json:"runs,omitempty"`
	// Files are digests of kubeadm's and the kubelet's files.
	Files map[string]string `json:"files"`
	// Images are those in the runtime.
	Images []string `json:"images"`
	// Renewed are the certificates that expire later than when the cluster
	// started.
	Renewed  []string `json:"renewed,omitempty"`
	Ready    bool     `json:"ready"`
	Cordoned bool     `json:"cordoned"`
}

// Components names what runs on a control plane, for people.
func (h HostFacts) Components() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(h.Runs)) {
		_, tag, _ := strings.Cut(path.Base(h.Runs[name]), ":")
		out = append(out, strings.TrimPrefix(name, "kube-")+" "+tag)
	}
	return strings.Join(out, ", ")
}

// Lacks says what the host lacks to be at the minor and in service.
func (h HostFacts) Lacks(minor cluster.Minor) []string {
	var out []string
	is := func(what, version string) {
		v, err := cluster.ParseVersion(version)
		if err != nil || v.Line() != minor {
			out = append(out, fmt.Sprintf("%s: %s is %s, not %s", h.Name, what, version, minor))
		}
	}
	is("kubelet", h.Kubelet)
	for _, name := range []string{"kubeadm", "kubelet", "kubectl"} {
		version, _, _ := strings.Cut(h.Packages[name], "-")
		is("package "+name, version)
		if !slices.Contains(h.Held, name) {
			out = append(out, fmt.Sprintf("%s: package %s is not held", h.Name, name))
		}
	}
	for name, image := range h.Runs {
		if name != "etcd" {
			_, tag, _ := strings.Cut(path.Base(image), ":")
			is(name, tag)
		}
	}
	if h.Cordoned {
		out = append(out, h.Name+": cordoned")
	}
	if !h.Ready {
		out = append(out, h.Name+": not ready")
	}
	return out
}
