package report

import (
	"bytes"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

func TestRollbackText(t *testing.T) {
	p := sample()
	p.Hops[0].From, p.Hops[0].To = p.Hops[0].To, p.Hops[0].From
	p.Hops[0].Etcd = cluster.MustParseVersion("3.5.33")
	p.Rollback = &plan.Rollback{
		Run: "20260102-030405-abcdef", Plan: "sha256:up", Scope: plan.ScopeData,
		Refused: []plan.Refusal{{Scope: plan.ScopeNode, Why: "no node is in the middle of its steps"}, {Scope: plan.ScopeHop, Why: "etcd moved from 3.5 to 3.6"}},
		Losses: []plan.Loss{
			{Kind: plan.LossPodMoves, Resource: "Pod", Namespace: "shop", Name: "db-0", Node: "w-2"},
			{Kind: plan.LossCreated, Resource: "Secret", Namespace: "shop", Name: "b"},
			{Kind: plan.LossCreated, Resource: "ConfigMap", Namespace: "shop", Name: "c"},
			{Kind: plan.LossCreated, Resource: "Secret", Namespace: "shop", Name: "a\x1b[2J"},
			{Kind: plan.LossField, Resource: "Job.batch", Namespace: "shop", Name: "nightly", Detail: "spec.newer"},
			{Kind: plan.LossCreated, Resource: "Namespace", Name: "shop"},
		},
	}
	var b bytes.Buffer
	if err := Plan(&b, p); err != nil {
		t.Fatal(err)
	}
	golden(t, "rollback.txt", b.Bytes())
}

// Every kind of loss is told: one without a line would be accepted unseen.
func TestEveryLossIsTold(t *testing.T) {
	for _, kind := range []plan.LossKind{
		plan.LossCreated, plan.LossChanged, plan.LossDeleted, plan.LossField, plan.LossUnread,
		plan.LossPodStops, plan.LossPodStart, plan.LossPodMoves, plan.LossClaimed, plan.LossReleased,
	} {
		p := sample()
		p.Rollback = &plan.Rollback{Losses: []plan.Loss{{Kind: kind, Resource: "Thing", Namespace: "shop", Name: "the-one"}}}
		var b bytes.Buffer
		if err := Plan(&b, p); err != nil || !bytes.Contains(b.Bytes(), []byte("the-one")) {
			t.Errorf("%s is not told: %v", kind, err)
		}
	}
}
