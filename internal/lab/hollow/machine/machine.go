package machine

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/pkg/cluster"
)

// APIServer is the process behind the static pod kube-apiserver of one host.
type APIServer interface {
	// Start serves as a release, "v1.32.13"; one that runs is left alone.
	Start(ctx context.Context, version string) error
	// Stop cuts all connections; one that does not run is left alone.
	Stop(ctx context.Context) error
	// SetFailing names the checks of /readyz that fail, with the reason; none when
	// it is ready.
	SetFailing(checks map[string]string)
}

// Etcd is the process behind the static pod etcd of one host.
type Etcd interface {
	// Start starts it as a version, "3.5.24", and does not wait until it serves.
	Start(ctx context.Context, version string) error
	Ready(ctx context.Context) error
	Stop(ctx context.Context) error
	// Kill ends it as a power cut does.
	Kill()
	// Restore puts a database in the place of its data; it does not run. It starts next
	// as that version.
	Restore(db []byte, bump int64, token, version string) error
	// Certify has it use the certificates that now lie on the host.
	Certify() error
	// Empty sets its data aside; it does not run. It starts next as a member that
	// joins: initialCluster is what its flag of that name says.
	Empty(initialCluster string) error
}

// Config says what a machine is and what surrounds it.
type Config struct {
	Name    string
	Role    cluster.Role
	IP      string
	PodCIDR netip.Prefix // addresses of its pods
	FS      *vfs.FS      // nil: a new one
	// Pace is how long a second takes, in seconds.
	Pace       float64
	Catalog    *catalog.Catalog
	Repository *debian.Repository
	Registry   *Registry
	// API gives the cluster's objects, or says why the API does not answer.
	API func() (Objects, error)

	// The rest may be left out.

	Authority *pki.Authority // signs what kubeadm renews
	APIServer APIServer      // of a control plane
	Etcd      Etcd           // of a control plane
	// OpenStore opens a database for an etcd that is started by hand.
	OpenStore func(db []byte) (Store, error)
	// Programs add to the machine's own: sudo.
	Programs map[string]shell.Program
	// Script is asked before a shell script is run from a file: [shell.Shell.Script].
	Script func(ctx context.Context, p *shell.Process, file, text string, args []string) (handled bool, code int)
	// Mutation is told of every command that is about to change the host or, from
	// it, the cluster. It is called by several goroutines.
	Mutation func(host string, argv []string)
	// Powered is told of every boot before anything runs in it.
	Powered func(*execution.Boot)
}

// Machine is one host. It is safe for concurrent use. It is off until PowerOn or
// Resume, and must be closed.
type Machine struct {
	cfg      Config
	fs       *vfs.FS
	shell    *shell.Shell
	packages *debian.System
	runtime  *containers
	log      *journal
	parsed   parsed
	closing  chan struct{}
	tasks    sync.WaitGroup // what outlives a boot

	byHand sync.Mutex // guards aside
	aside  *aside

	power sync.Mutex // one change of power at a time
	mu    sync.Mutex // guards what follows
	boot  *execution.Boot
	unit  *unit // the kubelet's
	skew  time.Duration
	sick  map[cluster.Version]bool // kubelets that never become ready
	// crashing programs, "etcd 3.6.5", end as soon as they have started.
	crashing map[string]bool
	pid      int

	posted  time.Time // when the kubelet last posted its node's status
	missing bool      // its heartbeats are being missed
	closed  bool
}

// New makes a machine that is off. Its file system is as it was given: see
// Provision.
func New(c Config) *Machine {
	if c.FS == nil {
		c.FS = vfs.New()
	}
	m := &Machine{
		cfg: c, fs: c.FS, runtime: newContainers(), log: &journal{}, closing: make(chan struct{}),
		sick: map[cluster.Version]bool{}, crashing: map[string]bool{}, pid: firstPID,
	}
	m.packages = &debian.System{
		Host: c.Name, Architecture: architecture, Repository: c.Repository, Wait: m.wait,
		Mutated: m.mutated, Unpacked: m.unpacked,
	}
	m.runtime.changed = m.listening
	m.shell = shell.New(m.fs, m.programs())
	m.shell.Pace = c.Pace
	m.shell.Now = m.now
	m.shell.Script = c.Script
	m.fs.SetClock(m.now)
	return m
}

const (
	architecture = "amd64"
	firstPID     = 640
)

// Name is the host's name, which is its node's too.
func (m *Machine) Name() string { return m.cfg.Name }

// IP is the host's address.
func (m *Machine) IP() string { return m.cfg.IP }

// Role is what the host was made for.
func (m *Machine) Role() cluster.Role { return m.cfg.Role }

// FS is the host's file system.
func (m *Machine) FS() *vfs.FS { return m.fs }

// Shell runs commands on the host.
func (m *Machine) Shell() *shell.Shell { return m.shell }

// Boot is the present one; nil before the first.
func (m *Machine) Boot() *execution.Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot
}

// Exec runs a line in the login shell of a user, as SSH does. It ends with ctx and
// with the boot.
func (m *Machine) Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	const lost = 255
	boot := m.Boot()
	if boot == nil || boot.Context().Err() != nil {
		return lost
	}
	ctx, cancel := boot.Bind(ctx)
	defer cancel()
	home := "/home/" + user
	if user == "root" {
		home = "/root"
	}
	return m.shell.Exec(ctx, &shell.Process{
		Args: []string{"sh", "-c", line}, Dir: home, Stdin: stdin, Stdout: stdout, Stderr: stderr, FS: m.fs, Root: user == "root", Shell: m.shell,
		Env: shell.Environment(map[string]string{
			"USER": user, "LOGNAME": user, "HOME": home, "SHELL": "/bin/sh", "LANG": "C.UTF-8",
			"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
		}, nil),
	})
}

// wait takes as long as something that takes d on a real machine, unless ctx ends.
func (m *Machine) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(m.scaled(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Machine) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * m.cfg.Pace)
}

// now is the host's clock.
func (m *Machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.skew)
}

func (m *Machine) mutated(argv []string) {
	if m.cfg.Mutation != nil {
		m.cfg.Mutation(m.cfg.Name, argv)
	}
}
