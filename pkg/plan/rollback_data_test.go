package plan

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// restoringPlan is the least that a rollback that restores data may consist of.
func restoringPlan() *Plan {
	p := &Plan{
		Format: Format,
		Facts: cluster.Facts{
			Nodes: []cluster.Node{
				{Name: "cp-1", Role: cluster.ControlPlane, InAPI: true}, {Name: "cp-2", Role: cluster.ControlPlane, InAPI: true},
				{Name: "w-1", Role: cluster.Worker, InAPI: true},
			},
			Etcd: cluster.Etcd{Members: []cluster.Member{{Name: "cp-1", Node: "cp-1"}, {Name: "cp-2", Node: "cp-2"}}},
		},
		Rollback: &Rollback{Run: "r", Plan: "p", Scope: ScopeData},
	}
	all := []string{"cp-1", "cp-2", "w-1"}
	wave := func(stage StageName, kind Kind, name string, args map[string]string, nodes ...string) Wave {
		w := Wave{Parallel: len(nodes)}
		for _, n := range nodes {
			own := map[string]string{}
			for k, v := range args {
				own[k] = v
			}
			w.Lanes = append(w.Lanes, Lane{{ID: "1.33/" + string(stage) + "/" + n + "/" + name, Kind: kind, Node: n, Args: own, WayBack: WayBackRestore, Mutates: true}})
		}
		return w
	}
	p.Hops = []Hop{{
		From: cluster.MustParseVersion("v1.34.4"), To: cluster.MustParseVersion("v1.33.13"),
		Stages: []Stage{
			{Standstill, []Wave{
				wave(Standstill, KindUnit, "stop", map[string]string{"unit": "kubelet", "want": UnitStopped}, all...),
				wave(Standstill, KindStandstill, "proof", map[string]string{"proof": "true"}, all...),
			}},
			{Restore, []Wave{
				wave(Restore, KindRestoreMember, "etcd", map[string]string{"sha256": "x", "token": "t", "bump": "1"}, "cp-1", "cp-2"),
				wave(Restore, KindSandboxes, "pods", nil, all...),
			}},
			{Start, []Wave{wave(Start, KindUnit, "start", map[string]string{"unit": "kubelet", "want": UnitRunning}, all...)}},
		},
	}}
	return p
}

func TestTheOrderOfARestore(t *testing.T) {
	if err := Validate(restoringPlan()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(still, restore, start *Stage)
		want   string
	}{
		"a host that is not proven":    {func(still, _, _ *Stage) { still.Waves[1].Lanes = still.Waves[1].Lanes[:2] }, "node w-1 is not proven"},
		"no proof":                     {func(still, _, _ *Stage) { delete(still.Waves[1].Lanes[0][0].Args, "proof") }, "node cp-1 is not proven"},
		"the proof before the rest":    {func(still, _, _ *Stage) { still.Waves[0], still.Waves[1] = still.Waves[1], still.Waves[0] }, "is not proven"},
		"a member is left out":         {func(_, r, _ *Stage) { r.Waves[0].Lanes = r.Waves[0].Lanes[:1] }, "etcd member cp-2 is not restored"},
		"another file":                 {func(_, r, _ *Stage) { r.Waves[0].Lanes[1][0].Args["sha256"] = "y" }, "differ in sha256"},
		"another cluster":              {func(_, r, _ *Stage) { r.Waves[0].Lanes[1][0].Args["token"] = "u" }, "differ in token"},
		"another bump":                 {func(_, r, _ *Stage) { r.Waves[0].Lanes[1][0].Args["bump"] = "2" }, "differ in bump"},
		"pods of a node are left":      {func(_, r, _ *Stage) { r.Waves[1].Lanes = r.Waves[1].Lanes[1:] }, "surplus pods of node cp-1"},
		"pods first":                   {func(_, r, _ *Stage) { r.Waves[0], r.Waves[1] = r.Waves[1], r.Waves[0] }, "not before them"},
		"pods end after the start":     {func(_, r, s *Stage) { s.Waves[0].Lanes[0][0].Kind = KindSandboxes }, "belongs into stage restore"},
		"a unit starts too early":      {func(still, _, _ *Stage) { still.Waves[0].Lanes[0][0].Args["want"] = UnitRunning }, "comes before all of stage restore"},
		"files come back too early":    {func(still, _, _ *Stage) { still.Waves[0].Lanes[0][0].Kind = KindFiles }, "comes before all of stage restore"},
		"a member after the start":     {func(_, _, s *Stage) { s.Waves[0].Lanes[0][0].Kind = KindRestoreMember }, "belongs into stage restore"},
		"a standstill after the start": {func(_, _, s *Stage) { s.Waves[0].Lanes[0][0].Kind = KindStandstill }, "belongs into stage standstill"},
	} {
		t.Run(name, func(t *testing.T) {
			p := restoringPlan()
			st := p.Hops[0].Stages
			tt.change(&st[0], &st[1], &st[2])
			if err := Validate(p); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	p := restoringPlan()
	p.Hops[0].Stages = p.Hops[0].Stages[2:]
	if err := Validate(p); err == nil || !strings.Contains(err.Error(), "has the stages standstill and restore") {
		t.Errorf("without the stages: %v", err)
	}
}
