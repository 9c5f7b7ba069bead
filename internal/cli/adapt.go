package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/gate"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// This file fits the adapters to what their consumers declare. Nothing here
// decides anything.

// apiSide is the API as runners and gates ask for it.
type apiSide struct {
	*kube.Client
	may  func(context.Context) error // proves that the cluster is still this run's
	pace float64
}

func (a apiSide) Pods(ctx context.Context) ([]step.Pod, error) {
	pods, err := a.Client.Pods(ctx)
	out := make([]step.Pod, len(pods))
	for i, p := range pods {
		out[i] = step.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, Node: p.Node,
			Owner: p.Owner, Restarts: p.Restarts, Ready: p.Ready, Phase: p.Phase,
		}
	}
	return out, err
}

func (a apiSide) Drain(ctx context.Context, node string, o step.DrainOptions, note func(string)) error {
	return a.Client.Drain(ctx, node, kube.DrainOptions{
		Timeout: o.Timeout, GracePeriod: o.GracePeriod, DeleteEmptyDirData: o.DeleteEmptyDirData, Force: o.Force,
		May: a.may, Pace: a.pace,
	}, note)
}

// nodesSide is the nodes as gates ask for them: one that is gone is an answer,
// not an error.
type nodesSide struct{ *kube.Client }

func (n nodesSide) Node(ctx context.Context, name string) (cluster.Node, error) {
	node, err := n.Client.Node(ctx, name)
	if apierrors.IsNotFound(err) {
		return cluster.Node{Name: name}, nil
	}
	return node, err
}

// storeHashes is what etcd's members store, as runners ask for it.
type storeHashes struct{ *etcd.Cluster }

func (h storeHashes) Hashes(ctx context.Context, except string) ([]step.MemberHash, error) {
	points, err := h.Cluster.Hashes(ctx, except)
	out := make([]step.MemberHash, len(points))
	for i, p := range points {
		out[i] = step.MemberHash{Member: p.Node, Hash: fmt.Sprintf("%08x", p.Hash)}
	}
	return out, err
}

// certificates reads kubeadm's certificates on a host.
type certificates struct{ hosts step.Hosts }

func (c certificates) Certificates(ctx context.Context, node string) ([]cluster.Certificate, error) {
	h, err := c.hosts.Host(node)
	if err != nil {
		return nil, err
	}
	return survey.Certificates(ctx, h)
}

// endpoint is where kubeadm says that a node's API server is reached; where it
// does not say, the node's address, on kubeadm's port.
func endpoint(n *cluster.Node) string {
	if pod := n.Static("kube-apiserver"); pod != nil && pod.Endpoint != "" {
		return pod.Endpoint
	}
	return n.Address
}

// apiServers gives each API server, reached through its own node.
type apiServers struct {
	api   *kube.Client
	hosts *hosts
	nodes []cluster.Node
}

func (a apiServers) APIServers(context.Context) (map[string]gate.APIServer, error) {
	out := map[string]gate.APIServer{}
	for _, n := range a.nodes {
		if n.Role != cluster.ControlPlane {
			continue
		}
		host, ok := a.hosts.byNode[n.Name]
		if !ok {
			return nil, fmt.Errorf("control plane %s is not in the inventory", n.Name)
		}
		server, err := a.api.APIServer(endpoint(&n), host.DialContext)
		if err != nil {
			return nil, err
		}
		out[n.Name] = server
	}
	return out, nil
}

// dns asks CoreDNS from the first control plane that can be reached.
type dns struct {
	*kube.Client
	hosts *hosts
	nodes []cluster.Node
}

func (d dns) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var errs []error
	for _, n := range d.nodes {
		host, ok := d.hosts.byNode[n.Name]
		if !ok || n.Role != cluster.ControlPlane {
			continue
		}
		conn, err := host.DialContext(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errors.New("no control plane is in the inventory")
	}
	return nil, errors.Join(errs...)
}

// executor runs detached commands.
type executor struct{ *detached.Executor }

func (e executor) State(ctx context.Context, h remote.Host, x plan.Execution) (step.ExecutionState, error) {
	st, err := e.Status(ctx, h, x)
	if err != nil {
		return step.ExecutionState{}, err
	}
	phases := map[detached.State]step.Phase{
		detached.Absent: step.Absent, detached.Running: step.Running, detached.Exited: step.Exited, detached.Lost: step.Lost,
	}
	return step.ExecutionState{Phase: phases[st.State], Code: st.Code}, nil
}

// hears turns what runners say into events.
type hears struct {
	engine.Observer
	steps map[string]*plan.Step
}

func newHears(o engine.Observer, p *plan.Plan) hears {
	h := hears{Observer: o, steps: map[string]*plan.Step{}}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		h.steps[s.ID] = s
		return true
	})
	return h
}

func (h hears) Note(stepID, text string) {
	e := engine.Event{At: time.Now(), Kind: engine.StepNote, Step: stepID, Text: text}
	if s := h.steps[stepID]; s != nil {
		e.Node, e.Title = s.Node, s.Title
	}
	h.Event(e)
}

func (h hears) Spent(kind string, from, to time.Time) {
	h.Event(engine.Event{At: to, Kind: engine.TimeSpent, Text: kind, From: from, To: to})
}
