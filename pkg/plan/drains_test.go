package plan

import (
	"fmt"
	"testing"
)

func TestDrainWaves(t *testing.T) {
	lane := func(node string, kinds ...Kind) Lane {
		var out Lane
		for _, k := range kinds {
			out = append(out, Step{Kind: k, Node: node})
		}
		return out
	}
	hop := Hop{Stages: []Stage{
		{Name: ControlPlane, Waves: []Wave{
			{Parallel: 1, Lanes: []Lane{lane("cp-1", KindCommand)}},
			{Parallel: 1, Lanes: []Lane{lane("cp-1", KindCordon, KindDrain), lane("cp-2", KindCordon, KindDrain)}},
		}},
		{Name: Workers, Waves: []Wave{{Parallel: 2, Lanes: []Lane{lane("w-1", KindDrain), lane("w-2", KindDrain), lane("w-3", KindDrain)}}}},
	}}
	p := Plan{Hops: []Hop{hop, hop}}
	if got := fmt.Sprint(p.DrainWaves()); got != "[[cp-1] [cp-2] [w-1 w-2] [w-3]]" {
		t.Errorf("waves %s", got)
	}
	short := Hop{Stages: hop.Stages[:1]}
	for _, hops := range [][]Hop{{short, hop}, {hop, short}, {short, hop, short}} {
		if got := fmt.Sprint((&Plan{Hops: hops}).DrainWaves()); got != "[[cp-1] [cp-2] [w-1 w-2] [w-3]]" {
			t.Errorf("a hop that leaves workers out hides them: %s", got)
		}
	}
	if got := (&Plan{}).DrainWaves(); got != nil {
		t.Errorf("no hop drains %v", got)
	}
}
