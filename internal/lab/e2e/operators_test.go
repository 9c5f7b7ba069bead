package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestRefusedOperatorIsToldByWhom(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	a, run := fakeKup(t, "exec sleep 600\n")
	writeJournal(t, run, "step-before 1.34/control-plane/cp-1/apply")
	p, err := a.start(t.Context(), nil, "apply")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.kill(); err != nil {
			t.Error(err)
		}
	}()
	for name, c := range map[string]struct {
		says   string
		code   int
		failed int
	}{
		"all":           {fmt.Sprintf("held by ops@%s pid %d since 2026-11-21T10:00:00Z, at 1.34/control-plane/cp-1/apply", host, p.pid()), 6, 0},
		"no step":       {fmt.Sprintf("held by ops@%s pid %d since 2026-11-21T10:00:00Z", host, p.pid()), 6, 1},
		"not refused":   {"done", 0, 5},
		"by nobody":     {"the cluster is held", 6, 4},
		"without since": {fmt.Sprintf("ops@%s pid %d at control-plane/", host, p.pid()), 6, 1},
	} {
		b, _ := fakeKup(t, fmt.Sprintf("echo 'kup: %s' >&2; exit %d\n", c.says, c.code))
		o := &operators{hop: newHop(testEnv(t, a)), a: a, b: b}
		if err := o.refused(t.Context(), p, []string{"apply"}, "control-plane/", moment{step: "control-plane/cp-1/apply"}); err != nil {
			t.Fatal(err)
		}
		if len(o.failed) != c.failed {
			t.Errorf("%s: %d failed, want %d: %v", name, len(o.failed), c.failed, o.failed)
		}
	}
}

func TestFrozenOperatorLosesWhatItKnew(t *testing.T) {
	a, run := fakeKup(t, "exec sleep 600\n")
	if err := os.WriteFile(run+"/journal.jsonl", []byte(oneJournal), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := a.start(t.Context(), nil, "apply")
	if err != nil {
		t.Fatal(err)
	}
	o := &operators{hop: newHop(testEnv(t, a)), a: a}
	if err := o.freeze(t.Context(), p, moment{step: "control-plane/cp-1/apply"}); err != nil {
		t.Error(err)
	}
	if lines, err := a.journal(); err != nil || lines != nil {
		t.Errorf("its journal is there still: %d lines, %v", len(lines), err)
	}
	if o.epoch != 4 || p.ended() {
		t.Errorf("epoch %d, ended %t", o.epoch, p.ended())
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
}

func TestNodesTheScenarioTookAway(t *testing.T) {
	gone := &away{}
	gone.add("a")
	d := newDrains()
	d.observe(at(0), map[string]bool{"a": false, "b": false})
	p := newPods()
	for _, when := range []float64{0, 1} {
		var list []corev1.Pod
		for _, n := range []string{"a", "b"} {
			list = append(list, podOf(podSpec{namespace: "shop", name: "agent-" + n, uid: n, node: n, owner: "DaemonSet", restarts: int32(when)}))
		}
		p.observe(at(when), list)
	}
	j := p.judge(d, gone)
	if j.AwayRestarts != 1 || len(j.Restarts) != 1 || !strings.Contains(j.Restarts[0], "agent-b") {
		t.Errorf("%+v", j)
	}
	w := &watcher{drains: d, away: gone, addresses: map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}}
	if got := w.targets(80); len(got) != 1 || got[0] != "10.0.0.2:80" {
		t.Errorf("targets %v", got)
	}
	counters := insideCounters{"u1": {Node: "a"}, "u2": {Node: "b"}}
	if got := counters.without(gone); len(got) != 1 || got["u2"].Node != "b" {
		t.Errorf("counters %v", got)
	}
}
