package preflight

import (
	"testing"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

func yes() *bool { v := true; return &v }

func no() *bool { v := false; return &v }

// sound is what a healthy modern host says of itself.
func sound(n *cluster.Node) *cluster.HostState {
	return &cluster.HostState{
		Hostname: n.Name, Clock: &cluster.Clock{Ahead: 40 * time.Millisecond, Within: 90 * time.Millisecond}, Cgroup: 2, Swap: no(),
		Kubelet:      &cluster.KubeletSettings{CgroupDriver: "systemd"},
		KubeadmFlags: []string{"container-runtime-endpoint", "pod-infra-container-image"},
		Unit:         &cluster.Unit{Active: "active", Sub: "running", Enabled: "enabled"},
		CgroupDriver: "systemd", SandboxPinned: yes(), Crictl: yes(),
		FileSystems: map[string]cluster.FileSystem{
			"/var/lib/kubelet":    {Mount: "/", Size: 100 << 30, Free: 60 << 30, Inodes: 6 << 20, FreeInodes: 5 << 20},
			"/var/lib/containerd": {Mount: "/", Size: 100 << 30, Free: 60 << 30, Inodes: 6 << 20, FreeInodes: 5 << 20},
		},
		ImagePath: "/var/lib/containerd", IPv4Forward: yes(), IPv6Forward: no(),
	}
}

// lookedAt gives every node a sound system.
func lookedAt(in *Input) {
	in.Scan.HostStates = map[string]*cluster.HostState{}
	for i := range in.Facts.Nodes {
		n := &in.Facts.Nodes[i]
		s := sound(n)
		if n.Role == cluster.ControlPlane {
			s.EtcdManifest = &cluster.EtcdManifest{}
			s.NextKubelet = &cluster.KubeletSettings{CgroupDriver: "systemd"}
		}
		in.Scan.HostStates[n.Name] = s
	}
}

// everyHost changes all hosts.
func everyHost(f func(*cluster.Node, *cluster.HostState)) func(*Input) {
	return func(in *Input) {
		lookedAt(in)
		for i := range in.Facts.Nodes {
			n := &in.Facts.Nodes[i]
			f(n, in.Scan.HostStates[n.Name])
		}
	}
}

// oneHost changes a single one.
func oneHost(name string, f func(*cluster.Node, *cluster.HostState)) func(*Input) {
	return everyHost(func(n *cluster.Node, s *cluster.HostState) {
		if n.Name == name {
			f(n, s)
		}
	})
}

// and does one change after the other.
func and(changes ...func(*Input)) func(*Input) {
	return func(in *Input) {
		for _, change := range changes {
			change(in)
		}
	}
}

// going moves the cluster to a version and sends it along a path.
func going(from, etcd string, to ...string) func(*Input) {
	return func(in *Input) {
		at(in, from, etcd)
		in.Path = path(to...)
	}
}

// ignoring has kubeadm told to ignore a check of its own.
func ignoring(check string) func(*Input) {
	return func(in *Input) { in.IgnorePreflightErrors = []string{check} }
}

func hostStateCases() []ruleCase {
	type (
		node  = cluster.Node
		state = cluster.HostState
	)
	cgroupV1 := func(_ *node, s *state) { s.Cgroup = 1 }
	return []ruleCase{
		{"KUP-090", "cgroup v1 into 1.35", and(oneHost("w-1", cgroupV1), going("v1.33.13", "v3.5.26", "v1.34.4", "v1.35.4", "v1.36.3"))},
		{"KUP-090", "cgroup v1 allowed, and kubeadm not told", and(
			oneHost("w-1", func(_ *node, s *state) { s.Cgroup, s.KubeletFlags.FailCgroupV1 = 1, no() }), going("v1.34.4", "v3.6.5", "v1.35.4"),
		)},
		{"KUP-090", "only the node's own file allows it", and(oneHost("w-1", func(_ *node, s *state) { s.Cgroup, s.Kubelet.FailCgroupV1 = 1, no() }), going("v1.34.4", "v3.6.5", "v1.35.4"))},
		{"KUP-091", "RHEL 8 into 1.33", and(oneHost("cp-2", func(n *node, _ *state) { n.Kernel = "4.18.0-553.el8_10.x86_64" }), going("v1.32.13", "v3.5.24", "v1.33.13", "v1.34.4"))},
		{"KUP-092", "Docker into 1.24", and(oneHost("w-1", func(n *node, _ *state) {
			n.Runtime, n.CRISocket = "docker://20.10.24", "/var/run/dockershim.sock"
		}), going("v1.23.17", "v3.5.6", "v1.24.17"), func(in *Input) { in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta3" })},
		{"KUP-092", "containerd 1.5 into 1.26", and(oneHost("w-1", func(n *node, _ *state) { n.Runtime = "containerd://1.5.9-0ubuntu3" }),
			going("v1.25.16", "v3.5.9", "v1.26.15", "v1.27.16"), func(in *Input) { in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta3" })},
		{"KUP-093", "two drivers", oneHost("w-1", func(_ *node, s *state) { s.CgroupDriver = "cgroupfs" })},
		{"KUP-093", "kubeadm sets the other into 1.22", and(oneHost("w-1", func(_ *node, s *state) {
			s.CgroupDriver, s.Kubelet.CgroupDriver = "cgroupfs", ""
		}), going("v1.21.14", "v3.4.13", "v1.22.17"), func(in *Input) {
			in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta2"
			for _, s := range in.Scan.HostStates {
				s.NextKubelet = nil
			}
		})},
		{"KUP-094", "swap on", oneHost("w-1", func(_ *node, s *state) { s.Swap = yes() })},
		{"KUP-095", "a kubelet that fails", oneHost("w-1", func(_ *node, s *state) { s.Unit.Active, s.Unit.Sub = "activating", "auto-restart" })},
		{"KUP-095", "a kubelet that is disabled", oneHost("w-1", func(_ *node, s *state) { s.Unit.Enabled = "disabled" })},
		{"KUP-096", "few inodes", oneHost("w-1", func(_ *node, s *state) {
			for path, at := range s.FileSystems {
				at.FreeInodes = 1000
				s.FileSystems[path] = at
			}
		})},
		{"KUP-097", "by the kubelet's defaults", oneHost("w-1", func(_ *node, s *state) {
			s.FileSystems["/var/lib/containerd"] = cluster.FileSystem{Mount: "/images", Size: 100 << 30, Free: 14 << 30}
		})},
		{"KUP-097", "by thresholds of its own", oneHost("w-1", func(_ *node, s *state) {
			s.Kubelet.EvictionHard = map[string]string{"nodefs.available": "70%", "imagefs.available": "1Gi"}
		})},
		{"KUP-097", "by a flag", oneHost("w-1", func(_ *node, s *state) {
			s.KubeletFlags.EvictionHard = map[string]string{"imagefs.available": "65%"}
		})},
		{"KUP-098", "etcd's clocks apart", oneHost("cp-3", func(_ *node, s *state) { s.Clock.Ahead = -1500 * time.Millisecond })},
		{"KUP-098", "a worker's clock", oneHost("w-1", func(_ *node, s *state) { s.Clock.Ahead = 2 * time.Minute })},
		{"KUP-098", "kup's own clock", everyHost(func(_ *node, s *state) { s.Clock.Ahead = -time.Hour })},
		{"KUP-099", "a reboot is due", everyHost(func(_ *node, s *state) { s.RebootRequired = true })},
		{"KUP-100", "apt-get at work", oneHost("w-1", func(_ *node, s *state) {
			s.PackageManagers, s.HalfInstalled, s.Interrupted = []string{"apt-get", "dpkg"}, []string{"linux-image-amd64"}, true
		})},
		{"KUP-101", "half configured", oneHost("w-1", func(_ *node, s *state) { s.HalfInstalled = []string{"containerd", "linux-image-amd64"} })},
		{"KUP-101", "interrupted", oneHost("w-1", func(_ *node, s *state) { s.Interrupted = true })},
		{"KUP-102", "upgrades by itself", everyHost(func(n *node, s *state) {
			s.AutoUpgrade = &cluster.AutoUpgrade{Name: "unattended-upgrades", Reboots: n.Name == "w-2"}
		})},
		{"KUP-103", "collected now", oneHost("w-1", func(n *node, s *state) { s.SandboxPinned, n.Host.ImageDiskUsedPercent = no(), 80 })},
		{"KUP-103", "collected from 1.29 on", and(oneHost("w-1", func(n *node, s *state) {
			s.SandboxPinned, n.Host.ImageDiskUsedPercent, n.Host.SandboxImage = no(), 90, "registry.k8s.io/pause:3.9"
		}), going("v1.28.15", "v3.5.15", "v1.29.15"))},
		{"KUP-104", "no crictl below 1.31", and(everyHost(func(_ *node, s *state) { s.Crictl = no() }), going("v1.29.15", "v3.5.16", "v1.30.14", "v1.31.14"))},
		{"KUP-105", "IPv4 is not forwarded", oneHost("w-1", func(_ *node, s *state) { s.IPv4Forward = no() })},
		{"KUP-105", "IPv6 is not forwarded", oneHost("w-1", func(n *node, _ *state) { n.Address = "fd00::31" })},
		{"KUP-106", "a static pod with a Secret", oneHost("w-1", func(_ *node, s *state) { s.StaticPodRefs = []string{"/etc/kubernetes/manifests/vip.yaml"} })},
		{"KUP-107", "defaults in etcd's manifest", and(oneHost("cp-1", func(_ *node, s *state) { s.EtcdManifest.Defaulted = true }), going("v1.34.4", "v3.6.11", "v1.35.4"))},
	}
}

// TestSoundHosts: what is well gives no finding, on any hop of the present.
func TestSoundHosts(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"modern":         func(*Input) {},
		"three hops":     going("v1.33.13", "v3.5.26", "v1.34.4", "v1.35.4", "v1.36.3"),
		"nothing to say": func(in *Input) { in.Scan.HostStates["w-1"] = &cluster.HostState{} },
		"no path":        func(in *Input) { in.Path = nil },
		// What the lab's nodes are: containers on cgroup v1, containerd 1.6, a runtime that
		// pins nothing, every threshold out of the way.
		"containers": and(everyHost(func(n *cluster.Node, s *cluster.HostState) {
			lab := &cluster.KubeletSettings{CgroupDriver: "cgroupfs", FailSwapOn: no(), FailCgroupV1: no(), EvictionHard: map[string]string{"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"}}
			n.Runtime, n.Kernel, n.Host.ImageDiskUsedPercent = "containerd://1.6.20~ds1", "6.18.44", 53
			s.Cgroup, s.CgroupDriver, s.Kubelet, s.SandboxPinned, s.Swap = 1, "cgroupfs", lab, no(), yes()
			if n.Role == cluster.ControlPlane {
				s.NextKubelet = lab
			}
		}), func(in *Input) { in.Facts.Kubeadm.ImageGCPercent = 100 }, ignoring("SystemVerification"), going("v1.33.13", "v3.5.26", "v1.34.4", "v1.35.4", "v1.36.3")),
		"cri-dockerd": everyHost(func(n *cluster.Node, _ *cluster.HostState) {
			n.Runtime, n.CRISocket = "docker://24.0.7", "unix:///var/run/cri-dockerd.sock"
		}),
		"a flag allows cgroup v1":                      and(oneHost("w-1", func(_ *cluster.Node, s *cluster.HostState) { s.Cgroup, s.KubeletFlags.FailCgroupV1 = 1, no() }), going("v1.34.4", "v3.6.5", "v1.35.4"), ignoring("systemverification")),
		"an old kernel that kubeadm is told to ignore": and(oneHost("w-1", func(n *cluster.Node, _ *cluster.HostState) { n.Kernel = "4.18.0-553.el8.x86_64" }), going("v1.32.13", "v3.5.26", "v1.33.13"), ignoring("all")),
		"the runtime tells its driver": oneHost("w-1", func(n *cluster.Node, s *cluster.HostState) {
			n.Runtime, s.CgroupDriver, s.Kubelet.CgroupDriver = "containerd://2.1.4", "systemd", ""
		}),
		"old clocks, long round trips": everyHost(func(n *cluster.Node, s *cluster.HostState) {
			s.Clock = &cluster.Clock{Within: 800 * time.Millisecond}
			if n.Name == "cp-1" {
				s.Clock.Ahead = 2 * time.Second
			}
		}),
	} {
		in := clean(t)
		lookedAt(&in)
		change(&in)
		for _, f := range Check(in) {
			if f.Rule >= "KUP-090" && f.Rule <= "KUP-109" || f.Rule >= "KUP-170" {
				t.Errorf("%s: %s", name, list([]Finding{f}))
			}
		}
	}
}
