package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/stored"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

// Part is a part of a plan and what it took.
type Part struct {
	Name      string
	Wall, CPU time.Duration
	Memory    int64 // the peak resident set while it was done, in bytes
}

// judging is the name of the part that is preflight's own: every rule over every hop.
const judging = "judge with every rule"

// Parts does what "kup plan" does, one part after the other, in the directory of a
// cluster, and writes as JSON what each took. A profile of it goes to a file, if one
// is named. It is for a process that does nothing else.
func Parts(ctx context.Context, dir, to, profile string, out io.Writer) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	p := &parts{ctx: ctx, to: to}
	defer p.close()
	if err := profiled(profile, p.plan); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(p.took)
}

// parts are those of one plan, and what they have found.
type parts struct {
	ctx  context.Context
	to   string
	took []Part

	inv   *inventory.Inventory
	known *catalog.Catalog
	hosts map[string]remote.Host
	conns map[string]*ssh.Host
	api   *kube.Client
	etcd  *etcd.Cluster

	facts  cluster.Facts
	scan   cluster.Scan
	offers map[cluster.Version]string
	path   []cluster.Version
	waves  [][]string
}

func (p *parts) plan() error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"read catalog and inventory", p.open},
		{"connect to the API", p.connect},
		{"reach every host", p.reach},
		{"connect to etcd", p.members},
		{"survey", p.survey},
		{"scan", p.scanAll},
		{"ask for packages", p.packages},
		{"lay out the plan", p.build},
		{judging, p.judge},
		// What the scan is made of, once more and each alone.
		{"of the scan: pods and nodes", func() error { _, err := p.api.Placement(p.ctx); return err }},
		{"of the scan: objects", func() error { _, err := p.api.Objects(p.ctx); return err }},
		{"of the scan: the store", func() error { _, err := p.Stored(p.ctx, ""); return err }},
		{"of the survey: the API", func() error { _, err := p.api.Observe(p.ctx); return err }},
	}
	for _, s := range steps {
		resetPeak()
		began, cpu := time.Now(), ownCPU()
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		p.took = append(p.took, Part{s.name, time.Since(began), ownCPU() - cpu, ownPeak()})
	}
	return nil
}

func (p *parts) open() (err error) {
	if p.known, err = catalog.Load(); err != nil {
		return err
	}
	p.inv, err = inventory.Load(inventoryFile)
	return err
}

func (p *parts) connect() (err error) {
	p.api, err = kube.Connect(p.ctx, p.inv.Cluster.Kubeconfig, "")
	return err
}

// hostsAtOnce is kup's.
const hostsAtOnce = 16

func (p *parts) reach() error {
	client, err := ssh.LoadClientConfig("")
	if err != nil {
		return err
	}
	p.hosts, p.conns = map[string]remote.Host{}, map[string]*ssh.Host{}
	for _, n := range p.inv.Nodes {
		s := p.inv.SSHFor(n.Name)
		config, err := client.Resolve(ssh.Config{
			Name: n.Name, Address: n.Address, Port: s.Port, User: s.User, Identities: s.Identities, KnownHosts: s.KnownHosts,
			ConnectTimeout: s.ConnectTimeout, Keepalive: s.Keepalive, Sudo: ssh.Sudo{Mode: string(s.Sudo.Mode)},
		}, s.Bastion)
		if err != nil {
			return err
		}
		p.conns[n.Name] = ssh.New(config)
		p.hosts[n.Name] = p.conns[n.Name]
	}
	var g errgroup.Group
	g.SetLimit(hostsAtOnce)
	for _, h := range p.hosts {
		g.Go(func() error {
			_, err := h.Run(p.ctx, remote.Command{Argv: []string{"true"}, Sudo: true})
			return err
		})
	}
	return g.Wait()
}

func (p *parts) members() (err error) {
	var members []etcd.Access
	for _, n := range p.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			host := p.conns[n.Name]
			members = append(members, etcd.Access{Node: n.Name, Host: host, Dial: host.DialContext})
		}
	}
	p.etcd, err = etcd.Connect(p.ctx, members)
	return err
}

func (p *parts) settings() survey.Settings {
	return survey.Settings{Manager: string(p.inv.Packages.Manager), Repository: p.inv.Packages.Repository, PatchesDir: p.inv.Kubeadm.Patches}
}

func (p *parts) survey() (err error) {
	pools := map[string]string{}
	for _, n := range p.inv.Nodes {
		pools[n.Name] = n.Pool
	}
	p.facts, err = survey.Survey(p.ctx, survey.Input{API: p.api, Hosts: p.hosts, Pools: pools, Etcd: p.etcd, Settings: p.settings()})
	return err
}

func (p *parts) scanAll() (err error) {
	p.scan, err = survey.Scan(p.ctx, survey.ScanInput{API: p.api, Hosts: p.hosts, Store: p, Settings: p.settings()}, &p.facts)
	return err
}

// Stored implements survey.Store.
func (p *parts) Stored(ctx context.Context, prefix string) (out cluster.Stored, err error) {
	dir, err := os.MkdirTemp(".", "store-")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "etcd.db")
	if err := p.etcd.Copy(ctx, file); err != nil {
		return out, err
	}
	return stored.Read(ctx, file, prefix)
}

func (p *parts) packages() error {
	target, err := cluster.ParseMinor(p.to)
	if err != nil {
		return err
	}
	var from remote.Host
	for _, n := range p.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			from = p.hosts[n.Name]
			break
		}
	}
	p.facts.Available, p.offers = map[string][]cluster.Version{}, map[cluster.Version]string{}
	for m := p.facts.Kubeadm.ClusterVersion.Line(); !target.Less(m); m = m.Next() {
		offers, err := survey.Available(p.ctx, from, string(p.inv.Packages.Manager), p.inv.Packages.Repository, m)
		if err != nil {
			return err
		}
		for _, o := range offers {
			p.facts.Available[m.String()] = append(p.facts.Available[m.String()], o.Version)
			p.offers[o.Version] = o.Package
		}
	}
	return nil
}

func (p *parts) build() (err error) {
	if p.path, err = planner.Hops(p.facts, p.to, p.facts.Available); err != nil {
		return err
	}
	policy := planner.Policy{
		Now: time.Now(), Offers: p.offers, Pools: map[string]planner.Pool{}, Workers: planner.WorkerHops(p.inv.Workers), GateSustain: p.inv.Gates.Sustain,
		Packages: planner.Packages{Manager: string(p.inv.Packages.Manager), Repository: p.inv.Packages.Repository, Hold: p.inv.Packages.Hold, LockTimeout: p.inv.Packages.LockTimeout},
	}
	for _, pool := range p.inv.Pools {
		policy.Pools[pool.Name] = planner.Pool{
			MaxUnavailable: planner.Amount{Count: pool.MaxUnavailable.Number, Percent: pool.MaxUnavailable.Percent},
			Drain:          planner.Drain{Timeout: pool.Drain.Timeout, GracePeriod: pool.Drain.GracePeriod, DeleteEmptyDirData: pool.Drain.DeleteEmptyDirData, Force: pool.Drain.Force},
		}
	}
	made, err := planner.Build(p.facts, p.path, p.known, policy)
	p.waves = made.DrainWaves()
	return err
}

func (p *parts) judge() error {
	in := preflight.Input{
		Facts: p.facts, Scan: p.scan, Path: p.path, Waves: p.waves, Catalog: p.known, Now: time.Now(),
		PackageManager: string(p.inv.Packages.Manager), CertificateRenewal: p.inv.Kubeadm.CertificateRenewal, PatchesDir: p.inv.Kubeadm.Patches,
		Drains: map[string]drainsim.Drain{}, IgnorePreflightErrors: p.inv.Kubeadm.IgnorePreflightErrors,
	}
	pools := map[string]drainsim.Drain{}
	for _, pool := range p.inv.Pools {
		pools[pool.Name] = drainsim.Drain{Force: pool.Drain.Force, DeleteEmptyDirData: pool.Drain.DeleteEmptyDirData}
	}
	for _, n := range p.inv.Nodes {
		in.Nodes = append(in.Nodes, n.Name)
		if drain, named := pools[n.Pool]; named {
			in.Drains[n.Name] = drain
		}
	}
	preflight.Check(in)
	return nil
}

func (p *parts) close() {
	if p.etcd != nil {
		_ = p.etcd.Close() // the measurement is over
	}
	var all sync.WaitGroup
	for _, h := range p.conns {
		all.Go(func() { _ = h.Close() })
	}
	all.Wait()
}
