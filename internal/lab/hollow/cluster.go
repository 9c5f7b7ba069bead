package hollow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/pkg/cluster"
)

// Cluster is a modelled cluster that runs. It must be closed.
type Cluster struct {
	dir       string
	layout    layout
	known     *catalog.Catalog
	keys      keys
	authority *pki.Authority
	claim     *member.Claim

	repository *debian.Repository
	registry   *machine.Registry
	store      *apiserver.Store
	etcd       *member.Cluster
	servers    map[string]*server // by control plane
	balancer   *balancer
	hosts      []*host
	jump       *sshd.Server
	control    *control
	mutations  mutations
	requests   requests
	rereading  sync.Mutex // one look at a restored store at a time

	end     context.CancelFunc // of what runs in the background
	running sync.WaitGroup
	stopped bool
	closed  bool
}

// Dir is the cluster's directory.
func (c *Cluster) Dir() string { return c.dir }

// Version is what the cluster was started with.
func (c *Cluster) Version() cluster.Version { return c.layout.Start }

// Endpoint is where the API is reached: the load balancer.
func (c *Cluster) Endpoint() string { return "https://" + c.layout.endpoint() }

// Pace is how long a modelled second takes, in seconds.
func (c *Cluster) Pace() float64 { return c.layout.Pace }

// Start makes a cluster and returns when it is ready: every node, every pod of the
// sample workload. ctx bounds the start only.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	known, err := catalog.Load()
	if err != nil {
		return nil, err
	}
	claim, err := member.ClaimCluster(ctx, config.Network)
	if err != nil {
		return nil, err
	}
	config.Network = claim.Cluster
	c, err := design(config, known)
	if err != nil {
		return nil, errors.Join(err, claim.Close())
	}
	c.claim = claim
	if err := c.bringUp(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start hollow cluster %s: %w", c.layout.Name, err), c.Close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// design is a new cluster on paper.
func design(config Config, known *catalog.Catalog) (*Cluster, error) {
	l, err := layOut(config, known)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, layout: l, known: known, store: apiserver.NewStore()}
	if c.authority, err = pki.New(); err != nil {
		return nil, err
	}
	if c.keys, err = newKeys(&c.layout); err != nil {
		return nil, err
	}
	return c, c.supply()
}

// supply fills the package repository and the image registry.
func (c *Cluster) supply() error {
	c.repository, c.registry = debian.NewRepository(repositoryURL), machine.NewRegistry(sampleImages()...)
	for _, v := range c.layout.Served {
		machine.Publish(c.repository, v)
		if err := c.registry.AddRelease(c.known, v); err != nil {
			return err
		}
	}
	for _, tag := range append(c.known.EtcdRaises(), c.layout.Etcd.Bare()+"-0") {
		c.registry.Add("registry.k8s.io/etcd:" + tag)
	}
	return nil
}

// bringUp makes what a new cluster is made of and starts all of it.
func (c *Cluster) bringUp(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if err := c.assemble(member.New); err != nil {
		return err
	}
	if err := c.provision(); err != nil {
		return err
	}
	if err := c.seed(); err != nil {
		return err
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.Settle(ctx)
}

// run starts everything: processes, servers, machines, controllers.
func (c *Cluster) run(ctx context.Context) error {
	var alive context.Context
	alive, c.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.startServers(ctx); err != nil {
		return err
	}
	public, err := c.keys.authorised()
	if err != nil {
		return err
	}
	for _, h := range c.hosts {
		on := h.machine.Resume
		if h.moved {
			on = h.machine.PowerOn
		}
		if err := on(); err != nil {
			return err
		}
		if err := h.listen(alive, public); err != nil {
			return err
		}
	}
	c.jump, err = sshd.Start(alive, bastion{c}, sshd.Config{
		HostKey: c.keys.Hosts[c.layout.address(hostBastion)], Users: map[string][]ssh.PublicKey{sshUser: {public}},
		Listen: fmt.Sprintf("%s:%d", c.layout.address(hostBastion), sshPort),
	})
	if err != nil {
		return fmt.Errorf("bastion: %w", err)
	}
	c.startControllers(alive)
	kubeconfig, err := c.authority.Kubeconfig(c.Endpoint())
	if err != nil {
		return err
	}
	if err := writeFiles(c.dir, &c.layout, &c.keys, kubeconfig); err != nil {
		return err
	}
	return c.startControl(ctx)
}

// Close stops everything and waits for it, once. The directory stays.
func (c *Cluster) Close(ctx context.Context) error {
	if c.closed {
		return nil
	}
	c.closed = true
	return errors.Join(c.stop(ctx), c.claim.Close())
}

// stop ends what runs, once, from the outside in.
func (c *Cluster) stop(ctx context.Context) error {
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	if c.control != nil {
		errs = append(errs, c.control.close())
	}
	if c.jump != nil {
		errs = append(errs, c.jump.Close())
	}
	for _, h := range c.hosts {
		if h.ssh != nil {
			errs = append(errs, h.ssh.Close())
		}
	}
	if c.end != nil {
		c.end()
	}
	for _, h := range c.hosts {
		c.running.Go(h.machine.Close)
	}
	c.running.Wait()
	if c.balancer != nil {
		errs = append(errs, c.balancer.close())
	}
	for _, s := range c.servers {
		errs = append(errs, s.Stop(ctx))
	}
	if c.etcd != nil {
		c.etcd.Close(ctx)
	}
	return errors.Join(errs...)
}
