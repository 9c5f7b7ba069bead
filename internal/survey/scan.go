package survey

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
)

// Scanner is what the cluster's API tells beyond facts.
type Scanner interface {
	// ClusterConfiguration is kubeadm's, as stored; empty when there is none.
	ClusterConfiguration(ctx context.Context) (string, error)
	Placement(ctx context.Context) (cluster.Placement, error)
	Objects(ctx context.Context) (cluster.Objects, error)
}

// Store is what the cluster's store tells beyond facts.
type Store interface {
	// Stored reads what every object below the API servers' prefix in etcd is
	// stored as, from a copy of the store. An empty prefix is their default.
	Stored(ctx context.Context, prefix string) (cluster.Stored, error)
}

// ScanInput is what there is to look at. A nil side is not looked at.
type ScanInput struct {
	API      Scanner
	Hosts    map[string]remote.Host
	Store    Store
	Settings Settings
}

// Scan observes what preflight judges beyond facts. What some part of it would
// not tell is named in Unchecked; the error is about ctx.
func Scan(ctx context.Context, in ScanInput, facts *cluster.Facts) (cluster.Scan, error) {
	s := &scan{in: in, out: cluster.Scan{Startup: map[string]*cluster.Startup{}, HostStates: map[string]*cluster.HostState{}}}
	if err := s.kubeadm(ctx); err != nil {
		return cluster.Scan{}, fmt.Errorf("scan the cluster: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	g.Go(func() error { return s.placement(gctx) })
	g.Go(func() error { return s.objects(gctx) })
	if in.Store != nil {
		g.Go(func() error { return s.store(gctx) })
	}
	for i := range facts.Nodes {
		n := &facts.Nodes[i]
		if h := in.Hosts[n.Name]; h != nil && n.Host != nil {
			g.Go(func() error { return s.host(gctx, n, h) })
		}
	}
	if err := g.Wait(); err != nil {
		return cluster.Scan{}, fmt.Errorf("scan the cluster: %w", err)
	}
	slices.Sort(s.out.Unchecked)
	return s.out, nil
}

type scan struct {
	in    ScanInput
	args  *cluster.ClusterArgs // nil: not known
	mutex sync.Mutex           // guards out
	out   cluster.Scan
}

// found takes a part, or says why there is none. The error is that of ctx alone.
func (s *scan) found(ctx context.Context, what string, err error, take func()) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil {
		s.out.Unchecked = append(s.out.Unchecked, sentence("%s: %v", what, err))
		return nil
	}
	take()
	return nil
}

// kubeadm reads what every hop starts the control plane's components with.
func (s *scan) kubeadm(ctx context.Context) error {
	text, err := s.in.API.ClusterConfiguration(ctx)
	if err == nil && text != "" {
		s.args, err = clusterArgs(text)
	}
	return s.found(ctx, "what kubeadm's configuration starts the components with could not be read", err, func() {})
}

func (s *scan) placement(ctx context.Context) error {
	placement, err := s.in.API.Placement(ctx)
	return s.found(ctx, "which pods run where could not be read, so that no drain was simulated", err, func() { s.out.Placement = &placement })
}

func (s *scan) objects(ctx context.Context) error {
	objects, err := s.in.API.Objects(ctx)
	return s.found(ctx, "the versions that objects are written in could not be read", err, func() {
		s.out.Objects = &objects
		s.out.Unchecked = append(s.out.Unchecked, objects.Unchecked...)
	})
}

func (s *scan) store(ctx context.Context) error {
	stored, err := s.in.Store.Stored(ctx, s.prefix())
	return s.found(ctx, "the stored objects could not be read, so that nobody knows whether every hop can read them", err, func() { s.out.Stored = &stored })
}

// prefix is the API servers' --etcd-prefix; empty: their default.
func (s *scan) prefix() string {
	if s.args == nil {
		return ""
	}
	server := s.args.Component("kube-apiserver")
	if server == nil {
		return ""
	}
	if flag := server.Flag("etcd-prefix"); flag != nil {
		return flag.Value
	}
	return ""
}

func (s *scan) host(ctx context.Context, n *cluster.Node, h remote.Host) error {
	started, err := startup(ctx, h, n)
	err = s.found(ctx, n.Name+": what its components are started with could not be read", err, func() {
		if n.Role == cluster.ControlPlane {
			started.Cluster = s.args
		}
		s.out.Startup[n.Name] = started
	})
	if err != nil {
		return err
	}
	state, err := hostState(ctx, h, n, s.in.Settings)
	return s.found(ctx, n.Name+": the state of its system could not be read", err, func() { s.out.HostStates[n.Name] = state })
}
