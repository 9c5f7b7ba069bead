package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/roundtrip"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// shelfHost is a control plane that has files.
type shelfHost struct {
	remote.Host
	files map[string]string
}

func (h shelfHost) ReadFile(_ context.Context, path string) ([]byte, error) {
	if content, has := h.files[path]; has {
		return []byte(content), nil
	}
	return nil, fs.ErrNotExist
}

// What the run that is taken back recorded is found beside the rollback, on a control
// plane, or not at all; a changed copy is none.
func TestWhatWasRecordedIsBrought(t *testing.T) {
	const run, name, content = "20261122-090000-abcdef", "objects-1.35.json", "{}"
	a := journal.Artefact{Name: step.ArtefactObjects, Hop: "1.35", Path: "/elsewhere/" + run + "/" + name, Digest: digest([]byte(content))}
	for what, tc := range map[string]struct {
		beside, there string
		found         bool
	}{
		"beside it":            {content, "", true},
		"on a control plane":   {"", content, true},
		"changed here":         {"{ }", content, true},
		"changed everywhere":   {"{ }", "{ }", false},
		"nobody has it at all": {"", "", false},
	} {
		t.Run(what, func(t *testing.T) {
			base := t.TempDir()
			if tc.beside != "" {
				if err := os.MkdirAll(filepath.Join(base, run), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(base, run, name), []byte(tc.beside), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			host := shelfHost{files: map[string]string{}}
			if tc.there != "" {
				host.files["/var/lib/kup/"+run+"/"+name] = tc.there
			}
			file, err := brought(t.Context(), filepath.Join(base, "the-rollback"), run, a, []remote.Host{host})
			var damaged *step.DamagedError
			if !tc.found {
				if !errors.As(err, &damaged) {
					t.Errorf("%q, %v", file, err)
				}
				return
			}
			got, readErr := os.ReadFile(file)
			if err != nil || readErr != nil || string(got) != content || filepath.Dir(file) != filepath.Join(base, "the-rollback") {
				t.Errorf("%q in %s, %v, %v", got, file, err, readErr)
			}
		})
	}
}

func TestLossesOfObjects(t *testing.T) {
	doc := func(fields string) json.RawMessage {
		return json.RawMessage(`{"components":{"schemas":{"T":{"type":"object","x-kubernetes-group-version-kind":[{"group":"t","version":"v1","kind":"Thing"}],
			"properties":{"metadata":{},"spec":{"type":"object","properties":{` + fields + `}}}}}}}`)
	}
	thing := cluster.APIResource{Group: "t", Version: "v1", Name: "things", Kind: "Thing", Listable: true}
	side := func(fields string) cluster.API {
		return cluster.API{Version: cluster.MustParseVersion("v1.34.4"), Documents: map[string]json.RawMessage{"apis/t/v1": doc(fields)}, Resources: []cluster.APIResource{thing}}
	}
	check, err := roundtrip.New(side(`"a":{}`), side(`"a":{},"b":{}`))
	if err != nil {
		t.Fatal(err)
	}
	tr := &tripped{check: check, losses: map[plan.Loss]bool{}}
	object := func(name string, spec map[string]any) map[string]any {
		return map[string]any{"metadata": map[string]any{"namespace": "n", "name": name}, "spec": spec}
	}
	for range 2 { // a list that began again
		tr.judge(roundtrip.Reading{Resource: thing}, object("kept", map[string]any{"a": "x"}))
		tr.judge(roundtrip.Reading{Resource: thing}, object("cut", map[string]any{"a": "x", "b": "y"}))
	}
	tr.judge(roundtrip.Reading{Resource: thing, Why: "no schema", Unread: true}, object("blind", nil))
	want := []plan.Loss{
		{Kind: plan.LossUnread, Resource: "Thing.t", Namespace: "n", Name: "blind", Detail: "no schema"},
		{Kind: plan.LossField, Resource: "Thing.t", Namespace: "n", Name: "cut", Detail: "spec.b"},
	}
	if got := tr.sorted(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// An API that answers in part closes the way that needs its objects, not the restore.
func TestWhatCannotBeLookedThroughClosesTheHopOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
  clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	api, err := kube.Prepare(file, "", "uid")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{api: api, sys: &system{err: io.Discard}}
	e := planner.Evidence{Refused: map[plan.Scope]string{}, Losses: map[plan.Scope][]plan.Loss{}}
	if err := s.lookThrough(t.Context(), cluster.API{}, &e); err != nil || e.Refused[plan.ScopeHop] == "" {
		t.Errorf("refused %v, %v", e.Refused, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if err := s.lookThrough(ctx, cluster.API{}, &e); !errors.Is(err, errInterrupted) {
		t.Errorf("an interrupt: %v", err)
	}
}
