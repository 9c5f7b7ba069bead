package hollow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver/controllers"
	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// assemble makes every part of the cluster and joins them, the members as etcd
// does it; nothing runs yet.
func (c *Cluster) assemble(etcd func(member.Config) (*member.Cluster, error)) error {
	disks := map[string]*vfs.FS{}
	var nodes []member.Node
	for _, p := range c.layout.Hosts {
		disks[p.Name] = vfs.New()
	}
	for _, p := range c.layout.controlPlanes() {
		nodes = append(nodes, member.Node{Name: p.Name, IP: p.IP, FS: disks[p.Name]})
	}
	var err error
	c.etcd, err = etcd(member.Config{Dir: c.etcdDir(), Nodes: nodes, Version: c.layout.Etcd.Bare()})
	if err != nil {
		return err
	}
	c.servers = map[string]*server{}
	for i, p := range c.layout.Hosts {
		h := &host{place: p, cluster: c, executions: &execution.Model{}}
		h.executions.Started = h.started
		config := machine.Config{
			Name: p.Name, Role: p.Role, IP: p.IP, FS: disks[p.Name], PodCIDR: podRange(i), Pace: c.layout.Pace, Catalog: c.known,
			Repository: c.repository, Registry: c.registry, API: c.api, Authority: c.authority,
			Programs: map[string]shell.Program{"sudo": h.sudo()}, Script: h.executions.Script, Powered: h.executions.Power,
			OpenStore: func(db []byte) (machine.Store, error) { return member.OpenCopy(db) },
			Mutation:  func(host string, argv []string) { c.mutations.add(Mutation{At: time.Now(), Host: host, Argv: argv}) },
		}
		if h.isControlPlane() {
			s := &server{cluster: c, place: p, files: disks[p.Name]}
			c.servers[p.Name] = s
			config.APIServer, config.Etcd = s, c.etcd.Member(p.Name)
		}
		h.machine = machine.New(config)
		c.hosts = append(c.hosts, h)
	}
	return nil
}

func (c *Cluster) etcdDir() string { return filepath.Join(c.dir, etcdDir) }

// podRange is what the i-th node gives its pods.
func podRange(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i + 1), 0}), 24)
}

// started logs an execution of kup's before it runs.
func (h *host) started(x execution.Execution) {
	h.cluster.mutations.add(Mutation{At: time.Now(), Host: h.Name, Argv: x.Argv, Run: x.Run, Step: x.Step, Attempt: x.Attempt})
}

// provision makes the hosts what kubeadm init and join made of them.
func (c *Cluster) provision() error {
	config := manifest.NewConfig(c.layout.Name, c.layout.endpoint(), podCIDR, c.layout.Start)
	balancer, _, err := net.SplitHostPort(c.layout.endpoint())
	if err != nil {
		return err
	}
	var joined []string
	for _, h := range c.hosts {
		p := machine.Provisioning{Config: config, Users: []string{sshUser}, SANs: []string{balancer}}
		if h.isControlPlane() {
			p.EtcdTag = c.layout.Etcd.Bare() + "-0"
			p.First = joined == nil
			joined = append(joined, fmt.Sprintf("%s=https://%s", h.Name, net.JoinHostPort(h.IP, "2380")))
			if !p.First {
				p.Joined = joined
			}
		}
		if err := h.machine.Provision(p); err != nil {
			return err
		}
		if err := h.machine.Join(c.store); err != nil {
			return err
		}
		if h.expires, err = expiries(h.machine.FS()); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

var errNoAPI = errors.New("connect: connection refused")

// probeInterval is how often the load balancer asks its backends.
const probeInterval = 2 * time.Second

// startServers starts what the hosts' programs and pods talk to. The API servers
// themselves are started by their hosts.
func (c *Cluster) startServers(ctx context.Context) error {
	var backends []string
	for _, p := range c.layout.controlPlanes() {
		backends = append(backends, net.JoinHostPort(p.IP, apiPort))
	}
	interval := max(time.Duration(float64(probeInterval)*c.layout.Pace), leastProbe)
	var err error
	c.balancer, err = newBalancer(ctx, c.layout.endpoint(), backends, interval)
	c.store.Mirror(func(key string, value []byte) {
		if value == nil {
			c.etcd.Delete(key)
		} else {
			c.etcd.Put(key, value)
		}
	})
	return err
}

// leastProbe keeps health checks from being all that the computer does.
const leastProbe = 100 * time.Millisecond

// startControllers starts those of the controller manager and the scheduler. They
// end with ctx.
func (c *Cluster) startControllers(ctx context.Context) {
	able := func() bool {
		_, err := c.api()
		return err == nil
	}
	c.running.Go(func() { controllers.Run(ctx, c.store, controllers.Options{Pace: c.layout.Pace, Able: able}) })
}
