package preflight

import (
	"fmt"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func etcdRules() []Rule {
	const faq = "https://etcd.io/docs/latest/upgrades/"
	return []Rule{
		{"KUP-040", "etcd is at a patch from which the next minor is safe", Block, "https://etcd.io/blog/2025/zombie_members_upgrade", checkEtcdEdge},
		{"KUP-041", "every etcd member is healthy", Block, faq, checkMembers},
		{"KUP-042", "etcd has no alarm", Block, "https://etcd.io/docs/latest/op-guide/maintenance/", checkAlarms},
		{"KUP-043", "no etcd member is a learner", Block, faq, checkLearners},
		{"KUP-044", "etcd's image is not pinned", Warn, "kubernetes CHANGELOG-1.19: kubeadm respects the configured etcd version", checkPinned},
		{"KUP-045", "etcd goes up one minor at a time", Block, faq, checkEtcdMinors},
		{"KUP-046", "etcd can be brought to what the API server needs", Block, "kubernetes cmd/kubeadm/app/constants/constants.go, MinExternalEtcdVersion", checkEtcdMin},
		{"KUP-047", "every control plane has its etcd member", Block, faq, checkMemberNodes},
		{"KUP-048", "etcd's store is well below its quota", Block, "https://etcd.io/docs/latest/op-guide/maintenance/#space-quota", checkQuota},
		{"KUP-049", "an external etcd can be upgraded member by member", Block, "https://etcd.io/docs/latest/op-guide/maintenance/; what kup cannot snapshot and gate it does not upgrade", checkExternal},
	}
}

// oldestEtcd is the oldest member; zero when none was seen.
func (in Input) oldestEtcd() cluster.Version {
	var oldest cluster.Version
	for _, m := range in.Facts.Etcd.Members {
		if !m.Version.IsZero() && (oldest.IsZero() || m.Version.Less(oldest)) {
			oldest = m.Version
		}
	}
	return oldest
}

// etcdStep is what a hop does to etcd.
type etcdStep struct {
	hop
	minor       catalog.Minor
	running, to cluster.Version
	// edge is what the step from running to the target asks for first, when short.
	edge  catalog.Edge
	short bool
	// raised: the plan brings the members there before.
	raised bool
}

// leaves is the version that the members leave for the target's.
func (s etcdStep) leaves() cluster.Version {
	if s.raised {
		return s.edge.Raised()
	}
	return s.running
}

// etcdSteps follows etcd along the path: a hop brings what kubeadm of its target
// deploys, or the pinned version, and never takes it back. Where nobody pins etcd, the
// plan raises it within its minor first where that is needed.
func (in Input) etcdSteps() []etcdStep {
	running := in.oldestEtcd()
	if running.IsZero() || in.Facts.Etcd.Topology == "external" {
		return nil
	}
	pin, pinned := in.Facts.Kubeadm.EtcdImageTag, in.Facts.Kubeadm.EtcdImageTag != ""
	var out []etcdStep
	for _, h := range in.hops() {
		m, known := in.Catalog.Minor(h.to.Line())
		if !known {
			break
		}
		_, to, _ := m.Etcd(h.to)
		if v, err := catalog.TagVersion(pin); pinned && err == nil {
			to = v
		}
		if to.Less(running) {
			to = running
		}
		s := etcdStep{hop: h, minor: m, running: running, to: to}
		s.edge, s.short = in.Catalog.EtcdEdge(running, to)
		s.raised = s.short && !pinned
		out = append(out, s)
		running = to
	}
	return out
}

// checkEtcdEdge blocks where the plan cannot raise etcd itself: whoever pins its image
// keeps kubeadm, and with it kup, from choosing another.
func checkEtcdEdge(in Input) []Finding {
	var out []Finding
	for _, s := range in.etcdSteps() {
		f := Finding{
			Hop: s.name, Object: "etcd",
			Why: fmt.Sprintf("it goes from %s to %s, and before %s it must be at %s or newer: %s", s.running, s.to, s.edge.To, s.edge.AtLeast, s.edge.Why),
		}
		switch {
		case s.raised:
			f.Severity = Info
			f.Fix = fmt.Sprintf("nothing: the plan brings it to %s first; its image (%s) is pulled before anything changes, so a mirror must have it", s.edge.Raised(), s.edge.Raise)
		case s.short:
			f.Fix = fmt.Sprintf("take etcd.local.imageTag (%s) out of the ConfigMap kube-system/kubeadm-config, and a new plan brings etcd to %s first (see %s)", in.Facts.Kubeadm.EtcdImageTag, s.edge.Raised(), s.edge.Source)
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}

func checkMembers(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		if !m.Healthy {
			why := "it is not healthy"
			if m.Problem != "" {
				why += ": " + m.Problem
			}
			out = append(out, Finding{Object: "etcd member " + m.Name, Why: why, Fix: "etcdctl endpoint health --cluster; replace the member if it does not recover"})
		}
	}
	return out
}

func checkAlarms(in Input) []Finding {
	var out []Finding
	for _, alarm := range in.Facts.Etcd.Alarms {
		out = append(out, Finding{Object: "etcd", Why: "alarm " + alarm, Fix: "remove the cause, then etcdctl alarm disarm"})
	}
	return out
}

func checkLearners(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		if m.Learner {
			out = append(out, Finding{Object: "etcd member " + m.Name, Why: "it is a learner and has no vote", Fix: fmt.Sprintf("etcdctl member promote %s, or member remove", m.ID)})
		}
	}
	return out
}

func checkPinned(in Input) []Finding {
	tag := in.Facts.Kubeadm.EtcdImageTag
	if tag == "" || len(in.Path) == 0 {
		return nil
	}
	return []Finding{{
		Object: "ConfigMap kube-system/kubeadm-config", Why: fmt.Sprintf("etcd.local.imageTag is %s: kubeadm leaves etcd there in every hop", tag),
		Fix: "take etcd.local.imageTag out, unless it is meant: kubectl -n kube-system edit configmap kubeadm-config",
	}}
}

func checkEtcdMinors(in Input) []Finding {
	var out []Finding
	for _, s := range in.etcdSteps() {
		if s.to.Line() != s.running.Line() && s.to.Line() != s.running.Line().Next() {
			out = append(out, Finding{Hop: s.name, Object: "etcd", Why: fmt.Sprintf("it would go from %s to %s and skip a minor", s.running, s.to), Fix: fmt.Sprintf("bring etcd to %s first", s.running.Line().Next())})
		}
	}
	return out
}

// checkEtcdMin allows for etcd going first in a hop: kubeadm then deploys what it
// keeps for the minor the cluster is still at.
func checkEtcdMin(in Input) []Finding {
	var out []Finding
	for _, s := range in.etcdSteps() {
		if !s.leaves().Less(s.minor.EtcdMin()) {
			continue
		}
		_, first, known := s.minor.EtcdBefore(s.from.Line())
		if in.Facts.Kubeadm.EtcdImageTag != "" {
			first, known = s.to, true
		}
		if !known || first.Less(s.minor.EtcdMin()) {
			out = append(out, Finding{Hop: s.name, Object: "etcd", Why: fmt.Sprintf("the API server of %s needs %s, etcd is at %s and kubeadm cannot raise it before", s.hop.to, s.minor.EtcdMin(), s.running), Fix: "bring etcd up at the present minor, or remove etcd.local.imageTag"})
		}
	}
	return out
}

func checkMemberNodes(in Input) []Finding {
	if in.Facts.Etcd.Topology == "external" {
		return nil
	}
	if len(in.Facts.Etcd.Members) == 0 {
		if in.Nodes == nil {
			return nil
		}
		return []Finding{{Object: "etcd", Why: "its members could not be asked", Fix: "`kup plan` says why; SSH to a control plane and its etcd certificates are needed"}}
	}
	var out []Finding
	has := map[string]bool{}
	for _, m := range in.Facts.Etcd.Members {
		has[m.Node] = true
		if m.Node == "" {
			out = append(out, Finding{Object: "etcd member " + m.Name, Why: "it runs on no known node", Fix: fmt.Sprintf("add its node to the inventory, or etcdctl member remove %s", m.ID)})
		}
	}
	for _, n := range in.nodes() {
		if n.Role == cluster.ControlPlane && !has[n.Name] {
			out = append(out, Finding{Object: "node " + n.Name, Why: "it is a control plane without an etcd member", Fix: "join it anew"})
		}
	}
	return out
}

func checkQuota(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		if m.Quota <= 0 {
			continue // see checkManifestQuota
		}
		if full, _ := m.Full(in.Defragment); full > cluster.EtcdNearlyFull {
			out = append(out, Finding{
				Object: "etcd member " + m.Name, Why: fmt.Sprintf("its store is %d%% full", full),
				Fix: "compact and defragment, one member at a time, before the upgrade, or have the plan begin with that: etcd.defragment: true in the inventory",
			})
		}
	}
	return out
}
