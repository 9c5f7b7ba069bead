package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// maxPrepare bounds how many workers fetch at once: the package source and the
// registry are shared by all.
const maxPrepare = 16

// prepare is everything that leaves the running cluster as it is: the snapshot
// first, so that it exists before anything else happens. It is laid out last,
// for the nodes that the other stages touch.
func (h *hopBuilder) prepare() []plan.Stage {
	line := h.to.Line().String()
	snapshot := reads(h.step(plan.KindSnapshot, plan.Prepare, "", "snapshot", "snapshot", h.policy.Snapshots.title()))
	snapshot.Args["hop"] = line
	store := h.healthyStore()
	if h.defragments {
		store = []plan.GateID{"etcd-healthy"} // the quota is judged when the store is as small as it can be
	}
	snapshot = h.gated(snapshot, h.storeGates(store...), nil)
	baseline := reads(h.step(plan.KindBaseline, plan.Prepare, "", "baseline", "baseline", "record workloads, pods, restarts, certificates, the objects of the add-ons and the API's schema"))
	baseline.Args["hop"] = line
	// What the hop asks for later must hold without it: a gate that this cluster never
	// passes is found out here, and not when half of it has moved.
	baseline = h.gated(baseline, nil, append([]plan.GateID{"apiservers-ready", "admission-available"}, h.dnsGates()...))

	var rehearsal plan.Lane
	if rehearse, ok := h.rehearse(); ok {
		rehearsal = plan.Lane{rehearse}
	}
	var controlPlanes, workers []plan.Lane
	for _, n := range h.state.nodes {
		restorable := h.restorable(n)
		switch {
		case !h.touched[n.Name] && len(restorable) == 0:
		case !h.touched[n.Name]:
			controlPlanes = append(controlPlanes, restorable)
		case n.Role == cluster.ControlPlane:
			controlPlanes = append(controlPlanes, append(h.prepareNode(n), restorable...))
		default:
			workers = append(workers, h.prepareNode(n))
		}
	}
	return staged(plan.Prepare, one(plan.Lane{snapshot}), one(rehearsal),
		one(controlPlanes...),        // unpacking images starves the API server and etcd beside it
		one(h.prepareEtcdHosts()...), // a download takes disk and network from the member
		atMost(maxPrepare, workers...), one(plan.Lane{baseline}))
}

func (h *hopBuilder) prepareNode(n *nodeState) plan.Lane {
	backup := h.backup(plan.Prepare, n, "backup", h.to.Line().String(), "back up kubeadm's, the kubelet's and the runtime's files and the package state")
	names, what := []string{"kubeadm", "kubelet", "kubectl"}, "kubeadm, kubelet and kubectl"
	if h.waiting[n.Name] {
		names, what = waitingPackages, "kubeadm and kubectl"
	}
	fetch := reads(h.step(plan.KindFetch, plan.Prepare, n.Name, "fetch", "fetch", "download "+what+" "+h.revision))
	fetch.Args = h.packageArgs(n, names...)
	images := h.nodeImages(n)
	if h.raise != nil && h.raise.low[n.Name] {
		images = append(images, h.raise.image)
	}
	pull := h.imagesStep(plan.Prepare, n, "images", "images", fmt.Sprintf("pull %d images", len(images)), images)
	return plan.Lane{backup, fetch, pull}
}

// backup keeps a node's files under a name that is the hop's, or begins with it.
func (h *hopBuilder) backup(stage plan.StageName, n *nodeState, name, under, title string) plan.Step {
	s := reads(h.step(plan.KindBackup, stage, n.Name, name, "backup", title))
	s.Args["hop"] = under
	s.Args["paths"] = strings.Join(backupPaths(h.policy.Packages), "\n")
	s.Args["exclude"] = "/etc/kubernetes/tmp" // kubeadm's own copies, whole data directories of etcd among them
	return s
}

// kubeletPaths say how the kubelet is started.
func kubeletPaths() []string {
	return []string{
		"/var/lib/kubelet/config.yaml",
		"/var/lib/kubelet/instance-config.yaml",
		"/var/lib/kubelet/kubeadm-flags.env",
		"/etc/default/kubelet",
		"/etc/sysconfig/kubelet",
		"/etc/systemd/system/kubelet.service",
		"/etc/systemd/system/kubelet.service.d",
		"/usr/lib/systemd/system/kubelet.service.d",
	}
}

// backupPaths are what kubeadm, the packages and whoever repairs a node by hand may
// change on it. A path that does not exist on a node is none of its files.
func backupPaths(p Packages) []string {
	paths := append([]string{"/etc/kubernetes"}, kubeletPaths()...) // static pods, kubeconfigs, keys
	paths = append(paths, "/etc/containerd", "/etc/crio", "/etc/docker", "/etc/crictl.yaml")
	switch p.Manager {
	case "apt":
		paths = append(paths, "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/preferences.d", "/etc/apt/keyrings")
	case "dnf":
		paths = append(paths, "/etc/yum.repos.d", "/etc/dnf/plugins", "/etc/yum/pluginconf.d")
	}
	inside := func(dir string) bool { return p.RepositoryFile == dir || strings.HasPrefix(p.RepositoryFile, dir+"/") }
	if p.RepositoryFile != "" && !slices.ContainsFunc(paths, inside) {
		paths = append(paths, p.RepositoryFile)
	}
	return paths
}

// storeGates keeps gates that ask etcd's members out of clusters whose members
// kup does not see.
func (h *hopBuilder) storeGates(ids ...plan.GateID) []plan.GateID {
	if len(h.state.members()) == 0 && len(h.state.external) == 0 {
		return nil
	}
	return ids
}

// pinned tells whether the cluster pins etcd's image itself.
func pinned(f *cluster.Facts) bool { return f.Kubeadm.EtcdImageTag != "" }
