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
	conns map[string]*ssh.Host
	api   *kube.Client
	etcd  *etcd.Cluster

	facts  cluster.Facts
	scan   cluster.Scan
	found  []survey.Offer // what the package source has, or why that is not known
	err    error
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
		{"resolve the hosts", p.resolve},
		{"survey", func() error { return p.survey(p.api, p.connectEtcd, p.packages) }},
		{"lay out the plan", p.build},
		{judging, p.judge},
		// What the survey is made of, once more and each alone.
		{"of the survey: facts of the API", func() error { _, err := p.api.Facts(p.ctx); return err }},
		{"of the survey: pods and nodes", func() error { _, err := p.api.Placement(p.ctx); return err }},
		{"of the survey: objects", func() error { _, err := p.api.Objects(p.ctx); return err }},
		{"of the survey: the store", func() error { _, err := p.Stored(p.ctx, ""); return err }},
		{"of the survey: packages", func() error { p.packages(p.ctx, p.facts.Kubeadm.ClusterVersion); return p.err }},
		{"of the survey: facts and hosts", func() error { p.forget(); return p.survey(nil, nil, nil) }},
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

// resolve says how every host is reached.
func (p *parts) resolve() error {
	client, err := ssh.LoadClientConfig("")
	if err != nil {
		return err
	}
	p.conns = map[string]*ssh.Host{}
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
	}
	return nil
}

// forget disconnects from all hosts.
func (p *parts) forget() {
	for _, h := range p.conns {
		h.Disconnect()
	}
}

// controlPlanes are the nodes that etcd and the package source are reached through.
func (p *parts) controlPlanes() (out []string) {
	for _, n := range p.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			out = append(out, n.Name)
		}
	}
	return out
}

func (p *parts) settings() survey.Settings {
	return survey.Settings{Manager: string(p.inv.Packages.Manager), Repository: p.inv.Packages.Repository, PatchesDir: p.inv.Kubeadm.Patches}
}

// survey does what kup's session does: of some, or of all.
func (p *parts) survey(objects survey.Objects, store func(context.Context, cluster.Etcd) (survey.Etcd, error), beside func(context.Context, cluster.Version)) (err error) {
	in := survey.Input{
		API: p.api, Objects: objects, Hosts: map[string]remote.Host{}, Pools: map[string]string{}, Etcd: store, Beside: beside, Settings: p.settings(),
		Reach: func(ctx context.Context, node string) error { return p.conns[node].Reach(ctx) },
	}
	workers := map[string]bool{}
	for _, n := range p.inv.Nodes {
		in.Hosts[n.Name], in.Pools[n.Name], workers[n.Name] = p.conns[n.Name], n.Pool, n.Role == cluster.Worker
	}
	in.Leave = func(node string) {
		if workers[node] {
			p.conns[node].Disconnect()
		}
	}
	facts, scan, err := survey.Survey(p.ctx, in)
	if objects != nil && err == nil {
		p.facts, p.scan = facts, scan
		p.offer()
	}
	return errors.Join(err, p.err)
}

func (p *parts) connectEtcd(ctx context.Context, _ cluster.Etcd) (_ survey.Etcd, err error) {
	var members []etcd.Access
	for _, node := range p.controlPlanes() {
		host := p.conns[node]
		members = append(members, etcd.Access{Node: node, Host: host, Dial: host.DialContext})
	}
	p.etcd, err = etcd.Connect(ctx, members)
	return p, err
}

// Members implements survey.Etcd.
func (p *parts) Members(ctx context.Context) ([]cluster.Member, error) { return p.etcd.Members(ctx) }

// Alarms implements survey.Etcd.
func (p *parts) Alarms(ctx context.Context) ([]string, error) { return p.etcd.Alarms(ctx) }

// Stored implements survey.Etcd.
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

// packages asks the package source, up to the target.
func (p *parts) packages(ctx context.Context, of cluster.Version) {
	p.found = nil
	target, err := cluster.ParseMinor(p.to)
	from := p.conns[p.controlPlanes()[0]]
	for m := of.Line(); err == nil && !target.Less(m); m = m.Next() {
		var offers []survey.Offer
		offers, err = survey.Available(ctx, from, string(p.inv.Packages.Manager), p.inv.Packages.Repository, m)
		p.found = append(p.found, offers...)
	}
	p.err = err
}

// offer puts what the package source has into the facts.
func (p *parts) offer() {
	p.facts.Available, p.offers = map[string][]cluster.Version{}, map[cluster.Version]string{}
	for _, o := range p.found {
		line := o.Version.Line().String()
		p.facts.Available[line] = append(p.facts.Available[line], o.Version)
		p.offers[o.Version] = o.Package
	}
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
