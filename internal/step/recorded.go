package step

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Recorder reads what a way back needs of the API.
type Recorder interface {
	// API is what the API server serves, with its schemas.
	API(ctx context.Context) (cluster.API, error)
	// Recorded is an object, "ConfigMap/kube-system/coredns", as it would be put back;
	// nil when there is none.
	Recorded(ctx context.Context, ref string) (json.RawMessage, error)
	// Marks are what nodes are marked with.
	Marks(ctx context.Context) ([]cluster.NodeMarks, error)
}

// Returner makes objects what was recorded of them.
type Returner interface {
	// Stands tells whether the object is what was recorded.
	Stands(ctx context.Context, ref string, recorded json.RawMessage) (bool, error)
	PutBack(ctx context.Context, ref string, recorded json.RawMessage) error
}

// Recorded is what a run recorded of the API's objects before a hop: what kubeadm
// changes in it, and what kup changes on nodes. Never Secrets.
type Recorded struct {
	Hop string    `json:"hop"`
	At  time.Time `json:"at"`
	// Objects are those that were there, by kind/namespace/name.
	Objects map[string]json.RawMessage `json:"objects"`
	Nodes   []cluster.NodeMarks        `json:"nodes"`
}

// recordedRefs are the objects that a hop from a minor may change. Until 1.23 each
// minor had a kubelet configuration of its own name.
func recordedRefs(from cluster.Version) []string {
	return []string{
		"ConfigMap/kube-system/kubeadm-config",
		"ConfigMap/kube-system/kubelet-config",
		"ConfigMap/kube-system/kubelet-config-" + from.Line().String(),
		"ConfigMap/kube-system/coredns",
		"ConfigMap/kube-system/kube-proxy",
		"Deployment/kube-system/coredns",
		"DaemonSet/kube-system/kube-proxy",
	}
}

// recorder records what a way back needs of the API, beside the baseline.
type recorder struct {
	api    Recorder
	keeper keeper
}

func (r *recorder) has(ctx context.Context, hop string) (bool, error) {
	for _, name := range []string{ArtefactObjects, ArtefactSchema} {
		if has, err := r.keeper.has(ctx, hop, name, ""); !has || err != nil {
			return has, err
		}
	}
	return true, nil
}

// record takes what is not recorded yet.
func (r *recorder) record(ctx context.Context, hop string, facts *cluster.Facts) error {
	if has, err := r.keeper.has(ctx, hop, ArtefactObjects, ""); err != nil {
		return err
	} else if !has {
		now, err := r.objects(ctx, hop, facts)
		if err != nil {
			return err
		}
		if err := r.keeper.save(ctx, ArtefactObjects, hop, now); err != nil {
			return err
		}
	}
	has, err := r.keeper.has(ctx, hop, ArtefactSchema, "")
	if has || err != nil {
		return err
	}
	api, err := r.api.API(ctx)
	if err != nil {
		return err
	}
	return r.keeper.saveCompressed(ctx, ArtefactSchema, hop, api)
}

func (r *recorder) objects(ctx context.Context, hop string, facts *cluster.Facts) (Recorded, error) {
	out := Recorded{Hop: hop, At: time.Now().UTC(), Objects: map[string]json.RawMessage{}}
	for _, ref := range recordedRefs(facts.Kubeadm.ClusterVersion) {
		o, err := r.api.Recorded(ctx, ref)
		if err != nil {
			return out, err
		}
		if o != nil {
			out.Objects[ref] = o
		}
	}
	var err error
	out.Nodes, err = r.api.Marks(ctx)
	return out, err
}

// saveCompressed is save for what is large and of few words.
func (k keeper) saveCompressed(ctx context.Context, name, hop string, v any) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(v), z.Close()); err != nil {
		return fmt.Errorf("%s of hop %s: %w", name, hop, err)
	}
	return k.keep(ctx, name, hop, k.path(name, hop)+".gz", b.Bytes())
}

// ReadSchema reads what a run recorded of the API before the hop, from the file that
// the artefact names.
func ReadSchema(ctx context.Context, a Artefact) (api cluster.API, err error) {
	if err := Verify(ctx, nil, a); err != nil {
		return api, err
	}
	f, err := os.Open(a.Path)
	if err != nil {
		return api, fmt.Errorf("%s of hop %s: %w", a.Name, a.Hop, err)
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err == nil {
		err = json.NewDecoder(z).Decode(&api)
	}
	if err != nil {
		return api, fmt.Errorf("%s of hop %s, %s: %w", a.Name, a.Hop, a.Path, err)
	}
	return api, nil
}

// ReadRecorded reads the objects that a run recorded before the hop.
func ReadRecorded(ctx context.Context, a Artefact) (Recorded, error) {
	var out Recorded
	if err := Verify(ctx, nil, a); err != nil {
		return out, err
	}
	b, err := os.ReadFile(a.Path)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return out, fmt.Errorf("%s of hop %s, %s: %w", a.Name, a.Hop, a.Path, err)
	}
	return out, nil
}

// objects puts objects back: the truth is the API.
type objects struct {
	api      Returner
	keeper   keeper
	observer Observer
}

func (r *objects) Done(ctx context.Context, s plan.Step) (bool, error) {
	recorded, refs, err := r.wanted(ctx, s)
	if err != nil {
		return false, err
	}
	for _, ref := range refs {
		stands, err := r.api.Stands(ctx, ref, recorded.Objects[ref])
		if err != nil || !stands {
			return false, failed(s, "look at "+ref, err, "")
		}
	}
	return true, nil
}

func (r *objects) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	recorded, refs, err := r.wanted(ctx, s)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := r.api.PutBack(ctx, ref, recorded.Objects[ref]); err != nil {
			return failed(s, "put objects back", err, "")
		}
		r.observer.Note(s.ID, ref+" is as it was before the hop")
	}
	return nil
}

// wanted gives what was recorded, checked, and which of it the step puts back.
func (r *objects) wanted(ctx context.Context, s plan.Step) (Recorded, []string, error) {
	a := args{step: s}
	from := Artefact{Name: ArtefactObjects, Hop: a.text("hop"), Digest: a.text("digest")}
	if source := a.text("source"); source != "" {
		from.Path = filepath.Join(r.keeper.artefacts.Dir(), filepath.Base(source))
	}
	refs := a.lines("objects")
	if len(refs) == 0 {
		a.bad("objects", "is missing")
	}
	if a.err != nil {
		return Recorded{}, nil, a.err
	}
	recorded, err := ReadRecorded(ctx, from)
	if err != nil {
		return Recorded{}, nil, failed(s, "read what was recorded", err, "")
	}
	for _, ref := range refs {
		if recorded.Objects[ref] == nil {
			return Recorded{}, nil, failed(s, "read what was recorded", fmt.Errorf("%s is not in it", ref), "")
		}
	}
	return recorded, refs, nil
}
