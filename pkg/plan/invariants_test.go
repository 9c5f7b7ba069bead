package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestValidate(t *testing.T) {
	if err := Validate(sound(t)); err != nil {
		t.Fatal(err)
	}
	stage := func(p *Plan, name StageName) *Stage {
		for i := range p.Hops[0].Stages {
			if p.Hops[0].Stages[i].Name == name {
				return &p.Hops[0].Stages[i]
			}
		}
		return nil
	}
	for name, tc := range map[string]struct {
		change func(*Plan)
		want   string
	}{
		"format":                 {func(p *Plan) { p.Format = 2 }, "format 2"},
		"two minors":             {func(p *Plan) { p.Hops[0].From = cluster.MustParseVersion("v1.32.0") }, "one minor"},
		"backwards":              {func(p *Plan) { p.Hops[1].To = cluster.MustParseVersion("v1.34.1") }, "one minor"},
		"a gap":                  {func(p *Plan) { p.Hops[1].From = cluster.MustParseVersion("v1.34.1") }, "the hop before it ends at v1.34.4"},
		"no version":             {func(p *Plan) { p.Hops[0].From = cluster.Version{} }, "no version"},
		"unknown stage":          {func(p *Plan) { p.Hops[0].Stages[0].Name = "warm-up" }, `"warm-up" is unknown`},
		"stage order":            {func(p *Plan) { slices.Reverse(p.Hops[0].Stages) }, "out of order"},
		"empty stage":            {func(p *Plan) { stage(p, Workers).Waves = nil }, "stage workers is empty"},
		"parallel control plane": {func(p *Plan) { stage(p, ControlPlane).Waves[0].Parallel = 2 }, "one at a time"},
		"parallel etcd":          {func(p *Plan) { stage(p, EtcdStage).Waves[0].Parallel = 3 }, "one at a time"},
		"no parallelism":         {func(p *Plan) { stage(p, Workers).Waves[0].Parallel = 0 }, "none may run"},
		"no lanes":               {func(p *Plan) { stage(p, Workers).Waves[0].Lanes = nil }, "no lanes"},
		"an empty lane":          {func(p *Plan) { stage(p, Workers).Waves[0].Lanes[0] = nil }, "an empty lane"},
		"two lanes of a node": {func(p *Plan) {
			w := &stage(p, Prepare).Waves[1]
			w.Lanes = append(w.Lanes, w.Lanes[0])
		}, "two lanes of node"},
		"a foreign step in a lane": {func(p *Plan) { stage(p, Workers).Waves[0].Lanes[0][1].Node = "w-2" }, "in the lane of node"},
		"no snapshot":              {func(p *Plan) { stage(p, Prepare).Waves = stage(p, Prepare).Waves[1:] }, "before the hop's snapshot"},
		"a mutation beside the snapshot": {func(p *Plan) {
			stage(p, Prepare).Waves[0].Lanes[0][0].Mutates = true
		}, "before the hop's snapshot"},
		"an id twice":      {func(p *Plan) { first(p, KindDrain).ID = first(p, KindCordon).ID }, "used twice"},
		"an id elsewhere":  {func(p *Plan) { first(p, KindDrain).ID = "1.34/workers/cp-1/drain" }, "does not begin with 1.34/control-plane/"},
		"unknown kind":     {func(p *Plan) { first(p, KindDrain).Kind = "explode" }, `unknown kind "explode"`},
		"unknown way back": {func(p *Plan) { first(p, KindDrain).WayBack = "" }, "unknown way back"},
		"negative time":    {func(p *Plan) { first(p, KindDrain).Estimate = -1 }, "negative"},
		"unknown node": {func(p *Plan) {
			for i := range p.Facts.Nodes {
				if p.Facts.Nodes[i].Name == "w-2" {
					p.Facts.Nodes[i].Name = "w-9"
				}
			}
		}, `node "w-2" is not among`},
		"a pin that stays":             {func(p *Plan) { pinStage(p, KindPinEtcd) }, "leaves etcd pinned to 3.5.33-0"},
		"an unpin alone":               {func(p *Plan) { pinStage(p, KindUnpinEtcd) }, `pins etcd to ""`},
		"a pin on a pin":               {func(p *Plan) { pinStage(p, KindPinEtcd, KindPinEtcd) }, "pinned to 3.5.33-0 already"},
		"a malformed gate":             {func(p *Plan) { first(p, KindDrain).After = []GateID{"node-ready"} }, "the node is missing"},
		"a gate of no node":            {func(p *Plan) { first(p, KindDrain).Before = []GateID{"others-ready:cp-9"} }, `node "cp-9"`},
		"objects held against nothing": {func(p *Plan) { first(p, KindDrain).Before = []GateID{"objects-kept:@1.34"} }, "does not say what was recorded"},
		"objects of another hop": {func(p *Plan) {
			p.Rollback = &Rollback{Schema: &Record{Hop: "1.33"}}
			first(p, KindDrain).Before = []GateID{"objects-kept:@1.34"}
		}, "does not say what was recorded before that hop"},
		"a gate nobody knows": {func(p *Plan) { first(p, KindDrain).Before = []GateID{"moon-full"} }, "unknown gate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := sound(t)
			tc.change(p)
			err := Validate(p)
			var ie *InvalidError
			if !errors.As(err, &ie) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// pinStage puts steps that pin etcd before the etcd stage's own.
func pinStage(p *Plan, kinds ...Kind) {
	for i := range p.Hops[0].Stages {
		st := &p.Hops[0].Stages[i]
		if st.Name != EtcdStage {
			continue
		}
		var lane Lane
		for j, k := range kinds {
			id := fmt.Sprintf("%s/etcd/pin-%d", p.Hops[0].To.Line(), j)
			lane = append(lane, Step{ID: id, Kind: k, WayBack: WayBackEdit, Mutates: true, Args: map[string]string{"tag": "3.5.33-0"}})
		}
		st.Waves = append([]Wave{{Parallel: 1, Lanes: []Lane{lane}}}, st.Waves...)
	}
}

func TestValidatePins(t *testing.T) {
	p := sound(t)
	pinStage(p, KindPinEtcd, KindUnpinEtcd)
	if err := Validate(p); err != nil {
		t.Error(err)
	}
}

func TestGateForms(t *testing.T) {
	for id, good := range map[GateID]bool{
		"apiservers-ready": true, "apiservers-ready:cp-1": false,
		"apiservers-at:@1.34": true, "apiservers-at:@v1.34.4": false, "apiservers-at": false,
		"static-pods:cp-1@v1.34.4": true, "static-pods:cp-1": false, "static-pods:@v1.34.4": false, "static-pods:cp-1@1.34": false,
		"etcd-quorum:cp-1": true, "etcd-quorum": false, "etcd-below-quota": true, "etcd-below-quota:cp-1": false,
		"etcd-healthy": true, "etcd-member:cp-1@v3.6.5": true, "etcd-data-equal": true,
		"others-ready:cp-1": true, "others-ready": false, "others-ready:cp-1@v1.34.4": false,
		"certificates-renewed:cp-1@1.34": true, "certificates-renewed:@1.34": true, "certificates-renewed:cp-1": false,
		"etcd-certificates-renewed:cp-1@1.34": true,
		"node-ready:w-1@v1.34.4":              true, "node-ready:w-1": true, "node-ready:@v1.34.4": false,
		"workloads-at-baseline:@1.34": true, "dns-answers": true, "admission-available": true,
		"etcd-agreed:cp-2@v3.5.24": true, "etcd-agreed:cp-2": false, "etcd-agreed": false,
		"objects-kept:@1.35": true, "objects-kept": false, "objects-kept:@v1.35.1": false,
		"": false, "dns": false, "dns-answers@v1.34.4": false,
	} {
		if err := id.Check(); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}
