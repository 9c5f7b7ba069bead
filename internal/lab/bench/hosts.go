package bench

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/pkg/cluster"
)

// repositoryURL is where the hosts' packages come from; nothing listens there.
const repositoryURL = "https://pkgs.hollow.test/core:/stable:/v{minor}/deb/"

// How long a modelled second takes on a host. A plan waits for one thing that is
// modelled as slow, the download of package indexes, on a control plane: with this
// pace it takes 0.3 s each. Elsewhere time is real, or a thousand kubelets would
// report every second.
const (
	controlPlanePace = 0.1
	workerPace       = 1
)

// fleet is all hosts.
type fleet struct {
	layout     *layout
	authority  *pki.Authority
	repository *debian.Repository
	registry   *machine.Registry
	user       ed25519.PrivateKey
	hosts      []*host
	// replies are shared by the workers; nil: each answers from its own model.
	replies *replies
	// latency is how long a host takes to answer a command at least.
	latency time.Duration
	// commands is how many were run on all hosts.
	commands atomic.Int64
}

// host is a hollow machine with its SSH server.
type host struct {
	place
	fleet   *fleet
	machine *machine.Machine
	// objects are the API as the host's own programs see it: its node, its lease, the
	// mirrors of its static pods, kubeadm's configuration. Each host has its own, so
	// that a thousand kubelets do not read each other's.
	objects *apiserver.Store
	key     ed25519.PrivateKey
	ssh     *sshd.Server
	// identity is a worker's, when the fleet has replies.
	identity identity
}

// newFleet makes the hosts what kubeadm made of them; nothing runs yet. Where that
// fails, what was made needs no closing.
func newFleet(l *layout, target cluster.Version) (*fleet, error) {
	f := &fleet{layout: l, repository: debian.NewRepository(repositoryURL), registry: machine.NewRegistry()}
	var err error
	if f.authority, err = pki.New(); err != nil {
		return nil, err
	}
	if _, f.user, err = ed25519.GenerateKey(nil); err != nil {
		return nil, fmt.Errorf("SSH key: %w", err)
	}
	for _, v := range []cluster.Version{l.start, target} {
		machine.Publish(f.repository, v)
		if err := f.registry.AddRelease(l.known, v); err != nil {
			return nil, err
		}
	}
	f.registry.Add("registry.k8s.io/etcd:" + l.etcd.Bare() + "-0")
	f.hosts = make([]*host, len(l.places))
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i, p := range l.places {
		f.hosts[i] = &host{place: p, fleet: f, objects: apiserver.NewStore()}
		g.Go(f.hosts[i].provision)
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return f, nil
}

// provision makes the machine and its files.
func (h *host) provision() error {
	l := h.fleet.layout
	executions, pace := &execution.Model{}, float64(workerPace)
	if h.role == cluster.ControlPlane {
		pace = controlPlanePace
	}
	h.machine = machine.New(machine.Config{
		Name: h.name, Role: h.role, IP: h.ip, PodCIDR: h.pods, Pace: pace, Catalog: l.known,
		Repository: h.fleet.repository, Registry: h.fleet.registry, Authority: h.fleet.authority,
		API:      func() (machine.Objects, error) { return h.objects, nil },
		Programs: map[string]shell.Program{"sudo": sshd.Sudo(sshd.Sudoers{sshUser: ""})},
		Script:   executions.Script, Powered: executions.Power,
	})
	p := machine.Provisioning{Config: l.config(), Users: []string{sshUser}, SANs: []string{l.balancer()}}
	if h.role == cluster.ControlPlane {
		p.EtcdTag = l.etcd.Bare() + "-0"
		p.First = h.name == l.places[0].name
		for _, other := range l.controlPlanes() {
			if other.name == h.name {
				break
			}
			p.Joined = append(p.Joined, peer(other))
		}
		if !p.First {
			p.Joined = append(p.Joined, peer(h.place))
		}
	}
	var err error
	if _, h.key, err = ed25519.GenerateKey(nil); err != nil {
		return fmt.Errorf("%s: host key: %w", h.name, err)
	}
	return errors.Join(h.machine.Provision(p), h.machine.Join(h.objects), machine.UploadConfig(h.objects, p.Config, l.start.Line()))
}

// run boots the hosts and serves SSH, and returns when their kubelets have reported.
func (f *fleet) run(ctx context.Context) error {
	user, err := ssh.NewPublicKey(f.user.Public())
	if err != nil {
		return fmt.Errorf("SSH key: %w", err)
	}
	for _, h := range f.hosts {
		if err := h.machine.Resume(); err != nil {
			return err
		}
		if err := h.identify(); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		h.ssh, err = sshd.Start(context.WithoutCancel(ctx), h, sshd.Config{
			HostKey: h.key, Users: map[string][]ssh.PublicKey{sshUser: {user}}, Listen: net.JoinHostPort(h.ip, strconv.Itoa(sshPort)),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	for _, h := range f.hosts {
		if err := h.reported(ctx); err != nil {
			return err
		}
	}
	return nil
}

// staticPods is how many a control plane runs.
const staticPods = 4

// reported waits until the kubelet has put into the API what it keeps there.
func (h *host) reported(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		leases, err := h.objects.List(resourceLeases, "")
		if err != nil {
			return err
		}
		pods, err := h.objects.List(corev1.SchemeGroupVersion.WithResource("pods"), "")
		if err != nil {
			return err
		}
		if len(leases) > 0 && (h.role != cluster.ControlPlane || len(pods) == staticPods) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: its kubelet did not report: %w", h.name, ctx.Err())
		case <-tick.C:
		}
	}
}

// close stops all hosts, several at once.
func (f *fleet) close() error {
	var g errgroup.Group
	g.SetLimit(16 * runtime.NumCPU()) // they wait more than they work
	var mu sync.Mutex
	var errs []error
	for _, h := range f.hosts {
		g.Go(func() error {
			if h.ssh != nil {
				if err := h.ssh.Close(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
			if h.machine != nil {
				h.machine.Close()
			}
			return nil
		})
	}
	return errors.Join(append(errs, g.Wait())...)
}

// Exec implements sshd.Machine.
func (h *host) Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	h.fleet.commands.Add(1)
	if wait := h.fleet.latency; wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	if h.role == cluster.Worker && h.fleet.replies != nil {
		return h.replay(ctx, user, line, stdin, stdout, stderr)
	}
	return h.machine.Exec(ctx, user, line, stdin, stdout, stderr)
}

// Dial implements sshd.Machine: a control plane reaches its own etcd member, and the
// API server, which is one for all.
func (h *host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	local := name == "127.0.0.1" || name == "localhost" || name == h.ip
	switch {
	case h.role == cluster.ControlPlane && local && port == clientPort:
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(h.ip, clientPort))
	case port == apiPort:
		return new(net.Dialer).DialContext(ctx, "tcp", h.fleet.layout.endpoint())
	}
	return nil, fmt.Errorf("connect to %s: %w", addr, syscall.ECONNREFUSED)
}
