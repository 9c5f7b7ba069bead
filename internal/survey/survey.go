package survey

import (
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

// API is what the cluster's API tells.
type API interface {
	Facts(ctx context.Context) (cluster.Facts, error)
	// DeprecatedRequests belong to the facts, but can take long to read.
	DeprecatedRequests(ctx context.Context) ([]cluster.DeprecatedRequest, error)
	// ClusterConfiguration is kubeadm's, as stored; empty when there is none.
	ClusterConfiguration(ctx context.Context) (string, error)
}

// Objects is what the cluster's API tells beyond facts.
type Objects interface {
	Placement(ctx context.Context) (cluster.Placement, error)
	Objects(ctx context.Context) (cluster.Objects, error)
}

// Etcd is what the cluster's store tells.
type Etcd interface {
	Members(ctx context.Context) ([]cluster.Member, error)
	Alarms(ctx context.Context) ([]string, error)
	// Stored reads what every object below the API servers' prefix in etcd is
	// stored as, from a copy of the store. An empty prefix is their default.
	Stored(ctx context.Context, prefix string) (cluster.Stored, error)
}

// Input is what there is to look at.
type Input struct {
	API     API
	Objects Objects
	// Hosts are the machines of the inventory by node name; nil: none can be
	// reached, and what only they know stays unchecked.
	Hosts map[string]remote.Host
	// Reach is called before anything else is asked of a host. What it fails on ends
	// the survey, see [UnreachableError]. Nil: no host is tried before.
	Reach func(ctx context.Context, node string) error
	// Leave is told that nothing more will be asked of a host. Nil: nobody is.
	Leave func(node string)
	// Pools are the workers' pools by node name.
	Pools map[string]string
	// EtcdHosts are those of Hosts that are no nodes but run a member of an external
	// etcd, and what each runs.
	EtcdHosts map[string]EtcdUnit
	// Etcd connects to the store of a cluster as the API describes it. A nil store is
	// one that is not reached; an error ends the survey. Nil: not reached.
	Etcd func(ctx context.Context, f cluster.Etcd) (Etcd, error)
	// Beside is called once the API has told what version it is of, and runs beside the
	// hosts. Nil: nothing does.
	Beside func(ctx context.Context, of cluster.Version)

	Settings Settings
}

// Settings are the inventory's wishes that a survey depends on.
type Settings struct {
	Manager    string // apt, dnf or binaries
	Repository string // URL of the package repository, with {minor} in it
	PatchesDir string // directory on the nodes given to kubeadm; empty: none
}

// Survey observes the cluster: facts, which a plan carries, and what preflight judges
// beyond them. API, hosts and store are asked at the same time, and of a host that was
// read no connection is kept. What some part would not tell is named in Unchecked, of
// the facts or of the scan; the error is about the API itself, hosts that cannot be
// reached, the store, or ctx.
func Survey(ctx context.Context, in Input) (cluster.Facts, cluster.Scan, error) {
	s := &survey{
		in: in, compared: &compared{known: map[[4]string]difference{}}, unreachable: map[string]error{},
		scan: cluster.Scan{Startup: map[string]*cluster.Startup{}, HostStates: map[string]*cluster.HostState{}},
	}
	if err := s.survey(ctx); err != nil {
		return cluster.Facts{}, cluster.Scan{}, err
	}
	s.manifests()
	slices.Sort(s.facts.Unchecked)
	slices.Sort(s.scan.Unchecked)
	s.facts.At = time.Now().UTC()
	return s.facts, s.scan, nil
}

type survey struct {
	in       Input
	config   string               // kubeadm's ClusterConfiguration
	args     *cluster.ClusterArgs // what it starts the components with; nil: not known
	compared *compared

	mutex       sync.Mutex // guards what follows, but for each host its own node in facts
	facts       cluster.Facts
	scan        cluster.Scan
	unreachable map[string]error // by node
}

func (s *survey) survey(ctx context.Context) error {
	// What runs beside the hosts is given up when one of them cannot be reached. The
	// others are still tried, so that all that cannot be reached are named.
	beside, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var g errgroup.Group
	if s.in.Objects != nil {
		g.Go(func() error { return s.placement(beside) })
		g.Go(func() error { return s.objects(beside) })
	}
	err := s.observe(beside)
	if err == nil {
		g.Go(func() error { return s.deprecated(beside) })
		g.Go(func() error { return s.etcd(beside) })
		if s.in.Beside != nil {
			at := s.facts.Recorded()
			g.Go(func() error { s.in.Beside(beside, at); return nil })
		}
		err = s.hosts(ctx, giveUp)
	}
	if err != nil {
		giveUp()
		_ = g.Wait() // it was given up
		return err
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// observe asks the API for the facts, and for kubeadm's configuration.
func (s *survey) observe(ctx context.Context) error {
	var g errgroup.Group
	var config string
	var configErr error
	g.Go(func() error {
		config, configErr = s.in.API.ClusterConfiguration(ctx)
		return nil // what depends on it names it
	})
	facts, err := s.in.API.Facts(ctx)
	_ = g.Wait() // it gives no error
	if err != nil {
		return err
	}
	s.facts, s.config = facts, config
	if s.in.Hosts == nil {
		s.unchecked("no host was surveyed over SSH: packages, certificates, disks and files edited by hand are unknown")
	} else if configErr != nil {
		s.unchecked("kubeadm's configuration could not be read, so that files edited by hand were not looked for: %v", configErr)
	}
	return s.kubeadm(ctx, configErr)
}

// unchecked names what facts lack.
func (s *survey) unchecked(format string, args ...any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.facts.Unchecked = append(s.facts.Unchecked, sentence(format, args...))
}

// deprecated reads which API versions on their way out are asked for.
func (s *survey) deprecated(ctx context.Context) error {
	requests, err := s.in.API.DeprecatedRequests(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("survey the cluster: %w", ctx.Err())
	}
	if err != nil {
		s.unchecked("requests for deprecated APIs could not be read: %v", err)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.facts.DeprecatedRequests = requests
	return nil
}

// manifests tells of members what their manifests say: where their data are, and of
// those that do not say their quota what they are started with.
func (s *survey) manifests() {
	for i := range s.facts.Etcd.Members {
		m := &s.facts.Etcd.Members[i]
		state := s.scan.HostStates[m.Node]
		if state == nil || state.EtcdManifest == nil {
			continue
		}
		m.DataDirectory, m.WALDirectory = state.EtcdManifest.DataDirectory, state.EtcdManifest.WALDirectory
		if m.Quota > 0 {
			continue
		}
		if m.ManifestQuota = state.EtcdManifest.Quota; m.ManifestQuota <= 0 {
			m.ManifestQuota = cluster.DefaultEtcdQuota
		}
	}
}

// etcd connects to the store and reads it.
func (s *survey) etcd(ctx context.Context) error {
	var store Etcd
	if s.in.Etcd != nil {
		var err error
		if store, err = s.in.Etcd(ctx, s.facts.Etcd); err != nil {
			return err
		}
	}
	if store == nil {
		s.unchecked("etcd was not reached: its members, their health and alarms are unknown")
		return nil
	}
	members, membersErr := store.Members(ctx)
	alarms, alarmsErr := store.Alarms(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("survey etcd: %w", ctx.Err())
	}
	if err := errors.Join(membersErr, alarmsErr); err != nil {
		s.unchecked("etcd could not be read: %v", err)
	}
	s.mutex.Lock()
	s.facts.Etcd.Members, s.facts.Etcd.Alarms = members, alarms
	s.mutex.Unlock()
	return s.stored(ctx, store)
}
