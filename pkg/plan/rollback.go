package plan

import "github.com/kup-project/kup/pkg/cluster"

// Scope is how far a rollback reaches, the least costly first.
type Scope string

// The scopes.
const (
	// ScopeNode takes nodes whose step failed back to what they were before the
	// hop; the rest of the hop stands.
	ScopeNode Scope = "node"
	// ScopeHop takes every component but etcd back to the minor before; what was
	// written since stays. No release of Kubernetes supports it upstream.
	ScopeHop Scope = "hop"
	// ScopeData takes everything back and restores the hop's snapshot: what was
	// written since is lost.
	ScopeData Scope = "data"
)

// Scopes are all of them, the least costly first.
func Scopes() []Scope { return []Scope{ScopeNode, ScopeHop, ScopeData} }

// The further stages of a rollback that restores data. The API is away from the end
// of the first to the end of the last.
const (
	// Standstill stops what writes: kubelets and static pods, proven on every host.
	Standstill StageName = "standstill"
	// Restore puts the snapshot under every member.
	Restore StageName = "restore"
	// Start brings the components of before up again.
	Start StageName = "start"
)

// Rollback says what a plan takes back. Its only hop leads from the newer version
// to the older one.
type Rollback struct {
	// Run and Plan are the run that is taken back and the id of its plan.
	Run   string `json:"run"`
	Plan  string `json:"plan"`
	Scope Scope  `json:"scope"`
	// Nodes are those that go back, in the scope node; empty in the others: all.
	Nodes []string `json:"nodes,omitempty"`
	// Refused are the less costly scopes, and why each of them does not work.
	Refused []Refusal `json:"refused,omitempty"`
	// Losses are what does not survive, by namespace, kind and name. A plan with any
	// is executed only when data loss was accepted.
	Losses []Loss `json:"losses,omitempty"`
	// Schema is what the run that is taken back recorded of the API before the hop, in the
	// scope hop: every object is held against it once more before the first API server
	// goes back.
	Schema *Record `json:"schema,omitempty"`
}

// Record is a file that a run recorded before a hop.
type Record struct {
	Hop    string `json:"hop"`    // of that run, 1.34
	Source string `json:"source"` // its name in a run's directory
	Digest string `json:"digest"` // "sha256:..."
}

// Refusal is a scope that was not taken.
type Refusal struct {
	Scope Scope  `json:"scope"`
	Why   string `json:"why"` // one sentence that names the object
}

// LossKind says what happens to an object or a pod.
type LossKind string

// What is lost.
const (
	LossCreated  LossKind = "created"  // made since the snapshot: it will be gone
	LossChanged  LossKind = "changed"  // changed since: it will be as it was
	LossDeleted  LossKind = "deleted"  // deleted since: it will be there again
	LossField    LossKind = "field"    // Detail: fields that the older minor does not keep
	LossUnread   LossKind = "unread"   // could not be looked through; Detail says why
	LossPodStops LossKind = "stops"    // a pod that runs and will be stopped
	LossPodStart LossKind = "starts"   // a pod that will be started again
	LossPodMoves LossKind = "moves"    // a pod that will be started on another node
	LossClaimed  LossKind = "claimed"  // a volume claimed since
	LossReleased LossKind = "released" // a volume released since
)

// Loss is one thing that a rollback costs.
type Loss struct {
	Kind      LossKind `json:"kind"`
	Resource  string   `json:"resource"` // "ConfigMap", "Deployment.apps"
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	Node      string   `json:"node,omitempty"` // of a pod
	// Owner is the controller that made an object which loses fields:
	// "ReplicaSet.apps/web-5d4".
	Owner  string `json:"owner,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// stageOrders are the stages of a rollback, by scope.
func (s Scope) stageOrder() ([]StageName, bool) {
	switch s {
	case ScopeNode:
		return []StageName{Prepare, Workers, ControlPlane, EtcdStage, WorkloadStage}, true
	case ScopeHop:
		return []StageName{Prepare, Addons, Workers, ControlPlane, EtcdStage, WorkloadStage}, true
	case ScopeData:
		return []StageName{Prepare, Standstill, Restore, Start, ControlPlane, Workers, Addons, WorkloadStage}, true
	}
	return nil, false
}

// rollback checks the laws of a plan that takes back.
func (v *validator) rollback() {
	r := v.plan.Rollback
	if r.Run == "" || r.Plan == "" {
		v.add("the rollback does not say which run it takes back")
	}
	if _, known := r.Scope.stageOrder(); !known {
		v.add("rollback: unknown scope %q", r.Scope)
	}
	if len(v.plan.Hops) > 1 {
		v.add("a rollback takes back one hop, not %d", len(v.plan.Hops))
	}
	if (r.Scope == ScopeNode) != (len(r.Nodes) > 0) {
		v.add("rollback of scope %s: the list of nodes is missing or superfluous", r.Scope)
	}
	for _, n := range r.Nodes {
		if v.plan.Facts.Node(n) == nil {
			v.add("rollback: node %q is not among the plan's facts", n)
		}
	}
}

// oneMinor tells whether a hop's versions are next to each other the way its plan
// goes: up, or down in a rollback.
func (p *Plan) oneMinor(h *Hop) bool {
	low, high := h.From, h.To
	if p.Rollback != nil {
		low, high = h.To, h.From
	}
	return low.Line().Next() == high.Line() || (low.Line() == high.Line() && !high.Less(low))
}

// Undoes tells whether the plan takes a hop back, and the newer version it takes
// back from.
func (p *Plan) Undoes() (cluster.Version, bool) {
	if p.Rollback == nil || len(p.Hops) == 0 {
		return cluster.Version{}, false
	}
	return p.Hops[0].From, true
}
