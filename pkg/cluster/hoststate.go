package cluster

import "time"

// HostState is what an upgrade depends on of a machine and its system. A zero or
// nil field was not observed, unless it says otherwise.
type HostState struct {
	// Hostname is the kernel's name of the machine in lower case, as uname -n gives it.
	Hostname string
	Clock    *Clock
	// Cgroup is the version of the cgroup hierarchy at /sys/fs/cgroup: 1 or 2.
	Cgroup int
	// Swap is true when /proc/swaps lists a device or file.
	Swap *bool
	// Kubelet is the configuration on the host, from /var/lib/kubelet/config.yaml.
	Kubelet *KubeletSettings
	// NextKubelet is the cluster's, from the ConfigMap kubelet-config: kubeadm writes
	// it over the host's in every hop. Only control planes know it.
	NextKubelet *KubeletSettings
	// KubeletFlags are the fields that the kubelet's flags set: they win over both.
	KubeletFlags KubeletSettings
	// KubeadmFlags are the names of the flags in /var/lib/kubelet/kubeadm-flags.env;
	// empty when the file has none, nil when it was not seen.
	KubeadmFlags []string
	// InstanceConfig is true when /var/lib/kubelet/instance-config.yaml exists.
	InstanceConfig bool
	Unit           *Unit
	// CgroupDriver is the runtime's: systemd or cgroupfs.
	CgroupDriver string
	// SandboxPinned tells whether the runtime keeps its sandbox image from being
	// collected as unused.
	SandboxPinned *bool
	// Crictl is true when the program is on root's PATH.
	Crictl *bool
	// FileSystems are those that an upgrade fills, by path.
	FileSystems map[string]FileSystem
	// ImagePath is the one of them that holds the runtime's images.
	ImagePath string
	// IPv4Forward and IPv6Forward tell whether the kernel forwards packets.
	IPv4Forward, IPv6Forward *bool
	// RebootRequired is true when the system asks for a reboot.
	RebootRequired bool
	// PackageManagers are the programs at work on the package database, empty when
	// it is free.
	PackageManagers []string
	// HalfInstalled are packages that dpkg did not finish; Interrupted is true when
	// dpkg was stopped in the middle of a run.
	HalfInstalled []string
	Interrupted   bool
	AutoUpgrade   *AutoUpgrade // nil: none
	// StaticPodRefs are the static pod manifests that refer to objects of the API,
	// by path.
	StaticPodRefs []string
	// EtcdManifest is nil where no etcd runs as a static pod.
	EtcdManifest *EtcdManifest
}

// Clock is a host's clock measured against that of the machine kup runs on.
type Clock struct {
	// Ahead is the host's time minus kup's, at one moment.
	Ahead time.Duration
	// Within is how far off Ahead may be: half of what the round trip took.
	Within time.Duration
}

// KubeletSettings are the fields of a KubeletConfiguration that decide whether the
// kubelet starts on a host and when it evicts. A nil field is not set.
type KubeletSettings struct {
	CgroupDriver string
	FailSwapOn   *bool
	FailCgroupV1 *bool
	// EvictionHard are thresholds by signal, as written: nodefs.available to 10%.
	// Nil: the kubelet's own.
	EvictionHard map[string]string
}

// Unit is the kubelet's systemd unit, in systemd's words.
type Unit struct {
	Active  string // active, activating, failed
	Sub     string // running, auto-restart
	Enabled string // enabled, disabled
}

// FileSystem is one as df shows it.
type FileSystem struct {
	Mount              string
	Size, Free         uint64 // bytes
	Inodes, FreeInodes uint64 // Inodes is 0 where the file system does not count them
}

// AutoUpgrade is a service that upgrades the machine by itself.
type AutoUpgrade struct {
	Name    string // unattended-upgrades, dnf-automatic
	Reboots bool   // it reboots the machine when it thinks that is needed
}

// EtcdManifest is what is read of etcd's static pod manifest.
type EtcdManifest struct {
	// Quota is --quota-backend-bytes, in bytes; 0: etcd's own default.
	Quota int64
	// Defaulted is true when the manifest spells out defaults of the API, as kubeadm
	// 1.28.0 to 1.28.2 wrote it.
	Defaulted bool
	// DataDirectory and WALDirectory are --data-dir and --wal-dir; empty: not given.
	DataDirectory, WALDirectory string
}
