package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	changelogs  = "https://github.com/kubernetes/kubernetes/tree/master/CHANGELOG"
	gatesPage   = "https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates-removed/"
	flagsEnv    = "/var/lib/kubelet/kubeadm-flags.env"
	kubeletFile = "/var/lib/kubelet/config.yaml"
	encryption  = "https://kubernetes.io/docs/tasks/administer-cluster/kms-provider/"
)

func startupRules() []Rule {
	return []Rule{
		{"KUP-070", "no component is given a flag that it loses on the way", Block, changelogs, checkLostFlags},
		{"KUP-071", "no flag has a value that its component refuses on the way", Block, changelogs, checkFlagValues},
		{"KUP-072", "no feature gate is set that is removed on the way", Block, gatesPage, checkLostGates},
		{"KUP-073", "no feature gate is set against the value it is locked to on the way", Block, gatesPage, checkLockedGates},
		{"KUP-074", "no admission plugin is named that is removed on the way", Block, "kubernetes pkg/kubeapiserver/options/plugins.go of each minor", checkLostPlugins},
		{"KUP-075", "--runtime-config names no API version that is removed on the way", Block, "k8s.io/apiserver pkg/server/resourceconfig/helpers.go, MergeAPIResourceConfigs", checkRuntimeConfig},
		{"KUP-076", "configuration files are of a version that every minor on the way reads", Block, changelogs, checkFileVersions},
		{"KUP-077", "the kubelet is given the flags that it needs on the way", Block, "https://kubernetes.io/docs/tasks/administer-cluster/migrating-from-dockershim/", checkRequiredFlags},
		{"KUP-078", "no kms provider has a cache of size 0", Block, encryption, checkCacheSize},
		{"KUP-079", "no kms provider is of version 1 where that is switched off", Block, encryption, checkKMSVersion},
		{"KUP-080", "etcd is given no flag that it loses on the way", Block, "https://etcd.io/docs/latest/upgrades/", checkEtcdFlags},
		{"KUP-081", "kubeadm knows its own feature gates on the way", Info, "kubernetes cmd/kubeadm/app/features/features.go of each minor", checkKubeadmGates},
	}
}

// setting is a flag that a component is started with after a hop.
type setting struct {
	component string
	node      string // empty: all control planes, through kubeadm's configuration
	flag      cluster.Flag
	now       cluster.Version // what runs there, and takes the flag
	unsure    bool            // it may be an edit by hand that a hop takes away
}

// settings are the flags of all components. kubeadm writes the manifests of a
// control plane anew in every hop: flags that it does not find in its
// configuration or in a patch go away, and are left out here.
func (in Input) settings() []setting {
	var out []setting
	if args := in.clusterArgs(); args != nil {
		oldest, _ := in.apiServers()
		for _, c := range args.Components {
			for _, f := range c.Flags {
				out = append(out, setting{component: c.Name, flag: f, now: oldest})
			}
		}
	}
	for _, n := range in.nodes() {
		started := in.Scan.Startup[n.Name]
		if started == nil {
			continue
		}
		for _, c := range started.Components {
			for _, f := range c.Flags {
				s := setting{component: c.Name, node: n.Name, flag: f, now: in.running(n, c.Name)}
				from := in.origin(n, c.Name, f.Name)
				s.unsure = from == patched
				if from == passed || from == patched {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

const kubeletName = "kubelet"

// origin tells where a flag on a node comes from.
type origin int

const (
	passed     origin = iota // the kubelet's own: nothing writes it anew
	configured               // kubeadm's configuration
	patched                  // a patch, or an edit by hand that could not be told from one
	dropped                  // kubeadm does not write it again
)

func (in Input) origin(n *cluster.Node, component, flag string) origin {
	if component == kubeletName {
		return passed
	}
	args := in.clusterArgs()
	if args != nil {
		if c := args.Component(component); c != nil && c.Flag(flag) != nil {
			return configured
		}
		if in.PatchesDir == "" {
			return dropped
		}
	}
	if in.Catalog.WroteFlag(component, flag) || edited(n, "/etc/kubernetes/manifests/"+component+".yaml", "flag --"+flag+" ") {
		return dropped
	}
	return patched
}

// edited tells whether the survey found an edit by hand, which the next hop
// takes away.
func edited(n *cluster.Node, path, what string) bool {
	return n.Host != nil && slices.ContainsFunc(n.Host.HandEdits, func(e cluster.HandEdit) bool {
		return e.Path == path && strings.Contains(e.What+" ", what)
	})
}

// clusterArgs is the same on every control plane.
func (in Input) clusterArgs() *cluster.ClusterArgs {
	for _, n := range in.nodes() {
		if s := in.Scan.Startup[n.Name]; s != nil && s.Cluster != nil {
			return s.Cluster
		}
	}
	return nil
}

// running is the version of a component on a node.
func (in Input) running(n *cluster.Node, component string) cluster.Version {
	if component == kubeletName {
		return n.Kubelet
	}
	if pod := n.Static(component); pod != nil {
		return pod.Version
	}
	return cluster.Version{}
}

// bites gives the first hop that brings a setting's component to the minor: what
// runs there already has shown that it takes the setting.
func (in Input) bites(s setting, at cluster.Minor) (hop, bool) {
	if s.component == "etcd" {
		for _, step := range in.etcdSteps() {
			if step.running.Line().Less(at) && !step.to.Line().Less(at) {
				return step.hop, true
			}
		}
		return hop{}, false
	}
	return in.firstHop(s.now, at)
}

// firstHop gives the first hop to the minor or beyond, unless now is there.
func (in Input) firstHop(now cluster.Version, at cluster.Minor) (hop, bool) {
	for _, h := range in.hops() {
		from := now
		if from.IsZero() {
			from = h.from
		}
		if !from.Line().Less(at) {
			return hop{}, false
		}
		if !h.to.Line().Less(at) {
			return h, true
		}
	}
	return hop{}, false
}

// place says where a setting stands.
func (s setting) place() string {
	if s.node == "" && s.component != proxyName {
		return s.flag.Path + " of the ConfigMap kube-system/kubeadm-config"
	}
	return s.flag.Path
}

// fix says where and how to do something about a setting.
func (in Input) fix(s setting, do string) string {
	switch {
	case s.node == "":
		return fmt.Sprintf("kubectl -n kube-system edit configmap kubeadm-config, and in %s %s; then have the manifests written from it, on one control plane after the other: kubeadm upgrade node phase control-plane", s.flag.Path, do)
	case s.unsure && in.PatchesDir != "":
		return fmt.Sprintf("%s in the patches in %s, unless it was edited into the manifest by hand: then the hop takes it away", do, in.PatchesDir)
	case s.unsure:
		return fmt.Sprintf("if kubectl -n kube-system get configmap kubeadm-config -o yaml has it, %s there; else the hop takes it away", do)
	case strings.Contains(s.flag.Path, "/systemd/"):
		return fmt.Sprintf("in %s %s, then systemctl daemon-reload && systemctl restart kubelet", s.flag.Path, do)
	}
	return fmt.Sprintf("in %s %s, then systemctl restart kubelet", s.flag.Path, do)
}

// later says where to do what only a minor on the way makes possible.
func (in Input) later(h hop) string {
	if hops := in.hops(); len(hops) == 0 || h.from == hops[0].from {
		return ""
	}
	return fmt.Sprintf("; where %s does not know that yet, go to %s first and do it there", in.hops()[0].from.Line(), h.from.Line())
}

// hits gathers what is found on several nodes into one finding.
type hits struct {
	order []hit
	nodes map[hit][]string
}

type hit struct {
	component string
	finding   Finding
}

// add takes a finding about a setting, without its object.
func (h *hits) add(s setting, f Finding) {
	if s.unsure {
		f.Severity = Warn
	}
	if h.nodes == nil {
		h.nodes = map[hit][]string{}
	}
	key := hit{s.component, f}
	if _, there := h.nodes[key]; !there {
		h.order = append(h.order, key)
		h.nodes[key] = []string{}
	}
	if s.node != "" && !slices.Contains(h.nodes[key], s.node) {
		h.nodes[key] = append(h.nodes[key], s.node)
	}
}

// findings come in the order of hops.
func (h *hits) findings() []Finding {
	var out []Finding
	for _, key := range h.order {
		f := key.finding
		f.Object = key.component
		if nodes := h.nodes[key]; len(nodes) > 0 {
			f.Object += " on " + several(nodes)
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Hop, b.Hop) })
	return out
}

// several names a few and counts the rest.
func several(names []string) string {
	const shown = 6
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
