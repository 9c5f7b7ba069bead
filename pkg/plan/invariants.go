package plan

import (
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// InvalidError is a plan that breaks a law of plans. It is a defect of whoever
// made the plan, or a file edited by hand.
type InvalidError struct {
	Problems []string // one sentence each
}

func (e *InvalidError) Error() string {
	return "the plan is not sound: " + strings.Join(e.Problems, "; ")
}

// Validate checks the laws that hold for every plan: unique step ids, hops of one
// minor, the stages in their order, control planes and etcd members one at a
// time, a snapshot before the first mutation of each hop, and well-formed gates. A
// rollback goes down one minor, through the stages of its scope.
// The error is an *[InvalidError] with every problem found.
func Validate(p *Plan) error {
	v := &validator{plan: p, ids: map[string]bool{}}
	if p.Format != Format {
		v.add("format %d is not %d", p.Format, Format)
	}
	if p.Rollback != nil {
		v.rollback()
	}
	for i := range p.Hops {
		v.hop(i)
	}
	if len(v.problems) > 0 {
		return &InvalidError{Problems: v.problems}
	}
	return nil
}

type validator struct {
	plan     *Plan
	ids      map[string]bool
	problems []string
}

func (v *validator) add(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

func (v *validator) hop(i int) {
	h := &v.plan.Hops[i]
	if !v.plan.oneMinor(h) {
		v.add("hop %d goes from %s to %s: a hop is one minor, or a patch of its own minor", i+1, h.From, h.To)
	}
	if h.From.IsZero() || h.To.IsZero() {
		v.add("hop %d has no version", i+1)
	}
	if i > 0 && v.plan.Hops[i-1].To != h.From {
		v.add("hop %d starts at %s, but the hop before it ends at %s", i+1, h.From, v.plan.Hops[i-1].To)
	}
	v.stageOrder(h)
	if r := v.plan.Rollback; r != nil && r.Scope == ScopeData {
		v.restoring(h)
	}
	// What a rollback returns to was saved by the run that it takes back; one that keeps
	// the data saves them as they are now.
	saved := v.plan.Rollback != nil && v.plan.Rollback.Scope != ScopeHop
	for j := range h.Stages {
		st := &h.Stages[j]
		if len(st.Waves) == 0 {
			v.add("hop to %s: stage %s is empty", h.To, st.Name)
		}
		for k := range st.Waves {
			saved = v.wave(h, st, k, saved)
		}
		v.pins(h, st)
	}
}

// stageOrder checks that the stages are a part of those of the plan's kind in their
// order. The etcd stage of an upgrade may stand before the control plane's, after it, or both.
func (v *validator) stageOrder(h *Hop) {
	order := []StageName{Prepare, EtcdStage, ControlPlane, EtcdStage, Workers, Addons, WorkloadStage}
	if r := v.plan.Rollback; r != nil {
		order, _ = r.Scope.stageOrder()
	}
	at := 0
	for _, st := range h.Stages {
		for at < len(order) && order[at] != st.Name {
			at++
		}
		if at == len(order) {
			v.add("hop to %s: stage %q is unknown, repeated or out of order", h.To, st.Name)
			return
		}
		at++
	}
}

// pins checks that an image tag which the plan pins etcd to is taken out again in
// the same stage: kubeadm would leave etcd there in every later hop.
func (v *validator) pins(h *Hop, st *Stage) {
	pinned := ""
	for i := range st.Waves {
		for _, lane := range st.Waves[i].Lanes {
			for _, s := range lane {
				tag := s.Args["tag"]
				switch {
				case s.Kind == KindPinEtcd && (tag == "" || pinned != ""):
					v.add("step %s: its tag is missing, or etcd is pinned to %s already", s.ID, pinned)
				case s.Kind == KindPinEtcd:
					pinned = tag
				case s.Kind == KindUnpinEtcd && (tag == "" || tag != pinned):
					v.add("step %s takes out the tag %q, and the plan pins etcd to %q", s.ID, tag, pinned)
				case s.Kind == KindUnpinEtcd:
					pinned = ""
				}
			}
		}
	}
	if pinned != "" {
		v.add("hop to %s: stage %s leaves etcd pinned to %s", h.To, st.Name, pinned)
	}
}

// wave checks one wave and tells whether a snapshot exists after it.
func (v *validator) wave(h *Hop, st *Stage, k int, saved bool) bool {
	w := &st.Waves[k]
	where := fmt.Sprintf("hop to %s: stage %s, wave %d", h.To, st.Name, k+1)
	if w.Parallel < 1 || len(w.Lanes) == 0 {
		v.add("%s: no lanes, or none may run", where)
	}
	if w.Parallel != 1 && (st.Name == ControlPlane || st.Name == EtcdStage) {
		v.add("%s: parallel is %d; control planes and etcd members go one at a time", where, w.Parallel)
	}
	snapshot := false
	nodes := map[string]bool{}
	for _, lane := range w.Lanes {
		if len(lane) == 0 {
			v.add("%s: an empty lane", where)
			continue
		}
		node := lane[0].Node
		if nodes[node] {
			v.add("%s: two lanes of node %q", where, node)
		}
		nodes[node] = true
		for m := range lane {
			s := &lane[m]
			if s.Node != node {
				v.add("%s: step %s is in the lane of node %q", where, s.ID, node)
			}
			snapshot = snapshot || s.Kind == KindSnapshot
			if s.Mutates && !saved {
				v.add("%s: step %s mutates before the hop's snapshot is saved", where, s.ID)
			}
			v.step(h, st, s)
		}
	}
	return saved || snapshot
}

func (v *validator) step(h *Hop, st *Stage, s *Step) {
	if v.ids[s.ID] {
		v.add("step id %s is used twice", s.ID)
	}
	v.ids[s.ID] = true
	if prefix := h.To.Line().String() + "/" + string(st.Name) + "/"; !strings.HasPrefix(s.ID, prefix) {
		v.add("step id %s does not begin with %s", s.ID, prefix)
	}
	if !s.Kind.known() {
		v.add("step %s: unknown kind %q", s.ID, s.Kind)
	}
	if !s.WayBack.known() {
		v.add("step %s: unknown way back %q", s.ID, s.WayBack)
	}
	if s.Estimate < 0 {
		v.add("step %s: negative estimate", s.ID)
	}
	if s.Node != "" && v.plan.Facts.Node(s.Node) == nil {
		v.add("step %s: node %q is not among the plan's facts", s.ID, s.Node)
	}
	for _, id := range append(append([]GateID{}, s.Before...), s.After...) {
		if err := id.Check(); err != nil {
			v.add("step %s: %v", s.ID, err)
			continue
		}
		name, node, version := id.Split()
		if node != "" && v.plan.Facts.Node(node) == nil {
			v.add("step %s: gate %s: node %q is not among the plan's facts", s.ID, id, node)
		}
		if r := v.plan.Rollback; name == "objects-kept" && (r == nil || r.Schema == nil || r.Schema.Hop != version) {
			v.add("step %s: gate %s: the plan does not say what was recorded before that hop", s.ID, id)
		}
	}
}

func (k Kind) known() bool {
	switch k {
	case KindSnapshot,
		KindBackup,
		KindBaseline,
		KindFetch,
		KindImages,
		KindPackages,
		KindCommand,
		KindMoveLeader,
		KindCordon,
		KindDrain,
		KindUncordon,
		KindLocal,
		KindCompare,
		KindFiles,
		KindUnit,
		KindObjects,
		KindRejoin,
		KindReopen,
		KindRehearse,
		KindRestorable,
		KindRestoreMember,
		KindPinEtcd,
		KindUnpinEtcd,
		KindDefragment,
		KindDeliver,
		KindStandstill,
		KindSandboxes,
		KindRevision,
		KindEtcdFetch,
		KindEtcdSwap,
		KindEtcdReturn:
		return true
	}
	return false
}

func (w WayBack) known() bool {
	switch w {
	case WayBackNothing, WayBackNode, WayBackEdit, WayBackRestore, WayBackNone:
		return true
	}
	return false
}

// need says what a gate's parameter must be.
type need int

const (
	absent need = iota
	required
	optional
)

// gateForm gives the parameters of a gate by its name. Hop is true for a version that
// names a hop by its minor (1.34), false for an exact one (v1.34.4).
func gateForm(name string) (subject, version need, hop, known bool) {
	switch name {
	case "apiservers-ready", "etcd-healthy", "etcd-below-quota", "etcd-data-equal", "dns-answers", "admission-available":
		return absent, absent, false, true
	case "apiservers-at", "objects-kept":
		return absent, required, true, true
	case "static-pods", "etcd-member", "etcd-agreed":
		return required, required, false, true
	case "others-ready", "etcd-quorum":
		return required, absent, false, true
	case "certificates-renewed":
		return optional, required, true, true
	case "etcd-certificates-renewed":
		return required, required, true, true
	case "node-ready":
		return required, optional, false, true
	case "workloads-at-baseline":
		return absent, required, true, true
	}
	return absent, absent, false, false
}

// Check tells whether the gate is one that exists and has the parameters it needs.
func (id GateID) Check() error {
	name, subject, version := id.Split()
	wantSubject, wantVersion, hop, known := gateForm(name)
	if !known {
		return fmt.Errorf("unknown gate %q", string(id))
	}
	if !wantSubject.allows(subject) {
		return fmt.Errorf("gate %q: the node is missing or superfluous", string(id))
	}
	if !wantVersion.allows(version) {
		return fmt.Errorf("gate %q: the version is missing or superfluous", string(id))
	}
	if version == "" {
		return nil
	}
	var err error
	if hop {
		_, err = cluster.ParseMinor(version)
	} else {
		_, err = cluster.ParseVersion(version)
	}
	if err != nil {
		return fmt.Errorf("gate %q: %w", string(id), err)
	}
	return nil
}

func (n need) allows(value string) bool {
	switch n {
	case required:
		return value != ""
	case absent:
		return value == ""
	default:
		return true
	}
}
