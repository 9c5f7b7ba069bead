package cli

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/gate"
	"github.com/kup-project/kup/pkg/cluster"
)

// outage is an API server that is away for a while.
type outage struct{ from, to time.Time }

func (o outage) Ready(context.Context) error {
	if now := time.Now(); now.Before(o.from) || !now.Before(o.to) {
		return nil
	}
	return errors.New("connection refused")
}

func (outage) Version(context.Context) (cluster.Version, error) { return cluster.Version{}, nil }

type modelServers struct {
	byNode map[string]gate.APIServer
	err    error
}

func (m modelServers) APIServers(context.Context) (map[string]gate.APIServer, error) {
	return m.byNode, m.err
}

func TestUnreadyMeasuresOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t0 := time.Now().Add(time.Millisecond) // between two looks
		u := &unready{every: unreadyEvery, servers: modelServers{byNode: map[string]gate.APIServer{
			"cp-1": outage{t0.Add(2 * time.Second), t0.Add(7 * time.Second)},
			"cp-2": outage{},
			"cp-3": outage{t0, t0.Add(time.Hour)},
		}}}
		event := func(kind engine.EventKind, node string) {
			u.Event(engine.Event{Kind: kind, Stage: "etcd", Step: "1.34/etcd/" + node, Node: node})
		}
		event(engine.StepStarted, "cp-1")
		event(engine.StepStarted, "cp-2")
		u.Event(engine.Event{Kind: engine.StepStarted, Stage: "control-plane", Step: "x", Node: "cp-3"}) // not watched
		u.Event(engine.Event{Kind: engine.StepStarted, Stage: "etcd", Step: "y"})                        // no node
		u.Event(engine.Event{Kind: engine.StepNote, Stage: "etcd", Step: "1.34/etcd/cp-1"})
		time.Sleep(10 * time.Second)
		event(engine.StepDone, "cp-1")
		event(engine.StepFailed, "cp-2")
		event(engine.StepStarted, "cp-3") // still away when the run ends
		time.Sleep(3*time.Second + time.Millisecond)
		if diff := cmp.Diff(map[string]float64{"cp-1": 5, "cp-3": 3}, u.seconds()); diff != "" {
			t.Error(diff)
		}
		if len(u.seconds()) != 2 {
			t.Error("asked twice, it tells something else")
		}
	})
}

func TestUnreadyWithoutServersMeasuresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unready{every: unreadyEvery, servers: modelServers{err: errors.New("away")}}
		u.Event(engine.Event{Kind: engine.StepStarted, Stage: "etcd", Step: "s", Node: "cp-1"})
		if got := u.seconds(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}
