package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func checkCgroup(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		k, known := in.kubeletSettings(s)
		h, begins := in.begins(catalog.RefusesCgroupV1, s.Node)
		if s.state.Cgroup != 1 || !known || !begins {
			continue
		}
		if k.FailCgroupV1 != nil && !*k.FailCgroupV1 {
			if !in.kubeadmIgnores(systemVerification) {
				out = append(out, Finding{
					Hop: h.name, Object: "node " + s.Name,
					Why: fmt.Sprintf("it uses cgroup v1, which its kubelet is told to accept, and kubeadm %s stops there nevertheless", h.name),
					Fix: "name SystemVerification under kubeadm.ignorePreflightErrors in kup.yaml; or boot it with cgroup v2 (kernel parameter systemd.unified_cgroup_hierarchy=1)",
				})
			}
			continue
		}
		out = append(out, Finding{
			Hop: h.name, Object: "node " + s.Name,
			Why: fmt.Sprintf("it uses cgroup v1, and the kubelet of %s does not start there unless failCgroupV1 is false", h.name),
			Fix: "boot it with cgroup v2 (kernel parameter systemd.unified_cgroup_hierarchy=1); or, for now, set failCgroupV1: false (kubectl -n kube-system edit configmap kubelet-config) and name SystemVerification under kubeadm.ignorePreflightErrors in kup.yaml",
		})
	}
	return out
}

// systemVerification is kubeadm's check of kernel and cgroups.
// Source: https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/preflight/checks.go
const systemVerification = "SystemVerification"

// kubeadmIgnores tells whether kubeadm is told to ignore its check of that name,
// as it reads the list: in any case, and "all" is every check.
func (in Input) kubeadmIgnores(check string) bool {
	return slices.ContainsFunc(in.IgnorePreflightErrors, func(s string) bool {
		return strings.EqualFold(s, check) || strings.EqualFold(s, "all")
	})
}

func checkKernel(in Input) []Finding {
	if in.kubeadmIgnores(systemVerification) {
		return nil
	}
	var out []Finding
	for _, n := range in.nodes() {
		for _, h := range in.hops() {
			accepts, refused := in.Catalog.KernelRefused(n.Kernel, h.to.Line())
			if n.Kernel == "" || !refused {
				continue
			}
			out = append(out, Finding{
				Hop: h.name, Object: "node " + n.Name,
				Why: fmt.Sprintf("its kernel is %s, and kubeadm %s upgrades on %s only", n.Kernel, h.name, accepts),
				Fix: "install a newer kernel and reboot the node; or name SystemVerification under kubeadm.ignorePreflightErrors in kup.yaml, which passes over its other findings too",
			})
			break
		}
	}
	return out
}

// checkRuntime looks for runtimes that a later kubelet does not speak to: Docker
// without cri-dockerd, and those whose CRI is too old.
func checkRuntime(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		name, v := runtimeOf(n)
		if h, begins := in.begins(catalog.NoDockershim, n); begins && name == "docker" && !strings.Contains(n.CRISocket, "cri-dockerd") {
			out = append(out, Finding{
				Hop: h.name, Object: "node " + n.Name, Why: fmt.Sprintf("its runtime is Docker, and the kubelet of %s has no way to talk to it", h.name),
				Fix: "move the node to containerd, or put cri-dockerd before Docker: https://kubernetes.io/docs/tasks/administer-cluster/migrating-from-dockershim/",
			})
			continue
		}
		for _, h := range in.hops() {
			atLeast, old := in.Catalog.RuntimeTooOld(name, v, h.to.Line())
			if v.IsZero() || !old {
				continue
			}
			out = append(out, Finding{
				Hop: h.name, Object: "node " + n.Name,
				Why: fmt.Sprintf("its runtime is %s %s, and the kubelet of %s asks for CRI v1, which comes with %s", name, v.Bare(), h.name, atLeast.Bare()),
				Fix: fmt.Sprintf("drain the node, bring %s to %s or newer and uncordon it, before the upgrade", name, atLeast.Bare()),
			})
			break
		}
	}
	return out
}

// defaultDriver is the kubelet's cgroupDriver when nothing sets it.
const defaultDriver = "cgroupfs"

func checkCgroupDriver(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		name, v := runtimeOf(s.Node)
		if s.state.CgroupDriver == "" || s.state.Kubelet == nil || in.Catalog.TellsDriver(name, v, s.Kubelet.Line()) {
			continue
		}
		f := Finding{Object: "node " + s.Name, Fix: "set the same in both: cgroupDriver in the ConfigMap kubelet-config and the runtime's own configuration (SystemdCgroup for containerd), node by node, each drained"}
		set := underFlags(*s.state.Kubelet, s.state.KubeletFlags).CgroupDriver
		if set == "" {
			set = defaultDriver
		}
		if set != s.state.CgroupDriver {
			f.Why = fmt.Sprintf("its kubelet uses %s and its runtime %s", set, s.state.CgroupDriver)
			out = append(out, f)
			continue
		}
		next, known := in.kubeletSettings(s)
		h, begins := in.begins(catalog.DefaultsToSystemdCgroups, s.Node)
		if known && begins && next.CgroupDriver == "" && s.state.CgroupDriver != "systemd" {
			f.Hop, f.Severity = h.name, Block
			f.Why = fmt.Sprintf("its runtime uses %s, cgroupDriver is not set, and kubeadm %s sets it to systemd: no new pod would start", s.state.CgroupDriver, h.name)
			f.Fix = fmt.Sprintf("set cgroupDriver: %s: kubectl -n kube-system edit configmap kubelet-config-%s", s.state.CgroupDriver, h.from.Line())
			out = append(out, f)
		}
	}
	return out
}

func checkSwap(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		k, known := in.kubeletSettings(s)
		if s.state.Swap == nil || !*s.state.Swap || !known || k.FailSwapOn != nil && !*k.FailSwapOn {
			continue
		}
		out = append(out, Finding{
			Object: "node " + s.Name, Why: "swap is on, and its kubelet does not start with swap: the next restart would be its last",
			Fix: "swapoff -a, and remove swap from /etc/fstab; or set failSwapOn: false: kubectl -n kube-system edit configmap kubelet-config",
		})
	}
	return out
}

func checkUnit(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		u := s.state.Unit
		if u == nil {
			continue
		}
		if u.Active == "failed" || u.Sub == "auto-restart" {
			out = append(out, Finding{Object: "kubelet.service on " + s.Name, Why: fmt.Sprintf("it does not stay up: systemd says %s (%s)", u.Active, u.Sub), Fix: "journalctl -u kubelet -n 50"})
		}
		if u.Enabled == "disabled" {
			out = append(out, Finding{Severity: Warn, Object: "kubelet.service on " + s.Name, Why: "it is disabled: after a reboot the node would not come back", Fix: "systemctl enable kubelet"})
		}
	}
	return out
}

func checkSandbox(in Input) []Finding {
	limit := in.Facts.Kubeadm.ImageGCPercent
	if limit == 0 {
		limit = defaultImageGC
	}
	var out []Finding
	for _, s := range in.seenHosts() {
		pinned := s.state.SandboxPinned
		if pinned == nil || *pinned || s.Host == nil || limit == 100 || s.Host.ImageDiskUsedPercent < limit-imageRoom || len(in.Path) == 0 {
			continue
		}
		f := Finding{
			Object: "node " + s.Name,
			Why:    fmt.Sprintf("its runtime does not pin the sandbox image %s, and its image disk is %d%% full: from %d%% on the kubelet may remove that image, and no pod starts without it", s.Host.SandboxImage, s.Host.ImageDiskUsedPercent, limit),
			Fix:    "make room for images (not with crictl rmi --prune, which removes the sandbox image too), or move to containerd 1.7.3 or newer, which pins it",
		}
		if !in.Catalog.Behaves(catalog.CollectsSandboxImage, s.Kubelet.Line()) {
			h, begins := in.begins(catalog.CollectsSandboxImage, s.Node)
			if !begins {
				continue
			}
			f.Hop = h.name
		}
		out = append(out, f)
	}
	return out
}

func checkCrictl(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		if s.state.Crictl == nil || *s.state.Crictl || s.Role != cluster.ControlPlane {
			continue
		}
		name, _ := runtimeOf(s.Node)
		for _, h := range in.hops() {
			if !in.Catalog.Behaves(catalog.KubeadmCallsCrictl, h.to.Line()) || name == "docker" {
				continue
			}
			out = append(out, Finding{
				Hop: h.name, Object: "node " + s.Name, Why: fmt.Sprintf("kubeadm %s looks for its images with crictl, which is not there", h.name),
				Fix: "install cri-tools",
			})
			break
		}
	}
	return out
}

func checkStaticPodReferences(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		h, begins := in.begins(catalog.RefusesStaticPodReferences, s.Node)
		if !begins {
			continue
		}
		for _, path := range s.state.StaticPodRefs {
			out = append(out, Finding{
				Hop: h.name, Object: path + " on " + s.Name,
				Why: fmt.Sprintf("this static pod refers to a Secret, a ConfigMap, a ServiceAccount or another object of the API, and the kubelet of %s does not run it", h.name),
				Fix: "put what it needs into files on the host (hostPath), or make it a DaemonSet",
			})
		}
	}
	return out
}

// checkEtcdManifest looks for defaults in etcd's manifest where a hop leaves etcd as
// it is: kubeadm then waits for a new hash of the pod, and the kubelet, which fills
// in the same defaults, gives none.
func checkEtcdManifest(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		if s.state.EtcdManifest == nil || !s.state.EtcdManifest.Defaulted {
			continue
		}
		for _, step := range in.etcdSteps() {
			if step.running != step.to {
				continue
			}
			out = append(out, Finding{
				Hop: step.name, Object: "/etc/kubernetes/manifests/etcd.yaml on " + s.Name,
				Why: "it spells out defaults of the API, as kubeadm 1.28.0 to 1.28.2 wrote it; where nothing else of it changes, kubeadm waits five minutes for a new pod that does not come and takes its work back",
				Fix: "remove the defaulted fields (schedulerName, dnsPolicy, restartPolicy, terminationMessagePath and their like): https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/",
			})
			break
		}
	}
	return out
}
