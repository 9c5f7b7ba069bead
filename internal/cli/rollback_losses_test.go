package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

// Losses are listed anew as long as they can be kept.
func TestWhenLossesAreListedAnew(t *testing.T) {
	steps := func(scope plan.Scope, schema *plan.Record) *plan.Plan {
		return &plan.Plan{Rollback: &plan.Rollback{Scope: scope, Schema: schema}, Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{
			{ID: "fetch", Kind: plan.KindFetch},
			{ID: "stop", Kind: plan.KindUnit, Mutates: true},
			{ID: "restore", Kind: plan.KindRestoreMember, Mutates: true},
			{ID: "kubelet", Kind: plan.KindFiles, Mutates: true},
			{ID: "server", Kind: plan.KindFiles, Mutates: true, Args: map[string]string{"component": plan.ComponentControlPlane}},
		}}}}}}}}}
	}
	recorded := &plan.Record{Hop: "1.35"}
	for name, tc := range map[string]struct {
		scope   plan.Scope
		schema  *plan.Record
		accepts bool
		begun   []string
		want    bool
	}{
		"data, in prepare":                        {plan.ScopeData, nil, false, []string{"fetch"}, true},
		"data, kubelets stopped":                  {plan.ScopeData, nil, false, []string{"fetch", "stop"}, true},
		"data, a member restored":                 {plan.ScopeData, nil, true, []string{"fetch", "stop", "restore"}, false},
		"hop, left to the gate":                   {plan.ScopeHop, recorded, false, []string{"kubelet"}, false},
		"hop, more is accepted":                   {plan.ScopeHop, recorded, true, []string{"kubelet"}, true},
		"hop, an API server went back":            {plan.ScopeHop, recorded, true, []string{"kubelet", "server"}, false},
		"hop, of a kup that planned no such gate": {plan.ScopeHop, nil, true, nil, false},
		"node": {plan.ScopeNode, nil, true, nil, false},
	} {
		r := &runRecord{plan: steps(tc.scope, tc.schema), state: journal.State{Steps: map[string]journal.StepState{}}}
		for _, id := range tc.begun {
			r.state.Steps[id] = journal.StepState{Attempt: 1}
		}
		if got := looksAgain(r, tc.accepts); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What is new is shown, and refused until it is accepted: --yes alone accepts nothing.
func TestMoreLossesAreAgreedTo(t *testing.T) {
	more := []plan.Loss{{Kind: plan.LossCreated, Resource: "ConfigMap", Namespace: "shop", Name: "later"}}
	sealed := backPlan(t, runA, plan.ScopeHop)
	sealed.Hops[0].Stages[0].Waves[0].Lanes[0][0] = plan.Step{Kind: plan.KindDeliver, Args: map[string]string{"sealed": "sha256:aa"}}
	for name, tc := range map[string]struct {
		o    rollbackOptions
		p    *plan.Plan
		more []plan.Loss
		code int
		hint string
	}{
		"nothing new":      {rollbackOptions{yes: true}, backPlan(t, runA, plan.ScopeHop), nil, exitDone, ""},
		"new":              {rollbackOptions{yes: true, notices: true}, backPlan(t, runA, plan.ScopeHop), more, exitUsage, "then pass --accept-data-loss"},
		"new, accepted":    {rollbackOptions{losses: true}, backPlan(t, runA, plan.ScopeHop), more, exitDone, ""},
		"encrypted":        {rollbackOptions{yes: true}, sealed, more, exitUsage, "--identity FILE"},
		"encrypted, given": {rollbackOptions{yes: true, identity: "f"}, sealed, more, exitUsage, "read the list"},
	} {
		sys, _, _ := testSystem(strings.NewReader(""))
		var out bytes.Buffer
		sys.out = &out
		err := tc.o.agreeToMore(sys, &runRecord{id: backRun, plan: tc.p}, tc.more)
		code, hint := exitDone, ""
		if err != nil {
			code, hint = classify(err)
		}
		if code != tc.code || !strings.Contains(hint, tc.hint) || (err != nil && !strings.Contains(err.Error(), backRun)) {
			t.Errorf("%s: %v, exit code %d, hint %q", name, err, code, hint)
		}
		if shown := strings.Contains(out.String(), "later"); shown != (len(tc.more) > 0) {
			t.Errorf("%s: shown: %t", name, shown)
		}
	}
}

// What somebody went on with and agreed to is agreed to for those who come after, on this
// machine and on others; a copy that was changed is none.
func TestWhatWasAgreedToStays(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	p := backPlan(t, runA, plan.ScopeHop)
	loss := func(name string) plan.Loss {
		return plan.Loss{Kind: plan.LossCreated, Resource: "ConfigMap", Name: name}
	}
	p.Rollback.Losses = []plan.Loss{loss("planned")}
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	dir := testRun(t, p, backRun)
	j, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{dir: dir, journal: j, sink: j, may: func(context.Context) error { return nil }}
	for _, more := range [][]plan.Loss{{loss("first")}, nil, {loss("second")}} {
		if err := m.recordAccepted(t.Context(), p, more); err != nil {
			t.Fatal(err)
		}
	}
	want := []plan.Loss{loss("planned"), loss("first"), loss("second")}
	side := objectsSide{plan: p, memory: m}
	if got, err := side.Accepted(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("by gates: %+v, %v", got, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustLoad(t, dir)
	s := testSession(t)
	if got, err := s.agreedTo(t.Context(), r); err != nil || !slices.Equal(got, want) {
		t.Errorf("by who goes on: %+v, %v", got, err)
	}
	var first journal.Artefact
	for _, a := range r.state.Artefacts {
		if !isSmall(a) {
			t.Errorf("%s is not mirrored", a.Name)
		}
		if strings.HasSuffix(a.Path, "losses-1.json") {
			first = a
		}
	}
	content, err := os.ReadFile(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.Path, append(content, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := new(step.DamagedError)
	if got, err := side.Accepted(t.Context()); !errors.As(err, &damaged) {
		t.Errorf("changed, by gates: %+v, %v", got, err)
	}
	if got, err := s.agreedTo(t.Context(), r); !errors.As(err, &damaged) {
		t.Errorf("changed, by who goes on: %+v, %v", got, err)
	}
}

// The rollback has of the undone run's records what its plan relies on, and no more.
func TestARollbackInheritsTheSchema(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	const content, name = "schema", "schema-1.34.json.gz"
	p := backPlan(t, runA, plan.ScopeHop)
	p.Rollback.Schema = &plan.Record{Hop: "1.34", Source: name, Digest: digest([]byte(content))}
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	dir := testRun(t, p, backRun)
	j, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // a test's
	m := &memory{dir: dir, journal: j, sink: j, may: func(context.Context) error { return nil }}
	host := shelfHost{files: map[string]string{"/var/lib/kup/" + runA + "/" + name: content}}
	for range 2 {
		if err := inheritRecorded(t.Context(), &runRecord{id: backRun, plan: p}, m, []remote.Host{host}); err != nil {
			t.Fatal(err)
		}
	}
	a, has := m.Get("1.34", step.ArtefactSchema, "")
	if b, err := os.ReadFile(filepath.Join(dir, name)); !has || err != nil || string(b) != content || filepath.Dir(a.Path) != dir {
		t.Errorf("%+v, %q, %v", a, b, err)
	}
	if all := m.snapshot().Artefacts; len(all) != 1 {
		t.Errorf("recorded: %+v", all)
	}
	if _, err := (objectsSide{plan: p, memory: m}).NotKept(t.Context(), "1.35"); err == nil || !strings.Contains(err.Error(), "before hop 1.35") {
		t.Errorf("of another hop: %v", err)
	}
}

func TestControllerOf(t *testing.T) {
	for meta, want := range map[string]string{
		`{}`: "",
		`{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"cp-1","uid":"u"}]}`:                                                                    "",
		`{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"a"},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d4","controller":true}]}`: "ReplicaSet.apps/web-5d4",
		`{"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":"rc","controller":true}]}`:                                             "ReplicationController/rc",
	} {
		var m map[string]any
		if err := json.Unmarshal([]byte(meta), &m); err != nil {
			t.Fatal(err)
		}
		if got := controllerOf(m); got != want {
			t.Errorf("%s: %q", meta, got)
		}
	}
}

// A rollback of nodes that has taken nothing back does not keep the upgrade from going on.
func TestAnIdleRollback(t *testing.T) {
	for name, tc := range map[string]struct {
		scope plan.Scope
		begun []string
		want  bool
	}{
		"nothing begun":            {plan.ScopeNode, nil, true},
		"images, and the leader":   {plan.ScopeNode, []string{"images", "leader"}, true},
		"a member's files":         {plan.ScopeNode, []string{"images", "leader", "files"}, false},
		"a node takes pods again":  {plan.ScopeNode, []string{"uncordon"}, false},
		"steps are being reopened": {plan.ScopeNode, []string{"reopen"}, false},
		"a whole hop":              {plan.ScopeHop, nil, false},
	} {
		r := &runRecord{state: journal.State{Steps: map[string]journal.StepState{}}, plan: &plan.Plan{
			Rollback: &plan.Rollback{Scope: tc.scope},
			Hops: []plan.Hop{{Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{{
				{ID: "images", Kind: plan.KindImages}, {ID: "leader", Kind: plan.KindMoveLeader, Mutates: true},
				{ID: "files", Kind: plan.KindFiles, Mutates: true}, {ID: "uncordon", Kind: plan.KindUncordon, Mutates: true}, {ID: "reopen", Kind: plan.KindReopen},
			}}}}}}}},
		}}
		for _, id := range tc.begun {
			r.state.Steps[id] = journal.StepState{Attempt: 1, Outcome: journal.Done}
		}
		if got := r.idle(); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
