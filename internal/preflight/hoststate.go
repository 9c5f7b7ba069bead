package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func hostStateRules() []Rule {
	const (
		pressure  = "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds"
		container = "https://kubernetes.io/docs/setup/production-environment/container-runtimes/"
		apt       = "https://manpages.debian.org/bookworm/dpkg/dpkg-query.1.en.html"
	)
	return []Rule{
		{"KUP-090", "the kubelet of every hop starts on the host's cgroups", Block, "https://github.com/kubernetes/kubernetes/pull/134298", checkCgroup},
		{"KUP-091", "kubeadm of every hop accepts the host's kernel", Block, "https://github.com/kubernetes/kubernetes/pull/129401", checkKernel},
		{"KUP-092", "the kubelet of every hop can talk to the runtime", Block, "https://kubernetes.io/docs/concepts/architecture/cri/", checkRuntime},
		{"KUP-093", "kubelet and runtime use one cgroup driver", Warn, container + "#cgroup-drivers", checkCgroupDriver},
		{"KUP-094", "the kubelet starts again with the host's swap", Block, "kubernetes pkg/kubelet/cm/container_manager_linux.go, NewContainerManager", checkSwap},
		{"KUP-095", "the kubelet's unit does not fail and starts with the host", Block, "kubernetes cmd/kubeadm/app/preflight/checks.go, ServiceCheck", checkUnit},
		{"KUP-096", "the file systems that an upgrade fills have inodes left", Warn, pressure, checkInodes},
		{"KUP-097", "no host is under disk pressure", Warn, pressure, checkDiskPressure},
		{"KUP-098", "the clocks of the hosts agree", Warn, "etcd server/etcdserver/api/rafthttp/probing_status.go: a drift above one second is logged", checkClocks},
		{"KUP-099", "no host waits for a reboot", Info, "https://www.debian.org/doc/debian-policy/ch-opersys.html#signaling-that-a-reboot-is-required", checkReboot},
		{"KUP-100", "nobody else installs packages", Warn, "https://manpages.debian.org/bookworm/apt/apt-get.8.en.html", checkManagers},
		{"KUP-101", "dpkg has finished what it began", Block, apt, checkHalfInstalled},
		{"KUP-102", "no host upgrades or reboots by itself", Info, "https://wiki.debian.org/UnattendedUpgrades", checkAutoUpgrade},
		{"KUP-103", "the runtime's sandbox image survives the kubelet's garbage collection", Warn, "https://github.com/containerd/containerd/pull/7944", checkSandbox},
		{"KUP-104", "crictl is where kubeadm calls it", Block, "https://github.com/kubernetes/kubernetes/pull/124685", checkCrictl},
		{"KUP-105", "the hosts forward packets", Warn, container + "#prerequisite-ipv4-forwarding-optional", checkForwarding},
		{"KUP-106", "static pods refer to no object of the API", Block, "https://github.com/kubernetes/kubernetes/pull/131837", checkStaticPodReferences},
		{"KUP-107", "etcd's manifest spells out no defaults", Warn, "https://github.com/kubernetes/kubeadm/issues/2927", checkEtcdManifest},
	}
}

// seen is a node whose system was looked at.
type seen struct {
	*cluster.Node
	state *cluster.HostState
}

// seenHosts are the nodes of the cluster whose system was looked at.
func (in Input) seenHosts() []seen {
	var out []seen
	for _, n := range in.nodes() {
		if state := in.Scan.HostStates[n.Name]; state != nil {
			out = append(out, seen{n, state})
		}
	}
	return out
}

// begins gives the hop that brings a behaviour to a node's kubelet; false when none
// does, or when the kubelet lives with it already.
func (in Input) begins(b catalog.Behaviour, n *cluster.Node) (hop, bool) {
	if n.Kubelet.IsZero() || in.Catalog.Behaves(b, n.Kubelet.Line()) {
		return hop{}, false
	}
	for _, h := range in.hops() {
		if in.Catalog.Behaves(b, h.to.Line()) {
			return h, true
		}
	}
	return hop{}, false
}

// nextKubelet is the configuration that kubeadm writes over every node's; nil when
// no control plane could tell.
func (in Input) nextKubelet() *cluster.KubeletSettings {
	for _, s := range in.seenHosts() {
		if s.state.NextKubelet != nil {
			return s.state.NextKubelet
		}
	}
	return nil
}

// kubeletSettings are those the kubelet of a node starts with in a hop: the
// cluster's, or the node's own where a patch may keep it apart or the cluster's is
// not known. Flags win. False: nothing is known.
func (in Input) kubeletSettings(s seen) (cluster.KubeletSettings, bool) {
	of := s.state.Kubelet
	if next := in.nextKubelet(); next != nil && in.PatchesDir == "" {
		of = next
	}
	if of == nil {
		return cluster.KubeletSettings{}, false
	}
	return underFlags(*of, s.state.KubeletFlags), true
}

func underFlags(k, flags cluster.KubeletSettings) cluster.KubeletSettings {
	k.CgroupDriver = cmp.Or(flags.CgroupDriver, k.CgroupDriver)
	k.FailSwapOn = cmp.Or(flags.FailSwapOn, k.FailSwapOn)
	k.FailCgroupV1 = cmp.Or(flags.FailCgroupV1, k.FailCgroupV1)
	if flags.EvictionHard != nil {
		k.EvictionHard = flags.EvictionHard
	}
	return k
}

// runtimeOf splits what a node registered with: containerd://1.6.20~ds1. The version
// is zero when it is none.
func runtimeOf(n *cluster.Node) (name string, v cluster.Version) {
	name, release, _ := strings.Cut(n.Runtime, "://")
	if end := strings.IndexFunc(release, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		release = release[:end]
	}
	v, err := cluster.ParseVersion(release)
	if err != nil {
		return name, cluster.Version{}
	}
	return name, v
}

// someOf names up to five nodes, and how many more there are.
func someOf(names []string) string {
	const most = 5
	names = slices.Sorted(slices.Values(names))
	what := "nodes "
	if len(names) == 1 {
		what = "node "
	}
	if len(names) <= most {
		return what + strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s%s and %d more", what, strings.Join(names[:most], ", "), len(names)-most)
}
