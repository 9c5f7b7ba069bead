package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

// session is what one command works with, opened once and closed together.
type session struct {
	sys     *system
	global  *global
	catalog *catalog.Catalog
	inv     *inventory.Inventory // never nil: without a file the defaults
	dir     string               // of the inventory's file, absolute
	api     *kube.Client         // nil while it could not be reached
	hosts   *hosts               // nil without an inventory
	etcd    *etcd.Cluster        // nil without hosts, or until the survey
}

// openSession reads the inventory and connects to the API. Hosts are connected
// when they are first used. Apply needs the inventory, plan makes do without.
func openSession(ctx context.Context, sys *system, g *global, needInventory bool) (*session, error) {
	s, err := openOffline(sys, g, needInventory)
	if err != nil {
		return nil, err
	}
	return s, s.connect(ctx)
}

// openOffline reads the inventory and connects to nothing.
func openOffline(sys *system, g *global, needInventory bool) (*session, error) {
	s := &session{sys: sys, global: g}
	var err error
	if s.catalog, err = catalog.Load(); err != nil {
		return nil, err
	}
	return s, s.loadInventory(needInventory)
}

// openOnlooker is for commands that look at runs, as text or JSON. An API that does
// not answer is told of and given back: the hosts may know enough. Without hosts it is
// the error.
func openOnlooker(ctx context.Context, sys *system, g *global, output string) (s *session, apiErr, err error) {
	if output != "text" && output != "json" {
		return nil, nil, &usageError{err: fmt.Errorf("output %q: want text or json", output)}
	}
	if s, err = openOffline(sys, g, false); err != nil {
		return nil, nil, err
	}
	apiErr = s.connect(ctx)
	if apiErr != nil && s.hosts == nil {
		return nil, apiErr, apiErr
	}
	if apiErr != nil {
		sys.tell("kup: %v", apiErr)
	}
	return s, apiErr, nil
}

// connect reaches the API.
func (s *session) connect(ctx context.Context) (err error) {
	kubeconfig, contextName := s.global.kubeconfig, s.global.context
	if kubeconfig == "" {
		kubeconfig = s.inv.Cluster.Kubeconfig
	}
	if contextName == "" {
		contextName = s.inv.Cluster.Context
	}
	s.api, err = kube.Connect(ctx, kubeconfig, contextName)
	return err
}

const defaultInventory = "kup.yaml"

func (s *session) loadInventory(need bool) error {
	path := s.global.file
	if path == "" {
		path = defaultInventory
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if need {
				return &usageError{err: fmt.Errorf("there is no %s here, and apply needs one to reach the hosts", path), hint: "write one: kup init, or name one with --file"}
			}
			s.inv = inventory.Default()
			return nil
		}
	}
	inv, err := inventory.Load(path)
	if err != nil {
		return err
	}
	if s.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return err
	}
	s.inv = inv
	s.hosts, err = openHosts(s.sys, inv)
	return err
}

func (s *session) close() {
	var errs []error
	if s.etcd != nil {
		errs = append(errs, s.etcd.Close())
	}
	if s.hosts != nil {
		errs = append(errs, s.hosts.close())
	}
	if err := errors.Join(errs...); err != nil {
		s.sys.tell("kup: closing connections: %v", err)
	}
}

// survey observes everything that can be reached. With an inventory every host
// must be reachable: an upgrade that could not look at a host is not planned.
func (s *session) survey(ctx context.Context) (cluster.Facts, error) {
	in := survey.Input{API: s.api, Settings: s.surveySettings()}
	if s.hosts != nil {
		if err := s.reachable(ctx); err != nil {
			return cluster.Facts{}, err
		}
		// External members are not reached through the control planes; preflight
		// says that kup leaves them alone.
		if s.inv.Etcd.Topology != inventory.External {
			if err := s.connectEtcd(ctx); err == nil {
				in.Etcd = s.etcd
			} else if !s.isExternal(ctx) {
				return cluster.Facts{}, err
			}
		}
		in.Hosts = s.remoteHosts()
		in.Pools = map[string]string{}
		for _, n := range s.inv.Nodes {
			in.Pools[n.Name] = n.Pool
		}
	}
	return survey.Survey(ctx, in)
}

func (s *session) surveySettings() survey.Settings {
	return survey.Settings{Manager: string(s.inv.Packages.Manager), Repository: s.inv.Packages.Repository, PatchesDir: s.inv.Kubeadm.Patches}
}

// remoteHosts are the hosts of the inventory by node; nil without an inventory.
func (s *session) remoteHosts() map[string]remote.Host {
	if s.hosts == nil {
		return nil
	}
	out := map[string]remote.Host{}
	for name, h := range s.hosts.byNode {
		out[name] = h
	}
	return out
}

// scan observes what preflight judges beyond facts. What it could not see joins
// the facts' own list.
func (s *session) scan(ctx context.Context, facts *cluster.Facts) (cluster.Scan, error) {
	in := survey.ScanInput{API: s.api, Hosts: s.remoteHosts(), Settings: s.surveySettings()}
	if s.etcd != nil {
		dir, err := stateDir(facts.Identity.UID)
		if err != nil {
			return cluster.Scan{}, err
		}
		in.Store = storeSide{etcd: s.etcd, dir: dir}
	}
	seen, err := survey.Scan(ctx, in, facts)
	facts.Unchecked = append(facts.Unchecked, seen.Unchecked...)
	return seen, err
}

// reachable tells of every host that cannot be reached or where root cannot be
// gained, in one error.
func (s *session) reachable(ctx context.Context) error {
	failed := s.hosts.reach(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(failed) == 0 {
		return nil
	}
	nodes := make([]string, 0, len(failed))
	for node := range failed {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	lines := make([]string, len(nodes))
	for i, node := range nodes {
		lines[i] = failed[node].Error()
	}
	return &usageError{err: errors.New(strings.Join(lines, "; ")), hint: "every host of the inventory must be reachable as root before anything is planned"}
}

// connectEtcd reaches every stacked member through its own node.
func (s *session) connectEtcd(ctx context.Context) error {
	if s.etcd != nil {
		return nil
	}
	var members []etcd.Access
	for _, n := range s.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			host := s.hosts.byNode[n.Name]
			members = append(members, etcd.Access{Node: n.Name, Host: host, Dial: host.DialContext})
		}
	}
	var err error
	s.etcd, err = etcd.Connect(ctx, members)
	return err
}

// isExternal tells whether the cluster, other than its inventory says, keeps its
// etcd elsewhere.
func (s *session) isExternal(ctx context.Context) bool {
	facts, err := s.api.Observe(ctx)
	return err == nil && facts.Etcd.Topology == "external"
}

// offers gives what the package source calls each version, and fills the
// facts' list of what is available.
func (s *session) offers(ctx context.Context, f *cluster.Facts, versionsFile string) (map[cluster.Version]string, error) {
	offers := map[cluster.Version]string{}
	add := func(v cluster.Version, name string) {
		if f.Available == nil {
			f.Available = map[string][]cluster.Version{}
		}
		line := v.Line().String()
		f.Available[line] = append(f.Available[line], v)
		offers[v] = name
	}
	if versionsFile != "" {
		list, err := readVersions(versionsFile)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			add(o.version, o.name)
		}
	} else if s.hosts != nil {
		if err := s.ask(ctx, f, add); err != nil {
			return nil, err
		}
	} else {
		s.assume(f, add)
	}
	for _, versions := range f.Available {
		slices.SortFunc(versions, cluster.Version.Compare)
	}
	return offers, nil
}

// ask asks the package source, from a host, for the cluster's minor and those
// above it until there is none.
func (s *session) ask(ctx context.Context, f *cluster.Facts, add func(cluster.Version, string)) error {
	var from remote.Host
	for _, n := range s.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			from = s.hosts.byNode[n.Name]
			break
		}
	}
	for minor := presentMinor(f); !s.catalog.Newest().Less(minor); minor = minor.Next() {
		found, err := survey.Available(ctx, from, string(s.inv.Packages.Manager), s.inv.Packages.Repository, minor)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		for _, o := range found {
			add(o.Version, o.Package)
		}
	}
	return nil
}

// presentMinor is the minor that kubeadm recorded, or that of the oldest API server
// where it recorded none; zero when neither is known.
func presentMinor(f *cluster.Facts) cluster.Minor {
	if recorded := f.Kubeadm.ClusterVersion; !recorded.IsZero() {
		return recorded.Line()
	}
	return standsAt(f).Line()
}

// assume takes the newest release the catalog has seen of each minor for what
// the package source offers, so that a plan can be shown without any host.
func (s *session) assume(f *cluster.Facts, add func(cluster.Version, string)) {
	for minor := presentMinor(f); minor != (cluster.Minor{}) && !s.catalog.Newest().Less(minor); minor = minor.Next() {
		if m, ok := s.catalog.Minor(minor); ok {
			add(m.Seen(), m.Seen().Bare()+"-*")
		}
	}
	f.Unchecked = append(f.Unchecked, "the package source was not asked: each hop's patch is the newest that this kup knows of")
}
