package machine_test

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// direct runs executions on the spot.
type direct struct {
	mu    sync.Mutex
	codes map[string]int
	last  map[string]plan.Execution
}

func (d *direct) Run(ctx context.Context, h remote.Host, x plan.Execution, c remote.Command, _ func(string)) (remote.Result, error) {
	res, err := h.Run(ctx, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.codes[x.String()], d.last[x.Step] = 0, x
	if err != nil {
		d.codes[x.String()] = 1
	}
	return res, err
}

func (d *direct) State(_ context.Context, _ remote.Host, x plan.Execution) (step.ExecutionState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	code, ran := d.codes[x.String()]
	if !ran {
		return step.ExecutionState{}, nil
	}
	return step.ExecutionState{Phase: step.Exited, Code: code}, nil
}

type hosts map[string]*host

func (h hosts) Host(node string) (remote.Host, error) {
	if h[node] == nil {
		return nil, fs.ErrNotExist
	}
	return connection{h[node]}, nil
}

// artefacts keeps what steps record.
type artefacts struct {
	mu   sync.Mutex
	list []step.Artefact
}

func (a *artefacts) Put(_ context.Context, one step.Artefact) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, one)
	return nil
}

func (a *artefacts) Get(hop, name, node string) (step.Artefact, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.list, func(one step.Artefact) bool { return one.Hop == hop && one.Name == name && one.Node == node })
	if i < 0 {
		return step.Artefact{}, false
	}
	return a.list[i], true
}

func (a *artefacts) Dir() string { return os.TempDir() }

type quiet struct{}

func (quiet) Note(string, string)                {}
func (quiet) Spent(string, time.Time, time.Time) {}

func (d *direct) begun(step string) (plan.Execution, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, ok := d.last[step]
	return x, ok
}

func runners(s hosts) map[plan.Kind]step.Runner {
	d := &direct{codes: map[string]int{}, last: map[string]plan.Execution{}}
	return step.New(step.Deps{Hosts: s, Executor: d, Artefacts: &artefacts{}, Observer: quiet{}, Last: d.begun})
}

// do takes a step as kup does and asks whether it is done, before and after.
func do(t *testing.T, r map[plan.Kind]step.Runner, s plan.Step) {
	t.Helper()
	done, err := r[s.Kind].Done(t.Context(), s)
	if err != nil || done {
		t.Fatalf("%s: done before it ran: %v, %v", s.ID, done, err)
	}
	if err := r[s.Kind].Run(t.Context(), s, plan.Execution{Run: "r", Step: s.ID, Attempt: 1}); err != nil {
		t.Fatalf("%s: %v", s.ID, err)
	}
	if done, err = r[s.Kind].Done(t.Context(), s); err != nil || !done {
		t.Fatalf("%s: not done after it ran: %v, %v", s.ID, done, err)
	}
}

func packageStep(kind plan.Kind, name string, v cluster.Version, names ...string) plan.Step {
	var pins []string
	for _, n := range names {
		pins = append(pins, n+"="+v.Bare()+"-1.1")
	}
	return plan.Step{
		ID: v.Line().String() + "/x/w-1/" + name, Kind: kind, Node: "w-1",
		Args: map[string]string{
			"manager": "apt", "packages": strings.Join(pins, "\n"), "version": v.String(), "hold": "true", "lockTimeout": "5m0s",
			"repository": "https://pkgs.hollow.test/core:/stable:/v" + v.Line().String() + "/deb/", "repositoryFile": machine.SourceFile, "signingKey": machine.KeyFile,
		},
	}
}

// The steps that kup takes on a host, by its own runners and scripts.
func TestSteps(t *testing.T) {
	s := newSite(t, version("v1.31.14"), "v1.32.13")
	h := s.add("w-1", cluster.Worker, "127.77.9.31")
	r, to := runners(hosts{"w-1": h}), version("v1.32.13")

	backup := plan.Step{ID: "1.32/prepare/w-1/backup", Kind: plan.KindBackup, Node: "w-1", Args: map[string]string{
		"hop": "1.32", "paths": "/etc/kubernetes\n/var/lib/kubelet/config.yaml\n/etc/sysconfig/kubelet", "exclude": "/etc/kubernetes/tmp",
	}}
	do(t, r, backup)
	do(t, r, packageStep(plan.KindFetch, "fetch", to, "kubeadm", "kubelet", "kubectl"))
	if _, err := h.FS().Stat("/var/cache/apt/archives/kubelet_1.32.13-1.1_amd64.deb"); err != nil {
		t.Error(err)
	}
	if got := h.must(t, "cat "+machine.SourceFile); !strings.Contains(got, "v1.31/deb") {
		t.Errorf("fetching changed the host's own source: %s", got)
	}
	images := plan.Step{ID: "1.32/prepare/w-1/images", Kind: plan.KindImages, Node: "w-1", Args: map[string]string{
		"images": "registry.k8s.io/kube-proxy:v1.32.13\nregistry.k8s.io/pause:3.10", "socket": "unix:///run/containerd/containerd.sock",
	}}
	do(t, r, images)
	do(t, r, packageStep(plan.KindPackages, "kubeadm", to, "kubeadm"))
	kubelet := packageStep(plan.KindPackages, "kubelet", to, "kubelet", "kubectl")
	kubelet.Args["restart"] = "kubelet"
	do(t, r, kubelet)
	held, err := h.Held()
	if err != nil || !slices.Equal(held, []string{"kubeadm", "kubectl", "kubelet"}) {
		t.Errorf("held are %v, %v", held, err)
	}
	eventually(t, "the node's kubelet at v1.32.13", func() bool { return s.node(t, "w-1").Status.NodeInfo.KubeletVersion == "v1.32.13" })
}
