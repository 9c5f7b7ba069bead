package hollow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
)

// What a saved cluster is made of.
const (
	stateFile = "state.json"
	etcdDir   = "etcd"
)

// saved is a cluster on paper, but for etcd's data. Keys are in it.
type saved struct {
	Layout    layout                          `json:"layout"`
	Keys      keys                            `json:"keys"`
	Authority *pki.Authority                  `json:"authority"`
	Store     *apiserver.Store                `json:"store"`
	Machines  map[string]json.RawMessage      `json:"machines"`
	Expires   map[string]map[string]time.Time `json:"expires"`
}

// Save stops the cluster, which from then on can only be closed, and puts it into
// a directory that does not exist yet. Load makes a cluster of it, again and again.
func (c *Cluster) Save(ctx context.Context, dir string) error {
	if err := c.stop(ctx); err != nil {
		return fmt.Errorf("save hollow cluster %s: %w", c.layout.Name, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("save hollow cluster %s: %w", c.layout.Name, err)
	}
	s := saved{
		Layout: c.layout, Keys: c.keys, Authority: c.authority, Store: c.store,
		Machines: map[string]json.RawMessage{}, Expires: map[string]map[string]time.Time{},
	}
	for _, h := range c.hosts {
		content, err := json.Marshal(h.machine)
		if err != nil {
			return fmt.Errorf("save hollow cluster %s: %w", c.layout.Name, err)
		}
		s.Machines[h.Name], s.Expires[h.Name] = content, h.expires
	}
	content, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, stateFile), content, 0o600)
	}
	if err == nil {
		err = c.etcd.Save(filepath.Join(dir, etcdDir))
	}
	if err != nil {
		return fmt.Errorf("save hollow cluster %s: %w", c.layout.Name, err)
	}
	return nil
}

// Load starts the cluster that Save left, as often as wanted, in config.Dir. Where
// its addresses are taken, or config.Network is another one, it moves: its hosts get
// new addresses and new certificates, and have just booted. Of the rest of the
// config the pace counts, when it is given.
func Load(ctx context.Context, from string, config Config) (*Cluster, error) {
	content, err := os.ReadFile(filepath.Join(from, stateFile))
	if err != nil {
		return nil, fmt.Errorf("load hollow cluster: %w", err)
	}
	var was struct{ Layout layout }
	if err := json.Unmarshal(content, &was); err != nil {
		return nil, fmt.Errorf("load hollow cluster from %s: %w", from, err)
	}
	claim, err := member.ClaimCluster(ctx, orDefault(config.Network, was.Layout.Network))
	if err != nil && config.Network == 0 {
		claim, err = member.ClaimCluster(ctx, 0)
	}
	if err != nil {
		return nil, err
	}
	c, s, err := decode(content, was.Layout.Network, claim.Cluster, config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load hollow cluster from %s: %w", from, err), claim.Close())
	}
	c.claim = claim
	if err := c.resume(ctx, from, s, was.Layout.Network); err != nil {
		return nil, errors.Join(fmt.Errorf("load hollow cluster from %s: %w", from, err), c.Close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// decode reads a cluster from paper, with its addresses in another network.
func decode(content []byte, from, to int, config Config) (*Cluster, *saved, error) {
	s := &saved{Authority: &pki.Authority{}, Store: apiserver.NewStore()}
	if err := json.Unmarshal(renumbered(content, from, to), s); err != nil {
		return nil, nil, err
	}
	s.Layout.Network, s.Layout.Pace = to, orDefault(config.Pace, s.Layout.Pace)
	known, err := catalog.Load()
	if err != nil {
		return nil, nil, err
	}
	dir, err := filepath.Abs(config.Dir)
	return &Cluster{dir: dir, layout: s.Layout, keys: s.Keys, authority: s.Authority, store: s.Store, known: known}, s, err
}

// resume puts the parts back and starts them.
func (c *Cluster) resume(ctx context.Context, from string, s *saved, network int) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if err := c.supply(); err != nil {
		return err
	}
	err := c.assemble(func(m member.Config) (*member.Cluster, error) { return member.Load(filepath.Join(from, etcdDir), m) })
	if err != nil {
		return err
	}
	for _, h := range c.hosts {
		if err := json.Unmarshal(s.Machines[h.Name], h.machine); err != nil {
			return err
		}
		h.expires = s.Expires[h.Name]
		if network == c.layout.Network {
			continue
		}
		if err := c.move(h, network); err != nil {
			return fmt.Errorf("give %s another address: %w", h.Name, err)
		}
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.Settle(ctx)
}
