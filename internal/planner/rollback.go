package planner

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// The artefacts of an upgrade that a rollback builds on, by the names under which
// steps record them.
const (
	ArtefactBackup   = "backup"         // of a node's files, on the node
	ArtefactCordoned = "found-cordoned" // of a node that kup found cordoned
)

// Undone is the run that is taken back.
type Undone struct {
	Run   string
	Plan  *plan.Plan
	State journal.State
}

// Evidence is what was found out about the cluster before a way is chosen.
type Evidence struct {
	// Facts are of now; nil: the API does not answer.
	Facts *cluster.Facts
	// Wanted are the nodes to take back that the operator named; empty: those whose
	// steps did not end.
	Wanted []string
	// Failed narrows those whose steps did not end to the nodes on which one failed: the
	// others only stopped at a step boundary. Empty: all of them.
	Failed []string
	// EtcdCluster is the version that etcd's members agreed on, which none of them may
	// fall below; zero: not known.
	EtcdCluster cluster.Version
	// Recorded are the objects that the run recorded before the hop,
	// "ConfigMap/kube-system/kubeadm-config".
	Recorded []string
	// Stored is what etcd has, in the scope hop; nil: it could not be looked at.
	Stored *cluster.Stored
	// Saved is what was read of the hop's snapshot, in the scope data; nil: nothing.
	Saved *Saved
	// Losses are what each scope would cost. A scope without an entry costs nothing.
	Losses map[plan.Scope][]plan.Loss
	// Refused are the scopes that something observed forbids, with the reason.
	Refused map[plan.Scope]string
}

// Way is one way back.
type Way struct {
	Scope plan.Scope
	// Nodes are those that would go back, in the scope node.
	Nodes []string
	// Why is one sentence about what keeps this way from being gone; empty: nothing.
	Why string
}

// Open tells whether the way can be gone.
func (w Way) Open() bool { return w.Why == "" }

// scopeBack is how one scope is judged and laid out.
type scopeBack struct {
	scope plan.Scope
	// way judges it; what Evidence.Refused says was looked at before.
	way func(*rollback) Way
	// stages lays it out.
	stages func(*rollback) ([]plan.Stage, error)
}

// scopesBack are the ways that are known, the least costly first.
func scopesBack() []scopeBack {
	return []scopeBack{
		{plan.ScopeNode, (*rollback).nodeWay, (*rollback).nodeStages},
		{plan.ScopeHop, (*rollback).hopWay, (*rollback).hopStages},
		{plan.ScopeData, (*rollback).dataWay, (*rollback).dataStages},
	}
}

// Ways judges every way back from where the run stands, the least costly first. A run
// that changed nothing has none.
func Ways(u Undone, e Evidence, c *catalog.Catalog) []Way {
	r, ok := newRollback(u, e, c, Policy{})
	if !ok {
		return nil
	}
	var out []Way
	for _, s := range scopesBack() {
		out = append(out, r.judge(s))
	}
	return out
}

// judge asks first for what forbids every way of that scope.
func (r *rollback) judge(s scopeBack) Way {
	if why := r.evidence.Refused[s.scope]; why != "" {
		return Way{Scope: s.scope, Why: why}
	}
	if why := r.refusesRestore(); why != "" && s.scope == plan.ScopeData {
		return Way{Scope: s.scope, Why: why}
	}
	w := s.way(r)
	w.Scope = s.scope
	return w
}

// RollbackError is a way that cannot be gone.
type RollbackError struct {
	Scope  plan.Scope
	Detail string // a sentence that names the object
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("rollback of scope %s: %s", e.Scope, e.Detail)
}

// Rollback lays a way out as a plan. The error is a *[RollbackError].
func Rollback(u Undone, e Evidence, w Way, c *catalog.Catalog, p Policy) (plan.Plan, error) {
	r, ok := newRollback(u, e, c, p)
	if !ok {
		return plan.Plan{}, &RollbackError{w.Scope, "the run changed nothing that could be taken back"}
	}
	known := scopesBack()
	at := slices.IndexFunc(known, func(s scopeBack) bool { return s.scope == w.Scope })
	if at < 0 {
		return plan.Plan{}, &RollbackError{w.Scope, "there is no such scope"}
	}
	if !w.Open() {
		return plan.Plan{}, &RollbackError{w.Scope, w.Why}
	}
	r.nodes = w.Nodes
	stages, err := known[at].stages(r)
	if err != nil {
		return plan.Plan{}, err
	}
	out := plan.Plan{
		Format: plan.Format, CreatedAt: p.Now.UTC().Round(0), KupVersion: p.KupVersion,
		CatalogDigest: c.Digest(), InventoryDigest: p.InventoryDigest, Facts: *r.facts, Accepted: p.Accepted,
		Hops:     []plan.Hop{{From: r.from, To: r.to, Etcd: r.etcdAfterwards(w.Scope), Stages: stages}},
		Rollback: &plan.Rollback{Run: u.Run, Plan: u.Plan.ID, Scope: w.Scope, Nodes: w.Nodes, Losses: e.Losses[w.Scope]},
	}
	if w.Scope == plan.ScopeHop {
		out.Rollback.Schema = r.schema()
	}
	for _, s := range known[:at] {
		if cheaper := r.judge(s); !cheaper.Open() {
			out.Rollback.Refused = append(out.Rollback.Refused, plan.Refusal{Scope: s.scope, Why: cheaper.Why})
		}
	}
	out.Notices = r.notices
	out.Measured = measured(&out, p)
	return sealed(out)
}

// rollback lays out the way back from one hop. Its hop goes from the newer version to
// the older one, so that `to`, `etcd` and the ids of its steps are of the older.
type rollback struct {
	*hopBuilder
	undone   Undone
	evidence Evidence
	// hop is the one that is taken back; line is its minor as artefacts name it.
	hop  *plan.Hop
	line string
	// before is what each node had when that hop began.
	before map[string]before
	// nodes are those that go back, in the scope node.
	nodes []string
}

// newRollback finds the hop that is taken back: the last one that changed something.
// False: none did.
func newRollback(u Undone, e Evidence, c *catalog.Catalog, p Policy) (*rollback, bool) {
	at := u.last()
	if at < 0 || u.Plan.Rollback != nil {
		return nil, false
	}
	hop := &u.Plan.Hops[at]
	minor, known := c.Minor(hop.From.Line())
	if !known {
		return nil, false
	}
	facts := e.Facts
	if facts == nil {
		facts = &u.Plan.Facts
	}
	r := &rollback{undone: u, evidence: e, hop: hop, line: hop.To.Line().String(), before: u.before(at)}
	r.hopBuilder = &hopBuilder{
		builder: &builder{facts: facts, catalog: c, policy: p, state: newState(facts)},
		from:    hop.To, to: hop.From, minor: minor, etcd: r.etcdBefore(),
		equipped: map[string]bool{}, passed: map[string]bool{}, touched: map[string]bool{}, waiting: map[string]bool{},
	}
	for _, n := range r.state.nodes {
		was := *n.Node
		was.Cordoned = r.before[n.Name].cordoned
		n.Node = &was
	}
	if r.etcd.IsZero() {
		r.etcd = r.externalBefore()
	}
	if r.etcd.IsZero() {
		_, r.etcd, _ = minor.Etcd(hop.From)
	}
	// By now the tag may be the one that the hop sets while it raises etcd.
	r.images = minor.Images(hop.From, facts.Kubeadm.ImageRepository, u.Plan.Facts.Kubeadm.EtcdImageTag)
	return r, true
}

// Begun tells whether a step may have had an effect that stands.
func (u Undone) Begun(step string) bool {
	st := u.State.Steps[step]
	return st.Attempt > 0 && st.Outcome != journal.Reopened
}

func eachStep(h *plan.Hop, f func(*plan.Stage, *plan.Step)) {
	for i := range h.Stages {
		for _, w := range h.Stages[i].Waves {
			for _, lane := range w.Lanes {
				for j := range lane {
					f(&h.Stages[i], &lane[j])
				}
			}
		}
	}
}

// last is the index of the last hop that changed something; below 0: none did.
func (u Undone) last() int {
	at := -1
	for i := range u.Plan.Hops {
		eachStep(&u.Plan.Hops[i], func(_ *plan.Stage, s *plan.Step) {
			if s.Mutates && u.Begun(s.ID) {
				at = i
			}
		})
	}
	return at
}

// Line is the minor of the hop that is taken back, as artefacts name it; empty: the run
// changed nothing.
func (u Undone) Line() string {
	at := u.last()
	if at < 0 {
		return ""
	}
	return u.Plan.Hops[at].To.Line().String()
}
