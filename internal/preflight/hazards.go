package preflight

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func hazardRules() []Rule {
	const (
		quota    = "https://etcd.io/docs/latest/op-guide/maintenance/#space-quota"
		upgrades = "https://etcd.io/docs/latest/upgrades/"
		known    = "the catalog of this kup: internal/catalog/data/hazards.yaml names the source of every row"
	)
	return []Rule{
		{"KUP-170", "etcd's store is below its quota where etcd does not tell it", Block, quota, checkManifestQuota},
		{"KUP-171", "etcd members run one version", Warn, upgrades, checkEtcdMixed},
		{"KUP-172", "etcd's pinned image is a release", Warn, "https://github.com/etcd-io/etcd/tree/main/CHANGELOG", checkPinnedRelease},
		{"KUP-173", "no etcd on the way loses data", Block, "https://github.com/etcd-io/etcd/tree/main/CHANGELOG", checkEtcdHazards},
		{"KUP-180", "no release on the way has a bug that bites during an upgrade", Warn, known, checkHazards},
		{"KUP-181", "containers that stay on a node keep running when its kubelet is replaced", Info, known, checkRestarts},
		{"KUP-190", "the present minor is at its newest patch", Info, skewPolicy + "#supported-component-upgrade-order", checkNewestPatch},
	}
}

// checkManifestQuota judges members older than 3.6, which do not say their quota,
// by their manifest.
func checkManifestQuota(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		state := in.Scan.HostStates[m.Node]
		if m.Quota > 0 || state == nil || state.EtcdManifest == nil {
			continue
		}
		quota, by := state.EtcdManifest.Quota, "--quota-backend-bytes"
		if quota <= 0 {
			quota, by = cluster.DefaultEtcdQuota, "etcd's default"
		}
		m.ManifestQuota = quota
		if full, _ := m.Full(in.Defragment); full <= cluster.EtcdNearlyFull {
			continue
		}
		out = append(out, Finding{
			Object: "etcd member " + m.Name,
			Why:    fmt.Sprintf("its store takes %s of %s (%s); when it is full, nothing can be written any more", bytes(uint64(m.DBSize)), bytes(uint64(quota)), by),
			Fix:    "compact and defragment, one member at a time and none while another catches up: etcdctl --endpoints=<this member> defrag, or etcd.defragment: true in the inventory; or raise the quota in kubeadm's configuration",
		})
	}
	return out
}

func checkEtcdMixed(in Input) []Finding {
	names := map[cluster.Version][]string{}
	for _, m := range in.Facts.Etcd.Members {
		if !m.Version.IsZero() {
			names[m.Version] = append(names[m.Version], m.Name)
		}
	}
	if len(names) < 2 {
		return nil
	}
	var running []string
	for v, members := range names {
		running = append(running, fmt.Sprintf("%s (%s)", v, strings.Join(members, ", ")))
	}
	slices.Sort(running)
	return []Finding{{Object: "etcd", Why: "its members run " + strings.Join(running, " and "), Fix: "an earlier upgrade of etcd may not have ended: the plan brings the old members along; where they differ by more than a patch, find out first why it stopped"}}
}

var testRelease = regexp.MustCompile(`-(alpha|beta|rc)\b`)

func checkPinnedRelease(in Input) []Finding {
	tag := in.Facts.Kubeadm.EtcdImageTag
	if tag == "" {
		return nil
	}
	f := Finding{Object: "ConfigMap kube-system/kubeadm-config", Fix: "pin a release of etcd, such as 3.5.26-0, or remove etcd.local.imageTag"}
	switch _, err := catalog.TagVersion(tag); {
	case err != nil:
		f.Why = fmt.Sprintf("etcd.local.imageTag is %s, from which kup reads no version: what it plans for etcd may be wrong", tag)
	case testRelease.MatchString(tag):
		f.Why = fmt.Sprintf("etcd.local.imageTag is %s, which is a test release", tag)
	default:
		return nil
	}
	return []Finding{f}
}

// checkEtcdHazards warns of what runs, and stops before what would be moved to.
func checkEtcdHazards(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		for _, hazard := range in.Catalog.Hazards("etcd", m.Version) {
			out = append(out, Finding{
				Severity: Warn, Object: "etcd member " + m.Name, Why: fmt.Sprintf("it runs %s: %s", m.Version, hazard.Text),
				Fix: "compare the members before the upgrade (etcdctl endpoint hashkv --cluster), and do not stay at this release",
			})
		}
	}
	for _, s := range in.etcdSteps() {
		if s.to == s.running {
			continue
		}
		for _, hazard := range in.Catalog.Hazards("etcd", s.to) {
			out = append(out, Finding{Hop: s.name, Object: "etcd", Severity: Severity(hazard.Severity), Why: fmt.Sprintf("the hop brings %s: %s", s.to, hazard.Text), Fix: hazard.Fix})
		}
	}
	return out
}

func checkHazards(in Input) []Finding {
	var out []Finding
	for _, h := range in.hops() {
		for _, component := range []string{"kubeadm", "kube-apiserver", "kubelet"} {
			for _, hazard := range in.Catalog.Hazards(component, h.to) {
				for _, object := range in.objectsOf(hazard.When, h) {
					out = append(out, Finding{Hop: h.name, Severity: Severity(hazard.Severity), Object: strings.TrimSpace(component + " " + h.to.String() + object), Why: hazard.Text, Fix: hazard.Fix + " (" + hazard.Source + ")"})
				}
			}
		}
	}
	return out
}

// objectsOf are what a hazard hits in a hop, as the end of a finding's object; none
// when its condition does not hold, or was not observed.
func (in Input) objectsOf(when catalog.When, h hop) []string {
	nodes := func(hit func(seen) bool) []string {
		var out []string
		for _, s := range in.seenHosts() {
			if hit(s) {
				out = append(out, " on "+s.Name)
			}
		}
		return out
	}
	holds := false
	switch when {
	case catalog.Always:
		holds = true
	case catalog.WhenAggregatedAPIs:
		holds = len(in.Facts.APIServices) > 0
	case catalog.WhenSingleMemberMoves:
		holds = len(in.Facts.Etcd.Members) == 1 && slices.ContainsFunc(in.etcdSteps(), func(s etcdStep) bool { return s.hop == h && s.to != s.running })
	case catalog.WhenNoKubeletFlags:
		return nodes(func(s seen) bool {
			return s.state.KubeadmFlags != nil && len(s.state.KubeadmFlags) == 0 && !s.state.InstanceConfig
		})
	case catalog.WhenNoKubeletFlagsLeft:
		return nodes(func(s seen) bool {
			return s.state.KubeadmFlags != nil && !slices.ContainsFunc(s.state.KubeadmFlags, func(flag string) bool { return flag != "container-runtime-endpoint" })
		})
	case catalog.WhenWorkerNamedOtherwise:
		return nodes(func(s seen) bool {
			return s.Role == cluster.Worker && s.state.Hostname != "" && s.state.Hostname != s.Name
		})
	}
	if holds {
		return []string{""}
	}
	return nil
}

func checkRestarts(in Input) []Finding {
	var out []Finding
	for _, h := range in.hops() {
		if r, restarts := in.Catalog.Restart(h.to.Line()); restarts && h.from.Line() != h.to.Line() {
			out = append(out, Finding{Hop: h.name, Object: "kubelet " + h.to.String(), Why: r.Text, Fix: "expect one restart of these containers on each node, when its kubelet is replaced"})
		}
	}
	return out
}

// checkNewestPatch asks for what the skew policy recommends: the present minor's
// newest patch before the next minor.
func checkNewestPatch(in Input) []Finding {
	hops := in.hops()
	if len(hops) == 0 || hops[0].from.IsZero() || hops[0].from.Line() == hops[0].to.Line() {
		return nil
	}
	from := hops[0].from
	offered := in.Facts.Available[from.Line().String()]
	if len(offered) == 0 {
		return nil
	}
	newest := slices.MaxFunc(offered, cluster.Version.Compare)
	if newest.Line() != from.Line() || !from.Less(newest) {
		return nil
	}
	return []Finding{{Object: "control plane", Why: fmt.Sprintf("it runs %s, and the package source has %s: the policy recommends the newest patch of a minor before the next", from, newest), Fix: fmt.Sprintf("kup apply --to %s first", newest)}}
}
