package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/pkg/cluster"
)

// stateFile keeps what the members' data do not say.
const stateFile = "members.json"

// Files are what is needed of a host's file system.
type Files interface {
	ReadFile(name string) ([]byte, error)
}

// Node is a control plane that has a member.
type Node struct {
	Name string
	IP   string // its own address, see [Address]
	FS   Files  // holds /etc/kubernetes/pki/etcd
}

// Config says what a cluster is made of.
type Config struct {
	// Dir keeps the members' data and their private copies of the certificates.
	// Where a cluster was before, it goes on.
	Dir   string
	Nodes []Node
	// Version is what the members of a new cluster say that they are, such as
	// "3.5.24" or kubeadm's "3.5.24-0".
	Version string
}

// Cluster is a stacked etcd. It is safe for concurrent use.
type Cluster struct {
	dir     string
	members []*Member
	mirror  *mirror

	mu    sync.Mutex // guards what follows, and the versions of the members
	state state
	// fresh is true when the store holds other data than what was put, with the revision
	// raised by raised.
	fresh  bool
	raised int64
}

// state is what stateFile holds.
type state struct {
	Reached cluster.Minor `json:"reached"` // the cluster version of etcd
	Members []memberState `json:"members"`
}

type memberState struct {
	Name    string          `json:"name"`
	IP      string          `json:"ip"`
	Version cluster.Version `json:"version"` // it ran last
}

// New prepares a cluster; nothing runs before Start. A directory that holds
// another set of members is refused.
func New(c Config) (*Cluster, error) {
	if len(c.Nodes) == 0 {
		return nil, errors.New("member: a cluster needs a member")
	}
	out := &Cluster{dir: c.Dir}
	if err := out.readState(c); err != nil {
		return nil, err
	}
	shrinkLog()
	for i, n := range c.Nodes {
		out.members = append(out.members, &Member{node: n, cluster: out, at: i, gate: newGate()})
	}
	out.mirror = newMirror(out)
	return out, nil
}

// Start is New, and Start of all members.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	out, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := out.Start(ctx); err != nil {
		out.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return out, nil
}

// Start starts all members that do not run, each as the version it ran last, and
// waits until all of them serve.
func (c *Cluster) Start(ctx context.Context) error {
	var g errgroup.Group
	for _, m := range c.members {
		g.Go(func() error {
			if !m.Running() {
				if err := m.Start(ctx, ""); err != nil {
					return err
				}
			}
			return m.Ready(ctx)
		})
	}
	return g.Wait()
}

// Stop stops all members at once, having written to them what was mirrored.
func (c *Cluster) Stop(ctx context.Context) {
	c.mirror.flush(ctx)
	var all sync.WaitGroup
	for _, m := range c.members {
		all.Go(m.Kill) // there is nobody to hand over to, and nothing is lost
	}
	all.Wait()
}

// Close is Stop, for good. What etcd could not take until then is lost.
func (c *Cluster) Close(ctx context.Context) {
	c.Stop(ctx)
	c.mirror.close()
}

// Member gives the member of a node; nil when there is none.
func (c *Cluster) Member(node string) *Member {
	for _, m := range c.members {
		if m.node.Name == node {
			return m
		}
	}
	return nil
}

// Members gives all, in the order of the configuration.
func (c *Cluster) Members() []*Member { return append([]*Member(nil), c.members...) }

// Reached is the cluster version: it rises when the last member has moved, and
// from then on older members refuse to start.
func (c *Cluster) Reached() cluster.Minor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Reached
}

// Serving tells whether some member that answers sees a leader: whether an API
// server on top of it could read and write.
func (c *Cluster) Serving() bool {
	_, ok := c.serving()
	return ok
}

// replaced has the cluster be of an older version and hold other data. What was to be
// written to the old data is forgotten.
func (c *Cluster) replaced(line cluster.Minor, bump int64) {
	c.mirror.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Reached, c.fresh, c.raised = line, true, bump
}

func (c *Cluster) readState(config Config) error {
	content, err := os.ReadFile(filepath.Join(c.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		v, err := parseVersion(config.Version)
		if err != nil {
			return fmt.Errorf("member: etcd: %w", err)
		}
		c.state.Reached = v.Line()
		for _, n := range config.Nodes {
			c.state.Members = append(c.state.Members, memberState{n.Name, n.IP, v})
		}
		return c.writeState()
	}
	if err != nil {
		return fmt.Errorf("member: %w", err)
	}
	if err := json.Unmarshal(content, &c.state); err != nil {
		return fmt.Errorf("member: %s: %w", filepath.Join(c.dir, stateFile), err)
	}
	if len(c.state.Members) != len(config.Nodes) {
		return fmt.Errorf("member: %s holds %d members, not %d", c.dir, len(c.state.Members), len(config.Nodes))
	}
	for i, n := range config.Nodes {
		if m := c.state.Members[i]; m.Name != n.Name || m.IP != n.IP {
			return fmt.Errorf("member: %s holds %s at %s, not %s at %s", c.dir, m.Name, m.IP, n.Name, n.IP)
		}
	}
	return nil
}

// writeState is called with mu held, or before anybody else knows the cluster.
func (c *Cluster) writeState() error {
	content, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return fmt.Errorf("member: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("member: %w", err)
	}
	path := filepath.Join(c.dir, stateFile)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("member: %w", err)
	}
	return os.Rename(path+".new", path)
}

// version gives what a member ran last, or the wanted one if it may run so.
func (c *Cluster) version(m *Member, wanted string) (cluster.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.state.Members[m.at].Version
	if wanted != "" {
		var err error
		if v, err = parseVersion(wanted); err != nil {
			return v, fmt.Errorf("member: etcd of %s: %w", m.node.Name, err)
		}
	}
	return v, allow(m.node.Name, v, c.state.Reached)
}

// started records a member that runs, and raises the cluster version when all do.
func (c *Cluster) started(m *Member, v cluster.Version) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Members[m.at].Version = v
	var running []cluster.Version
	for i, other := range c.members {
		if other == m || other.Running() {
			running = append(running, c.state.Members[i].Version)
		}
	}
	if len(running) == len(c.members) {
		c.state.Reached = raise(c.state.Reached, running)
	}
	return c.writeState()
}
