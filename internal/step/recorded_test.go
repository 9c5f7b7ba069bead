package step

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// fakeAPI holds objects by name.
type fakeAPI struct {
	objects map[string]json.RawMessage
	err     error
	written []string
}

func newFakeAPI() *fakeAPI {
	return &fakeAPI{objects: map[string]json.RawMessage{
		"ConfigMap/kube-system/kubeadm-config": json.RawMessage(`{"data":{"a":"1.33"}}`),
		"ConfigMap/kube-system/kubelet-config": json.RawMessage(`{"data":{"b":"1.33"}}`),
		"DaemonSet/kube-system/kube-proxy":     json.RawMessage(`{"spec":"1.33"}`),
		"Secret/kube-system/token":             json.RawMessage(`{"data":"hunter2"}`),
	}}
}

func (f *fakeAPI) API(context.Context) (cluster.API, error) {
	return cluster.API{Version: cluster.MustParseVersion("v1.33.13"), Documents: map[string]json.RawMessage{"api/v1": json.RawMessage(`{}`)}}, f.err
}

func (f *fakeAPI) Marks(context.Context) ([]cluster.NodeMarks, error) {
	return []cluster.NodeMarks{{Name: "w-1", Labels: map[string]string{"a": "b"}, Taints: []string{"k=v:NoSchedule"}, Cordoned: true}}, f.err
}

func (f *fakeAPI) Recorded(_ context.Context, ref string) (json.RawMessage, error) {
	return f.objects[ref], f.err
}

func (f *fakeAPI) Stands(_ context.Context, ref string, recorded json.RawMessage) (bool, error) {
	var is, was any
	err := errors.Join(json.Unmarshal(f.objects[ref], &is), json.Unmarshal(recorded, &was), f.err)
	a, _ := json.Marshal(is)
	b, _ := json.Marshal(was)
	return string(a) == string(b), err
}

func (f *fakeAPI) PutBack(_ context.Context, ref string, recorded json.RawMessage) error {
	if f.err == nil {
		f.objects[ref], f.written = recorded, append(f.written, ref)
	}
	return f.err
}

func TestObjectsOfBeforeArePutBack(t *testing.T) {
	ctx := t.Context()
	w, api := newWorld(t, nil), newFakeAPI()
	w.Cluster, w.Certificates, w.Recorder, w.Returner = &fakeCluster{}, fakeCertificates{}, api, api
	base := plan.Step{ID: "1.34/prepare/baseline", Kind: plan.KindBaseline, Args: map[string]string{"hop": "1.34"}}
	if done, err := w.runner(plan.KindBaseline).Done(ctx, base); done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
	if err := w.runner(plan.KindBaseline).Run(ctx, base, attempt(base, 1)); err != nil {
		t.Fatal(err)
	}
	if done, err := w.runner(plan.KindBaseline).Done(ctx, base); !done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
	recorded, _ := w.artefacts.Get("1.34", ArtefactObjects, "")
	schema, _ := w.artefacts.Get("1.34", ArtefactSchema, "")
	if api, err := ReadSchema(ctx, schema); err != nil || api.Version.String() != "v1.33.13" || len(api.Documents) != 1 {
		t.Errorf("%+v, %v", api, err)
	}
	b, err := os.ReadFile(recorded.Path)
	if err != nil || strings.Contains(string(b), "hunter2") || !strings.Contains(string(b), `"cordoned": true`) {
		t.Errorf("%s, %v", b, err)
	}

	want := []string{"ConfigMap/kube-system/kubeadm-config", "ConfigMap/kube-system/kubelet-config"}
	back := plan.Step{ID: "1.33/addons/configs", Kind: plan.KindObjects, Args: map[string]string{
		"hop": "1.34", "source": filepath.Base(recorded.Path), "digest": recorded.Digest, "objects": strings.Join(want, "\n"),
	}}
	runner := w.runner(plan.KindObjects)
	if done, err := runner.Done(ctx, back); !done || err != nil {
		t.Errorf("nothing changed, and it is to be done: %t, %v", done, err)
	}
	for _, ref := range want {
		api.objects[ref] = json.RawMessage(`{"data":{}}`)
	}
	if done, err := runner.Done(ctx, back); done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
	if err := runner.Run(ctx, back, attempt(back, 1)); err != nil {
		t.Fatal(err)
	}
	if done, err := runner.Done(ctx, back); !done || err != nil || !slices.Equal(api.written, want) {
		t.Errorf("done %t, %v, wrote %q", done, err, api.written)
	}
	api.err = errors.New("forbidden")
	var failure *Error
	if err := runner.Run(ctx, back, attempt(back, 2)); !errors.As(err, &failure) {
		t.Errorf("%v", err)
	}
	api.err = nil

	for name, change := range map[string]func(map[string]string){
		"an object that was not there": func(a map[string]string) { a["objects"] = "DaemonSet/kube-system/other" },
		"no objects":                   func(a map[string]string) { a["objects"] = "" },
		"another digest":               func(a map[string]string) { a["digest"] = "sha256:00" },
		"a file that is not there":     func(a map[string]string) { a["source"] = "objects-1.99.json" },
	} {
		s := back
		s.Args = map[string]string{}
		for k, v := range back.Args {
			s.Args[k] = v
		}
		change(s.Args)
		if done, err := runner.Done(ctx, s); done || err == nil {
			t.Errorf("%s: %t, %v", name, done, err)
		}
	}
}
