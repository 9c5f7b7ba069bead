package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
)

// atOnce is how many hosts are surveyed at the same time: what is waited for is
// the network, a round trip for every command.
const atOnce = 64

// API is what the cluster's API tells.
type API interface {
	Observe(ctx context.Context) (cluster.Facts, error)
	// ClusterConfiguration is kubeadm's, as stored; empty when there is none.
	ClusterConfiguration(ctx context.Context) (string, error)
}

// Etcd is what the cluster's store tells.
type Etcd interface {
	Members(ctx context.Context) ([]cluster.Member, error)
	Alarms(ctx context.Context) ([]string, error)
}

// Input is what there is to look at.
type Input struct {
	API API
	// Hosts are the machines of the inventory by node name; nil: none can be
	// reached, and what only they know stays unchecked.
	Hosts map[string]remote.Host
	// Pools are the workers' pools by node name.
	Pools map[string]string
	Etcd  Etcd // nil: not reached

	Settings Settings
}

// Settings are the inventory's wishes that a survey depends on.
type Settings struct {
	Manager    string // apt, dnf or binaries
	Repository string // URL of the package repository, with {minor} in it
	PatchesDir string // directory on the nodes given to kubeadm; empty: none
}

// Survey observes the cluster. What some part of it would not tell is named in
// Unchecked; the error is about the API itself, or about ctx.
func Survey(ctx context.Context, in Input) (cluster.Facts, error) {
	facts, err := in.API.Observe(ctx)
	if err != nil {
		return cluster.Facts{}, err
	}
	s := &survey{in: in, facts: &facts}
	s.addHosts()
	if in.Hosts == nil {
		s.unchecked("no host was surveyed over SSH: packages, certificates, disks and files edited by hand are unknown")
	} else if err := s.hosts(ctx); err != nil {
		return cluster.Facts{}, err
	}
	if err := s.etcd(ctx); err != nil {
		return cluster.Facts{}, err
	}
	slices.Sort(facts.Unchecked)
	facts.At = time.Now().UTC()
	return facts, nil
}

type survey struct {
	in     Input
	config string // kubeadm's ClusterConfiguration
	facts  *cluster.Facts
	mutex  sync.Mutex // guards facts.Unchecked
}

func (s *survey) unchecked(format string, args ...any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.facts.Unchecked = append(s.facts.Unchecked, sentence(format, args...))
}

// addHosts makes a node of every host that the API does not know, and puts
// workers into their pools.
func (s *survey) addHosts() {
	for name := range s.in.Hosts {
		if s.facts.Node(name) == nil {
			s.facts.Nodes = append(s.facts.Nodes, cluster.Node{Name: name, Role: cluster.Worker})
		}
	}
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		n.Pool = s.in.Pools[n.Name]
	}
}

// hosts surveys all hosts. A host that fails is named, and the others go on.
func (s *survey) hosts(ctx context.Context) error {
	var err error
	if s.config, err = s.in.API.ClusterConfiguration(ctx); err != nil {
		s.unchecked("kubeadm's configuration could not be read, so that files edited by hand were not looked for: %v", err)
	}
	g, hostCtx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		h := s.in.Hosts[n.Name]
		if h == nil {
			continue
		}
		g.Go(func() error {
			if err := s.host(hostCtx, n, h); err != nil {
				if hostCtx.Err() != nil {
					return err
				}
				s.unchecked("%s could not be surveyed: %v", n.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("survey the hosts: %w", err)
	}
	slices.SortStableFunc(s.facts.Nodes, func(a, b cluster.Node) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name)) // "control-plane" sorts before "worker"
	})
	return ctx.Err()
}

// host surveys one host.
func (s *survey) host(ctx context.Context, n *cluster.Node, h remote.Host) error {
	found, err := look(ctx, h, s.in.Settings.PatchesDir, n.CRISocket)
	if err != nil {
		return err
	}
	if n.CRISocket == "" {
		n.CRISocket = found.socket
	}
	if !n.InAPI && found.apiServer.image != "" {
		n.Role = cluster.ControlPlane
	}
	if n.Role == cluster.ControlPlane {
		if found.host.Certificates, found.host.ExternalCA, err = certificates(ctx, h); err != nil {
			return err
		}
	}
	n.Host = &found.host
	if managed := s.in.Settings.Manager == "apt" || s.in.Settings.Manager == "dnf"; managed && len(found.host.Packages) == 0 {
		s.unchecked("%s: packages.manager is %s, but no Kubernetes package is installed there that it knows of", n.Name, s.in.Settings.Manager)
	}
	if s.config == "" || !n.InAPI {
		return nil
	}
	e := edits{node: n, found: &found, config: s.config, clusterVersion: s.facts.Kubeadm.ClusterVersion, patches: s.in.Settings.PatchesDir}
	var reason string
	n.Host.HandEdits, reason, err = e.find(ctx, h)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		s.unchecked("files edited by hand were not looked for on %s: %v", n.Name, err)
	case reason != "":
		s.unchecked("%s: %s", n.Name, reason)
	}
	return nil
}

func (s *survey) etcd(ctx context.Context) error {
	if s.in.Etcd == nil {
		s.unchecked("etcd was not reached: its members, their health and alarms are unknown")
		return nil
	}
	members, membersErr := s.in.Etcd.Members(ctx)
	alarms, alarmsErr := s.in.Etcd.Alarms(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("survey etcd: %w", ctx.Err())
	}
	s.facts.Etcd.Members, s.facts.Etcd.Alarms = members, alarms
	if err := errors.Join(membersErr, alarmsErr); err != nil {
		s.unchecked("etcd could not be read: %v", err)
	}
	return nil
}
