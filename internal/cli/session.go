package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// session is what one command works with, opened once and closed together.
type session struct {
	sys     *system
	global  *global
	catalog *catalog.Catalog
	inv     *inventory.Inventory // never nil: without a file the defaults
	dir     string               // of the inventory's file, absolute
	api     *kube.Client         // nil while it could not be reached
	// answered is whether the API answered when a run that takes it away was begun.
	answered bool
	hosts    *hosts        // nil without an inventory
	etcd     *etcd.Cluster // nil without hosts, or until the survey
	// identities open a rollback's snapshot, plain is what they opened.
	identities snapshot.Identities
	plain      *plainCopy // nil while nothing was
	sealed     bool       // an identity is lacking
	// accepting are losses that were agreed to when a rollback was gone on with.
	accepting []plan.Loss
}

// inSession opens a session for a command's work, and closes it. The work's context ends
// with the first interrupt. Apply needs the inventory, plan makes do without.
func inSession(ctx context.Context, sys *system, g *global, needInventory bool, work func(looking context.Context, s *session) error) error {
	looking, done := sys.untilStop(ctx)
	defer done()
	s, err := openOffline(sys, g, needInventory)
	if err != nil {
		return err
	}
	defer s.close()
	return work(looking, s)
}

// openOffline reads the inventory and connects to nothing: the API waits to be asked for,
// and hosts are connected when they are first used.
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
	if err := textOrJSON(output); err != nil {
		return nil, nil, err
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

// textOrJSON refuses other outputs.
func textOrJSON(output string) error {
	if output != "text" && output != "json" {
		return &usageError{err: fmt.Errorf("output %q: want text or json", output)}
	}
	return nil
}

// connect reaches the API.
func (s *session) connect(ctx context.Context) (err error) {
	kubeconfig, contextName := s.access()
	s.api, err = kube.ConnectWithin(ctx, kubeconfig, contextName, s.sys.seams.connecting())
	return err
}

// access is where the credentials are, and which of them.
func (s *session) access() (kubeconfig, contextName string) {
	kubeconfig, contextName = s.global.kubeconfig, s.global.context
	if kubeconfig == "" {
		kubeconfig = s.inv.Cluster.Kubeconfig
	}
	if contextName == "" {
		contextName = s.inv.Cluster.Context
	}
	return kubeconfig, contextName
}

const defaultInventory = "kup.yaml"

func (s *session) loadInventory(need bool) error {
	path := s.global.file
	if path == "" {
		path = defaultInventory
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if need {
				return &usageError{err: fmt.Errorf("there is no %s here, and this command needs one to reach the hosts", path), hint: "write one: kup init, or name one with --file"}
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
	if _, err := snapshot.ParseRecipients(inv.Snapshots.Recipients, ""); err != nil { // a mistyped key passes for one otherwise
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
	if s.plain != nil {
		errs = append(errs, s.plain.close())
	}
	if err := errors.Join(errs...); err != nil {
		s.sys.tell("kup: closing connections: %v", err)
	}
}

// survey observes everything that can be reached. With an inventory every host
// must be reachable as root: an upgrade that could not look at a host is not planned.
// What the scan could not see joins the facts' own list. Beside runs beside the hosts
// as soon as the cluster's version is known; nil: nothing does.
func (s *session) survey(ctx context.Context, beside func(context.Context, cluster.Version)) (cluster.Facts, cluster.Scan, error) {
	in := survey.Input{API: s.api, Objects: s.api, Beside: beside, Settings: s.surveySettings()}
	if s.hosts != nil {
		in.Hosts, in.Pools = s.remoteHosts(), map[string]string{}
		in.Reach, in.Leave, in.Etcd = s.hosts.reach, s.hosts.leave, s.surveyedEtcd
		for _, n := range s.inv.Nodes {
			in.Pools[n.Name] = n.Pool
		}
		in.EtcdHosts = s.etcdUnits()
	}
	facts, seen, err := survey.Survey(ctx, in)
	var unreachable *survey.UnreachableError
	switch {
	case err != nil && ctx.Err() != nil:
		return facts, seen, context.Cause(ctx)
	case errors.As(err, &unreachable):
		return facts, seen, &usageError{err: err, hint: "every host of the inventory must be reachable as root before anything is planned: " + hintSilent}
	}
	facts.Unchecked = append(facts.Unchecked, seen.Unchecked...)
	return facts, seen, err
}

// surveyedEtcd is the cluster's store. Where the inventory says otherwise than the
// cluster, or names no host of an external etcd, it is not reached; preflight says so.
func (s *session) surveyedEtcd(ctx context.Context, f cluster.Etcd) (survey.Etcd, error) {
	if len(s.members()) == 0 {
		return nil, nil //nolint:nilnil // it is not reached
	}
	if err := s.connectEtcd(ctx); err != nil {
		if f.Topology != string(s.inv.Etcd.Topology) {
			return nil, nil //nolint:nilnil // it is not reached
		}
		return nil, err
	}
	id, err := s.api.Identity(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := stateDir(id.UID)
	if err != nil {
		return nil, err
	}
	return surveyed{s.etcd, storeSide{etcd: s.etcd, dir: dir}}, nil
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

// connectEtcd reaches every member through its own host.
func (s *session) connectEtcd(ctx context.Context) error {
	if s.etcd != nil {
		return nil
	}
	var err error
	s.etcd, err = etcd.Connect(ctx, s.members())
	return err
}

// offers gives what the package source calls each version, and fills the
// facts' list of what is available. Source is what it said; nil: it was not asked.
func (s *session) offers(f *cluster.Facts, versionsFile string, source *sourced) (map[cluster.Version]string, error) {
	offers := map[cluster.Version]string{}
	add := func(v cluster.Version, name string) {
		if f.Available == nil {
			f.Available = map[string][]cluster.Version{}
		}
		line := v.Line().String()
		f.Available[line] = append(f.Available[line], v)
		offers[v] = name
	}
	switch {
	case versionsFile != "":
		list, err := readVersions(versionsFile)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			add(o.version, o.name)
		}
	case source != nil:
		if source.err != nil {
			return nil, source.err
		}
		for _, o := range source.offers {
			add(o.Version, o.Package)
		}
	default:
		s.assume(f, add)
	}
	for _, versions := range f.Available {
		slices.SortFunc(versions, cluster.Version.Compare)
	}
	return offers, nil
}

// sourced is what the package source said.
type sourced struct {
	offers []survey.Offer
	err    error
}

// ask asks the package source, from a host, for the cluster's minor and those
// above it until there is none.
func (s *session) ask(ctx context.Context, of cluster.Version) *sourced {
	out := &sourced{}
	if of.IsZero() {
		return out // there is no path to lay out
	}
	var from remote.Host
	for _, n := range s.inv.Nodes {
		if n.Role == cluster.ControlPlane {
			from = s.hosts.byNode[n.Name]
			break
		}
	}
	for minor := of.Line(); !s.catalog.Newest().Less(minor); minor = minor.Next() {
		found, err := survey.Available(ctx, from, string(s.inv.Packages.Manager), s.inv.Packages.Repository, minor)
		if err != nil {
			return &sourced{err: err}
		}
		if len(found) == 0 {
			break
		}
		out.offers = append(out.offers, found...)
	}
	return out
}

// assume takes the newest release the catalog has seen of each minor for what
// the package source offers, so that a plan can be shown without any host.
func (s *session) assume(f *cluster.Facts, add func(cluster.Version, string)) {
	for minor := f.Recorded().Line(); minor != (cluster.Minor{}) && !s.catalog.Newest().Less(minor); minor = minor.Next() {
		if m, ok := s.catalog.Minor(minor); ok {
			add(m.Seen(), m.Seen().Bare()+"-*")
		}
	}
	f.Unchecked = append(f.Unchecked, "the package source was not asked: each hop's patch is the newest that this kup knows of")
}
