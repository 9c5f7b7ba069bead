package planner

import (
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
)

// TargetReason says why a target cannot be reached.
type TargetReason string

// The reasons.
const (
	TargetMalformed  TargetReason = "malformed"   // not a version
	TargetNotNewer   TargetReason = "not-newer"   // the cluster is already there or further
	TargetUnknown    TargetReason = "unknown"     // no package source says which patches exist
	TargetLacking    TargetReason = "lacking"     // the package source does not have it
	TargetUncharted  TargetReason = "uncharted"   // the catalog knows nothing of it
	TargetTooFar     TargetReason = "too-far"     // more than one minor away from what comes before it
	TargetEtcd       TargetReason = "etcd"        // etcd cannot be brought to what it needs
	TargetNoFacts    TargetReason = "no-facts"    // the cluster's own version could not be observed
	TargetNoPackages TargetReason = "no-packages" // no package revision for it
)

// TargetError is a target that cannot be planned.
type TargetError struct {
	Target string // as asked, or the version the trouble is with
	Reason TargetReason
	Detail string // a sentence that ends in what to do
}

func (e *TargetError) Error() string { return fmt.Sprintf("target %s: %s", e.Target, e.Detail) }

func targetError(target fmt.Stringer, reason TargetReason, format string, args ...any) *TargetError {
	return &TargetError{Target: target.String(), Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

type text string

func (t text) String() string { return string(t) }

// current is the version the cluster is at: of its oldest API server, or what
// kubeadm recorded where no API server could be seen.
func current(f *cluster.Facts) cluster.Version {
	var oldest cluster.Version
	for i := range f.Nodes {
		if pod := f.Nodes[i].Static("kube-apiserver"); pod != nil {
			oldest = older(oldest, pod.Version)
		}
	}
	if oldest.IsZero() {
		return f.Kubeadm.ClusterVersion
	}
	return oldest
}
