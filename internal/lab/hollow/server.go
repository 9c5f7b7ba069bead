package hollow

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
)

// server is the API server of one control plane: its host starts and stops it, a
// fault can take it off the network.
type server struct {
	cluster *Cluster
	place   place
	files   pki.Files

	// process is nil before the first start.
	process atomic.Pointer[apiserver.Server]

	mu      sync.Mutex // held while the process starts or stops
	wanted  string     // the release its host runs; empty: none
	failing map[string]string
	hidden  bool
}

var _ machine.APIServer = (*server)(nil)

// errNoLeader is what a request comes to while etcd has no quorum.
var errNoLeader = errors.New("etcdserver: no leader")

// Start implements machine.APIServer. The certificates must be on the host.
func (s *server) Start(ctx context.Context, version string) error {
	if err := s.cluster.reread(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process.Load() == nil {
		secure, err := pki.ServerTLS(s.files)
		if err != nil {
			return err
		}
		s.process.Store(apiserver.NewServer(apiserver.Config{
			Store: s.cluster.store, Address: net.JoinHostPort(s.place.IP, apiPort), TLS: secure,
			Before: s.before, Audit: s.cluster.requests.end,
		}))
	}
	s.wanted = version
	return s.apply(ctx)
}

// reread has the modelled API hold what etcd holds, after etcd's data were replaced.
func (c *Cluster) reread(ctx context.Context) error {
	c.rereading.Lock()
	defer c.rereading.Unlock()
	values, bump, fresh, err := c.etcd.Restored(ctx, "/registry/")
	if err != nil || !fresh {
		return err
	}
	return c.store.Replace(values, bump)
}

// before tells of what kup wants and refuses everything while etcd has no quorum.
func (s *server) before(r *http.Request) error {
	s.cluster.requests.begin(r)
	if !s.cluster.etcd.Serving() {
		return errNoLeader
	}
	return nil
}

// Stop implements machine.APIServer.
func (s *server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = ""
	return s.apply(ctx)
}

// SetFailing implements machine.APIServer.
func (s *server) SetFailing(checks map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = checks
	if p := s.process.Load(); p != nil {
		p.SetFailing(checks)
	}
}

// apply starts or stops the process as its host and the faults want it.
func (s *server) apply(ctx context.Context) error {
	p := s.process.Load()
	switch {
	case p == nil:
		return nil
	case s.wanted == "" || s.hidden:
		return p.Stop(ctx)
	}
	p.SetFailing(s.failing)
	return p.Start(ctx, s.wanted)
}

// hide takes the server off the network, or puts it back.
func (s *server) hide(hidden bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = hidden
	if p := s.process.Load(); hidden && p != nil {
		p.Kill()
		return nil
	}
	return s.apply(context.Background())
}

// die takes the server off the network until its host starts it again.
func (s *server) die() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = false
	if p := s.process.Load(); p != nil {
		p.Kill()
	}
	return nil
}

// serves tells whether the server takes requests.
func (s *server) serves() bool {
	p := s.process.Load()
	return p != nil && p.Running()
}
