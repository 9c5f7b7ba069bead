package plan

import (
	"slices"
	"strconv"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// Format is the version of the plan file this package reads and writes. A file
// of any other format is refused.
const Format = 1

// Plan is what `kup apply` executes, as written.
type Plan struct {
	Format int `json:"format"`
	// ID is "sha256:" and the digest of everything else in the plan; see [Seal].
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"createdAt"`
	KupVersion string    `json:"kupVersion"`
	// CatalogDigest and InventoryDigest name the exact knowledge and intent the
	// plan was made from.
	CatalogDigest   string        `json:"catalogDigest"`
	InventoryDigest string        `json:"inventoryDigest"`
	Facts           cluster.Facts `json:"facts"`
	Hops            []Hop         `json:"hops"`
	// Rollback says what the plan takes back; nil: it is an upgrade.
	Rollback *Rollback `json:"rollback,omitempty"`
	// Notices are what the operator must know and agree to before the start:
	// outages, points of no return, things that could not be checked.
	Notices []Notice `json:"notices,omitempty"`
	// Accepted are the preflight rules that the operator let through when the plan
	// was made, by id, each with the reason.
	Accepted map[string]string `json:"accepted,omitempty"`
	// Measured says how far the estimates come from earlier runs on this cluster;
	// nil: all of them are typical ones.
	Measured *Measured `json:"measured,omitempty"`
}

// Measured is where estimates come from.
type Measured struct {
	Runs  int `json:"runs"`  // of this cluster that were looked at
	Steps int `json:"steps"` // of the plan whose estimate is measured
}

// Notice is a sentence about the plan.
type Notice struct {
	// Consent is true when apply must ask for it even where the rest is agreed:
	// an API outage, a point of no return that matters.
	Consent bool   `json:"consent,omitempty"`
	Hop     string `json:"hop,omitempty"` // target minor, empty: the whole plan
	Text    string `json:"text"`
}

// Hop takes the whole cluster up one minor (or to another patch of its minor); in a
// rollback, down.
type Hop struct {
	From   cluster.Version `json:"from"`
	To     cluster.Version `json:"to"`
	Etcd   cluster.Version `json:"etcd"` // the version kubeadm of the target brings
	Stages []Stage         `json:"stages"`
}

// StageName is one of the six stages of a hop.
type StageName string

// The stages, in their order. An etcd stage may come before the control plane
// where the target's API server asks for a newer etcd.
const (
	Prepare       StageName = "prepare"
	ControlPlane  StageName = "control-plane"
	EtcdStage     StageName = "etcd"
	Workers       StageName = "workers"
	Addons        StageName = "addons"
	WorkloadStage StageName = "workloads"
)

// Stage is a named sequence of waves.
type Stage struct {
	Name  StageName `json:"name"`
	Waves []Wave    `json:"waves"`
}

// Wave is a barrier: all its lanes end before the next wave begins.
type Wave struct {
	// Parallel is how many lanes run at once, at least 1.
	Parallel int    `json:"parallel"`
	Lanes    []Lane `json:"lanes"`
}

// Lane is the steps of one node (or of the cluster), in order.
type Lane []Step

// Step does one thing to one node or to the cluster.
type Step struct {
	// ID is stable and unique in the plan: "1.34/control-plane/cp-1/apply".
	ID   string `json:"id"`
	Kind Kind   `json:"kind"` // selects the runner
	Node string `json:"node,omitempty"`
	// Title is what the operator reads: "kubeadm upgrade apply v1.34.4".
	Title string `json:"title"`
	// Args are exact versions, images and command lines; nothing is recomputed
	// at apply time. The keys are documented with each Kind.
	Args    map[string]string `json:"args,omitempty"`
	Before  []GateID          `json:"before,omitempty"`
	After   []GateID          `json:"after,omitempty"`
	WayBack WayBack           `json:"wayBack"`
	// Mutates is false for steps that only read or only write kup's own files.
	Mutates bool `json:"mutates"`
	// Estimate is how long the step takes, gates included.
	Estimate time.Duration `json:"estimate"`
}

// GateID names a gate and its parameters: "node-ready:w-1@v1.34.4".
// The part before the first colon selects the gate's implementation.
type GateID string

// WayBack says how a step is undone.
type WayBack string

// The ways back.
const (
	// WayBackNothing: the step changed nothing that needs undoing.
	WayBackNothing WayBack = "nothing"
	// WayBackNode: the node's own backup undoes it.
	WayBackNode WayBack = "node-backup"
	// WayBackEdit: the step edited one object of the API, and taking the edit out
	// again undoes it.
	WayBackEdit WayBack = "edit"
	// WayBackRestore: only restoring the snapshot undoes it.
	WayBackRestore WayBack = "restore"
	// WayBackNone: a point of no return for the data written after it.
	WayBackNone WayBack = "none"
)

// Steps calls f for every step in execution order of the plan as written,
// until f returns false.
func (p *Plan) Steps(f func(h *Hop, st *Stage, s *Step) bool) {
	for i := range p.Hops {
		for j := range p.Hops[i].Stages {
			st := &p.Hops[i].Stages[j]
			for k := range st.Waves {
				for _, lane := range st.Waves[k].Lanes {
					for m := range lane {
						if !f(&p.Hops[i], st, &lane[m]) {
							return
						}
					}
				}
			}
		}
	}
}

// DrainWaves are the nodes that hops drain, in order; those of one wave may be
// drained at the same time. Every hop drains in the same order, but may leave
// workers out: the answer is that of the hop that drains most nodes.
func (p *Plan) DrainWaves() [][]string {
	var out [][]string
	most := 0
	for i := range p.Hops {
		waves := p.Hops[i].drainWaves()
		if n := len(slices.Concat(waves...)); n > most {
			out, most = waves, n
		}
	}
	return out
}

func (h *Hop) drainWaves() [][]string {
	var out [][]string
	for _, st := range h.Stages {
		for _, w := range st.Waves {
			var nodes []string
			for _, lane := range w.Lanes {
				if i := slices.IndexFunc(lane, func(s Step) bool { return s.Kind == KindDrain }); i >= 0 {
					nodes = append(nodes, lane[i].Node)
				}
			}
			out = append(out, slices.Collect(slices.Chunk(nodes, max(w.Parallel, 1)))...)
		}
	}
	return out
}

// Execution names one attempt at a step: the id under which a detached command
// is found again on its host.
type Execution struct {
	Run     string `json:"run"`
	Step    string `json:"step"`
	Attempt int    `json:"attempt"` // from 1
}

// String gives "<run>/<step>/<attempt>".
func (e Execution) String() string {
	return e.Run + "/" + e.Step + "/" + strconv.Itoa(e.Attempt)
}
