package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Pod is a pod as far as a baseline compares it.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Node      string `json:"node,omitempty"`
	// Owner is the controller, "ReplicaSet/web-5d9"; "Node/cp-1" for static
	// pods; empty for a pod of its own.
	Owner    string `json:"owner,omitempty"`
	Restarts int32  `json:"restarts"` // of all its containers
	Ready    bool   `json:"ready"`
	Phase    string `json:"phase"` // Running, Succeeded, …
}

func (p Pod) String() string { return p.Namespace + "/" + p.Name }

func (p Pod) ownerKind() string {
	kind, _, _ := strings.Cut(p.Owner, "/")
	return kind
}

// Cluster is what the API tells.
type Cluster interface {
	Observe(ctx context.Context) (cluster.Facts, error)
	Pods(ctx context.Context) ([]Pod, error)
}

// Certificates reads the certificates that kubeadm manages on a control plane.
type Certificates interface {
	Certificates(ctx context.Context, node string) ([]cluster.Certificate, error)
}

// Observation is the cluster's workloads, pods and certificates at one time.
type Observation struct {
	At           time.Time                        `json:"at"`
	Hop          string                           `json:"hop"`
	Kubelets     map[string]cluster.Version       `json:"kubelets"` // by node
	Pods         []Pod                            `json:"pods"`
	Workloads    []cluster.Workload               `json:"workloads"`
	Certificates map[string][]cluster.Certificate `json:"certificates,omitempty"` // by control plane
	Deprecated   []cluster.DeprecatedRequest      `json:"deprecated,omitempty"`
	// Unchecked is what could not be observed, one sentence each.
	Unchecked []string `json:"unchecked,omitempty"`
}

// observation makes Observations.
type observation struct {
	cluster      Cluster
	certificates Certificates
	keeper       keeper
}

func (o *observation) look(ctx context.Context, hop string, facts cluster.Facts) (Observation, []string, error) {
	pods, err := o.cluster.Pods(ctx)
	if err != nil {
		return Observation{}, nil, fmt.Errorf("list pods: %w", err)
	}
	out := Observation{
		At: time.Now().UTC(), Hop: hop, Kubelets: map[string]cluster.Version{}, Pods: pods,
		Workloads: facts.Workload, Deprecated: facts.DeprecatedRequests, Unchecked: facts.Unchecked,
	}
	var controlPlanes []string
	for _, n := range facts.Nodes {
		out.Kubelets[n.Name] = n.Kubelet
		if n.Role == cluster.ControlPlane {
			controlPlanes = append(controlPlanes, n.Name)
		}
	}
	return out, controlPlanes, nil
}

// baseline: the truth is the run's artefacts and their digests. What a way back needs
// of the API is recorded with it.
type baseline struct {
	observation
	recorder recorder
}

func (r *baseline) Done(ctx context.Context, s plan.Step) (bool, error) {
	if has, err := r.keeper.has(ctx, hopOf(s), ArtefactBaseline, ""); !has || err != nil {
		return has, err
	}
	return r.recorder.has(ctx, hopOf(s))
}

func (r *baseline) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	hop := hopOf(s)
	const doing = "record the baseline"
	facts, err := r.cluster.Observe(ctx)
	if err != nil {
		return failed(s, doing, fmt.Errorf("observe the cluster: %w", err), "")
	}
	has, err := r.keeper.has(ctx, hop, ArtefactBaseline, "")
	if err == nil && !has {
		err = r.take(ctx, hop, facts)
	}
	if err == nil {
		err = r.recorder.record(ctx, hop, &facts)
	}
	return failed(s, doing, err, "")
}

// take records workloads, pods and certificates.
func (r *baseline) take(ctx context.Context, hop string, facts cluster.Facts) error {
	now, controlPlanes, err := r.look(ctx, hop, facts)
	if err != nil {
		return err
	}
	now.Certificates = map[string][]cluster.Certificate{}
	for _, node := range controlPlanes {
		if now.Certificates[node], err = r.certificates.Certificates(ctx, node); err != nil {
			return fmt.Errorf("certificates of %s: %w", node, err)
		}
	}
	return r.keeper.save(ctx, ArtefactBaseline, hop, now)
}

// Baselines answers for the baselines of a run.
type Baselines struct{ Artefacts Artefacts }

// Baseline is what was observed before the hop; fs.ErrNotExist when the run has
// not come so far, *[DamagedError] when the file is not what was recorded.
func (b Baselines) Baseline(hop string) (Observation, error) {
	var o Observation
	err := load(b.Artefacts, ArtefactBaseline, hop, &o)
	return o, err
}

// Workloads are the workloads before the hop.
func (b Baselines) Workloads(hop string) ([]cluster.Workload, error) {
	o, err := b.Baseline(hop)
	return o.Workloads, err
}

// Certificates are the certificates of every control plane before the hop.
func (b Baselines) Certificates(hop string) (map[string][]cluster.Certificate, error) {
	o, err := b.Baseline(hop)
	return o.Certificates, err
}

// Result is what the comparison at the end of the hop found; false when the run
// has not come so far.
func (b Baselines) Result(hop string) (Result, bool, error) {
	var r Result
	err := load(b.Artefacts, ArtefactResult, hop, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	return r, err == nil, err
}

func sortedPods(pods []Pod) []Pod {
	out := slices.Clone(pods)
	slices.SortFunc(out, func(a, b Pod) int { return strings.Compare(a.String(), b.String()) })
	return out
}
