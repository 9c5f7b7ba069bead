package survey

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
)

// atOnce is how many hosts are visited at the same time: what is waited for is the
// network.
const atOnce = 64

// UnreachableError are hosts that could not be reached. Nothing is planned then.
type UnreachableError struct {
	Failed map[string]error // by node
}

// Error is one line, by node.
func (e *UnreachableError) Error() string {
	var lines []string
	for _, node := range slices.Sorted(maps.Keys(e.Failed)) {
		lines = append(lines, e.Failed[node].Error())
	}
	return strings.Join(lines, "; ")
}

// hosts visits all hosts. A host that fails is named, and the others go on. The first
// that cannot be reached ends what is not the reaching of others.
func (s *survey) hosts(ctx context.Context, giveUp func()) error {
	s.addHosts()
	g, hostCtx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		h := s.in.Hosts[n.Name]
		if h == nil {
			continue
		}
		g.Go(func() error {
			if s.in.Leave != nil {
				defer s.in.Leave(n.Name)
			}
			if !s.reach(hostCtx, n.Name) {
				giveUp()
				return hostCtx.Err()
			}
			if unit, external := s.in.EtcdHosts[n.Name]; external && n.Role == cluster.EtcdHost {
				return s.etcdHost(hostCtx, n, h, unit)
			}
			return s.host(hostCtx, n, h)
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("survey the hosts: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if len(s.unreachable) > 0 {
		return &UnreachableError{Failed: s.unreachable}
	}
	slices.SortStableFunc(s.facts.Nodes, func(a, b cluster.Node) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name)) // "control-plane" sorts before "etcd" and "worker"
	})
	return nil
}

// addHosts makes a node of every host that the API does not know, and puts
// workers into their pools.
func (s *survey) addHosts() {
	for name := range s.in.Hosts {
		if s.facts.Node(name) != nil {
			continue
		}
		role := cluster.Worker
		if _, external := s.in.EtcdHosts[name]; external {
			role = cluster.EtcdHost
		}
		s.facts.Nodes = append(s.facts.Nodes, cluster.Node{Name: name, Role: role})
	}
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		if n.Role != cluster.EtcdHost {
			n.Pool = s.in.Pools[n.Name]
		}
	}
}

// reach tells whether the host is to be visited: it was reached, and so were all that
// were tried so far.
func (s *survey) reach(ctx context.Context, node string) bool {
	var err error
	if s.in.Reach != nil {
		err = s.in.Reach(ctx, node)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil {
		s.unreachable[node] = err
	}
	return len(s.unreachable) == 0
}

// host visits one host. The error is that of ctx alone.
func (s *survey) host(ctx context.Context, n *cluster.Node, h remote.Host) error {
	v, err := s.call(n).pay(ctx, h)
	if err == nil {
		err = s.read(ctx, n, v)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.unchecked("%s could not be surveyed: %v", n.Name, err)
		return nil
	}
	return s.beyond(ctx, n, v)
}

// call says what a visit of the host asks for.
func (s *survey) call(n *cluster.Node) call {
	c := call{socket: n.CRISocket, patches: s.in.Settings.PatchesDir, controlPlane: n.Role == cluster.ControlPlane}
	// A control plane's files need a configuration that is made of what the host says.
	if installed := s.facts.Kubeadm.ClusterVersion; !c.controlPlane && n.InAPI && s.config != "" && !installed.IsZero() && installed.Line() == n.Kubelet.Line() {
		c.edits = installed.Line()
	}
	return c
}

// read takes the facts out of a visit.
func (s *survey) read(ctx context.Context, n *cluster.Node, v *visit) error {
	found, err := look(ctx, v, s.in.Settings.PatchesDir, n.CRISocket)
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
		var keyless map[string]bool
		if found.host.Certificates, keyless, err = certificates(ctx, v); err != nil {
			return err
		}
		if s.facts.Etcd.Topology == "external" {
			delete(keyless, "etcd/ca") // kubeadm renews nothing of an external etcd
		}
		found.host.ExternalCA = len(keyless) > 0
	}
	n.Host = &found.host
	if managed := s.in.Settings.Manager == "apt" || s.in.Settings.Manager == "dnf"; managed && len(found.host.Packages) == 0 {
		s.unchecked("%s: packages.manager is %s, but no Kubernetes package is installed there that it knows of", n.Name, s.in.Settings.Manager)
	}
	if s.config == "" || !n.InAPI {
		return nil
	}
	e := edits{
		node: n, found: &found, config: s.config, clusterVersion: s.facts.Kubeadm.ClusterVersion,
		patches: s.in.Settings.PatchesDir, compared: s.compared,
	}
	var reason string
	n.Host.HandEdits, reason, err = e.find(ctx, v)
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
