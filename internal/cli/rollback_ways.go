package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// lookBack gathers what a scope needs to be judged, beyond the facts.
type lookBack struct {
	scope plan.Scope
	look  func(context.Context, *session, *runRecord, *planner.Evidence) error
}

// looksBack are the scopes in the order in which they are judged, the least costly
// first: what a costlier one needs is not looked at while a cheaper one works.
func looksBack() []lookBack {
	return []lookBack{
		{plan.ScopeNode, lookAtNodes},
		{plan.ScopeHop, lookAtHop},
		{plan.ScopeData, lookAtData},
	}
}

// planBack chooses the way back and lays it out.
func (s *session) planBack(ctx context.Context, u *runRecord, o *rollbackOptions, apiErr error) (*plan.Plan, error) {
	e := planner.Evidence{
		Wanted: o.nodes, Failed: o.failed, Losses: map[plan.Scope][]plan.Loss{}, Refused: map[plan.Scope]string{},
	}
	if apiErr == nil {
		facts, seen, err := s.survey(ctx, nil)
		if err != nil {
			return nil, err
		}
		e.Facts, e.Stored = &facts, seen.Stored
	}
	w, err := s.chooseBack(ctx, u, o.scope, &e)
	if err != nil {
		return nil, err
	}
	policy := policy(s.inv, nil)
	policy.Measured = s.learned(u.plan.Facts.Identity.UID)
	p, err := planner.Rollback(u.undone(), e, w, s.catalog, policy)
	if err != nil {
		return nil, err
	}
	return &p, (local{s.dir}).usable(&p, untouched)
}

// undone is the run as the planner knows it.
func (r *runRecord) undone() planner.Undone {
	return planner.Undone{Run: r.id, Plan: r.plan, State: r.state}
}

// chooseBack gives the least costly way that works, or that of the scope asked for.
func (s *session) chooseBack(ctx context.Context, u *runRecord, scope string, e *planner.Evidence) (planner.Way, error) {
	var closed []planner.Way
	for _, l := range looksBack() {
		if err := l.look(ctx, s, u, e); err != nil {
			return planner.Way{}, err
		}
		ways := planner.Ways(u.undone(), *e, s.catalog)
		if len(ways) == 0 {
			return planner.Way{}, &usageError{err: fmt.Errorf("run %s changed nothing that stands, so there is nothing to take back", u.id), hint: "kup history"}
		}
		i := slices.IndexFunc(ways, func(w planner.Way) bool { return w.Scope == l.scope })
		if i < 0 {
			continue
		}
		switch {
		case scope != scopeAuto && scope != string(l.scope):
		case ways[i].Open():
			return ways[i], nil
		default:
			closed = append(closed, ways[i])
		}
	}
	if len(closed) == 0 {
		return planner.Way{}, &usageError{err: fmt.Errorf("scope %s cannot be judged by this kup", scope), hint: "use a newer kup"}
	}
	return planner.Way{}, &noWayError{ways: closed, sealed: s.sealed}
}

// lookAtNodes asks etcd which version its members agreed on, and what the run recorded of
// the API, which goes back with all API servers only.
func lookAtNodes(ctx context.Context, s *session, r *runRecord, e *planner.Evidence) error {
	var err error
	if e.Recorded, _, err = s.recordedObjects(ctx, r); err != nil {
		s.sys.tell("kup: %v", err)
	}
	if e.Facts == nil {
		e.Refused[plan.ScopeNode] = "the API does not answer, and a node goes back under the cluster's lock, which is kept there"
		return nil
	}
	if s.etcd == nil {
		return nil
	}
	members, err := s.etcd.Members(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e.Refused[plan.ScopeNode] = fmt.Sprintf("etcd does not tell which version its members agreed on: %v", err)
		return nil
	}
	e.EtcdCluster = cluster.EtcdAgreed(members)
	return nil
}

// blind tells whether a plan is executed without the API, because it takes it away.
func blind(p *plan.Plan) bool { return p.Rollback != nil && p.Rollback.Scope == plan.ScopeData }

func joined(names []string) string { return strings.Join(names, ", ") }
