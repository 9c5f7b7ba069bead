package catalog

import (
	"fmt"
	"regexp"

	"github.com/kup-project/kup/pkg/cluster"
)

// Behaviour is something that a minor's components do and others do not.
type Behaviour string

// The behaviours.
const (
	// NoDockershim: the kubelet does not speak to Docker itself.
	NoDockershim Behaviour = "no-dockershim"
	// RefusesCgroupV1: the kubelet does not start on cgroup v1 unless failCgroupV1
	// is false.
	RefusesCgroupV1 Behaviour = "refuses-cgroup-v1"
	// DefaultsToSystemdCgroups: kubeadm sets an empty cgroupDriver to systemd.
	DefaultsToSystemdCgroups Behaviour = "defaults-to-systemd-cgroups"
	// CollectsSandboxImage: the kubelet spares the sandbox image only where the
	// runtime pins it.
	CollectsSandboxImage Behaviour = "collects-sandbox-image"
	// KubeadmCallsCrictl: kubeadm looks for images with crictl on control planes.
	KubeadmCallsCrictl Behaviour = "kubeadm-calls-crictl"
	// RefusesStaticPodReferences: the kubelet does not run a static pod that refers
	// to objects of the API.
	RefusesStaticPodReferences Behaviour = "refuses-static-pod-references"
)

type behaviourRow struct {
	Range
	Name   Behaviour `json:"name"`
	Source string    `json:"source"`
}

type kernelRow struct {
	Range
	Releases []string `json:"releases"`
	Accepts  string   `json:"accepts"`
	Source   string   `json:"source"`
	patterns []*regexp.Regexp
}

type runtimeRow struct {
	Range
	Runtime string          `json:"runtime"`
	AtLeast cluster.Version `json:"atLeast"`
	Source  string          `json:"source"`
}

func (c *Catalog) loadHazardsOfHosts() error {
	var file struct {
		Behaviours []behaviourRow `json:"behaviours"`
		Kernels    []kernelRow    `json:"kernels"`
		Runtimes   []runtimeRow   `json:"runtimes"`
		Drivers    []runtimeRow   `json:"drivers"`
	}
	if err := read("hazards_hosts", &file); err != nil {
		return err
	}
	for i := range file.Kernels {
		for _, release := range file.Kernels[i].Releases {
			pattern, err := regexp.Compile(release)
			if err != nil {
				return fmt.Errorf("catalog: data/hazards_hosts.yaml: kernels of %s: %w", file.Kernels[i].From, err)
			}
			file.Kernels[i].patterns = append(file.Kernels[i].patterns, pattern)
		}
	}
	c.behaviours, c.kernels, c.runtimes, c.drivers = file.Behaviours, file.Kernels, file.Runtimes, file.Drivers
	return nil
}

// Behaves tells whether the components of a minor do that.
func (c *Catalog) Behaves(b Behaviour, m cluster.Minor) bool {
	for _, row := range c.behaviours {
		if row.Name == b && row.Holds(m) {
			return true
		}
	}
	return false
}

// KernelRefused tells whether kubeadm of a minor refuses to upgrade on a kernel
// release, and in words which it accepts.
func (c *Catalog) KernelRefused(release string, m cluster.Minor) (accepts string, refused bool) {
	for _, row := range c.kernels {
		if !row.Holds(m) {
			continue
		}
		for _, pattern := range row.patterns {
			if pattern.MatchString(release) {
				return row.Accepts, false
			}
		}
		return row.Accepts, true
	}
	return "", false
}

// RuntimeTooOld tells whether a runtime's release lacks the interface that the
// kubelet of a minor asks for, and which release has it.
func (c *Catalog) RuntimeTooOld(runtime string, v cluster.Version, m cluster.Minor) (atLeast cluster.Version, old bool) {
	for _, row := range c.runtimes {
		if row.Runtime == runtime && row.Holds(m) && v.Less(row.AtLeast) {
			return row.AtLeast, true
		}
	}
	return cluster.Version{}, false
}

// TellsDriver tells whether a runtime's release says its cgroup driver to a kubelet
// of a minor, which then does not use its own.
func (c *Catalog) TellsDriver(runtime string, v cluster.Version, kubelet cluster.Minor) bool {
	for _, row := range c.drivers {
		if row.Runtime == runtime && row.Holds(kubelet) && !v.Less(row.AtLeast) {
			return true
		}
	}
	return false
}
