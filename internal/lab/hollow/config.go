package hollow

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Config is the cluster that is wanted.
type Config struct {
	// Dir is where kubeconfig, kup.yaml, keys and the members' data go. It is made.
	Dir string
	// Name is the cluster's. Default "hollow".
	Name string
	// ControlPlanes is 1 to 7, Workers 0 to 50; both zero means 3 and 2.
	ControlPlanes, Workers int
	// Kubernetes is the minor or release to start with. Default "1.33".
	Kubernetes string
	// Etcd is the etcd to start with, "3.5.33"; empty means one from which the
	// way to newer minors is safe.
	Etcd string
	// Minors are served as packages and images, besides the starting one. Default:
	// all that the catalog knows from there on.
	Minors []string
	// Pace is how long a modelled second takes, in seconds: 1 is real time.
	// Default 0.02.
	Pace float64
	// Network is the third number of the addresses, 127.77.Network.x, so that
	// several clusters fit on one computer; 0 takes a free one.
	Network int
}

const (
	defaultPace      = 0.02
	maxControlPlanes = 7
	maxWorkers       = 50

	apiPort = "6443"
	sshPort = 2222 // 22 needs root
	sshUser = "ops"

	// The last numbers of addresses.
	hostBalancer      = 3
	hostBastion       = 4
	hostControlPlanes = 11
	hostWorkers       = 31
)

// layout is what a config comes to: defaults filled in, every host placed.
type layout struct {
	Name    string            `json:"name"`
	Network int               `json:"network"`
	Pace    float64           `json:"pace"`
	Start   cluster.Version   `json:"start"`
	Etcd    cluster.Version   `json:"etcd"`
	Served  []cluster.Version `json:"served"` // releases there are packages and images of
	Hosts   []place           `json:"hosts"`
}

// place is a host's name, role and address, and what is odd about it.
type place struct {
	Name string       `json:"name"`
	Role cluster.Role `json:"role"`
	IP   string       `json:"ip"`
	// BehindBastion: SSH arrives through the bastion only.
	BehindBastion bool `json:"behindBastion,omitempty"`
	// SudoPassword: sudo asks for the cluster's password.
	SudoPassword bool `json:"sudoPassword,omitempty"`
}

func (l *layout) address(host int) string { return fmt.Sprintf("127.77.%d.%d", l.Network, host) }

func (l *layout) endpoint() string { return net.JoinHostPort(l.address(hostBalancer), apiPort) }

func (l *layout) controlPlanes() []place {
	var out []place
	for _, h := range l.Hosts {
		if h.Role == cluster.ControlPlane {
			out = append(out, h)
		}
	}
	return out
}

// layOut fills in what was left out and says what is wrong with the rest.
func layOut(c Config, known *catalog.Catalog) (layout, error) {
	if c.ControlPlanes == 0 && c.Workers == 0 {
		c.ControlPlanes, c.Workers = 3, 2
	}
	if c.ControlPlanes < 1 || c.ControlPlanes > maxControlPlanes || c.Workers < 0 || c.Workers > maxWorkers {
		return layout{}, fmt.Errorf("%d control planes and %d workers: a hollow cluster has 1 to %d and 0 to %d", c.ControlPlanes, c.Workers, maxControlPlanes, maxWorkers)
	}
	if c.Pace < 0 || c.Pace > 1 {
		return layout{}, fmt.Errorf("pace %v: want a number above 0, up to 1, which is real time", c.Pace)
	}
	l := layout{Name: orDefault(c.Name, "hollow"), Network: c.Network, Pace: orDefault(c.Pace, defaultPace)}
	if !nameRE.MatchString(l.Name) {
		return layout{}, fmt.Errorf("name %q: use up to 20 lower case letters, digits and dashes, a letter first", l.Name)
	}
	if err := l.versions(c, known); err != nil {
		return layout{}, err
	}
	l.place(c.ControlPlanes, c.Workers)
	return l, nil
}

var nameRE = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// safeEtcd is where members start that kubeadm would give an older 3.5: from
// below 3.5.26 the move to 3.6 is not safe.
var safeEtcd = cluster.MustParseVersion("v3.5.33")

// versions resolves the starting release, its etcd, and what is served.
func (l *layout) versions(c Config, known *catalog.Catalog) error {
	start, err := release(orDefault(c.Kubernetes, "1.33"), known)
	if err != nil {
		return err
	}
	l.Start = start
	minor, _ := known.Minor(start.Line())
	_, etcd, ok := minor.Etcd(start)
	switch {
	case c.Etcd != "":
		if l.Etcd, err = cluster.ParseVersion(c.Etcd); err != nil {
			return fmt.Errorf("etcd %q: %w", c.Etcd, err)
		}
	case !ok:
		return fmt.Errorf("which etcd %s comes with is not known; give one", start)
	case etcd.Less(safeEtcd):
		l.Etcd = safeEtcd
	default:
		l.Etcd = etcd
	}
	l.Served = []cluster.Version{start}
	if len(c.Minors) == 0 {
		for m := start.Line().Next(); !known.Newest().Less(m); m = m.Next() {
			c.Minors = append(c.Minors, m.String())
		}
	}
	for _, m := range c.Minors {
		v, err := release(m, known)
		if err != nil {
			return err
		}
		if v.Line() != start.Line() {
			l.Served = append(l.Served, v)
		}
	}
	return nil
}

// release reads "1.33", which means the release the catalog has seen, or a full
// version.
func release(text string, known *catalog.Catalog) (cluster.Version, error) {
	if v, err := cluster.ParseVersion(text); err == nil {
		if _, ok := known.Minor(v.Line()); !ok {
			return v, fmt.Errorf("kubernetes %s: the catalog knows %s to %s", text, known.Oldest(), known.Newest())
		}
		return v, nil
	}
	line, err := cluster.ParseMinor(strings.TrimPrefix(text, "v"))
	if err != nil {
		return cluster.Version{}, fmt.Errorf("kubernetes %q: write 1.33 or v1.33.13", text)
	}
	minor, ok := known.Minor(line)
	if !ok {
		return cluster.Version{}, fmt.Errorf("kubernetes %s: the catalog knows %s to %s", text, known.Oldest(), known.Newest())
	}
	return minor.Seen(), nil
}

// place gives every host its address and says which is odd: the last worker is
// behind the bastion; the last of several control planes, or the worker where
// there is one control plane, asks for a sudo password.
func (l *layout) place(controlPlanes, workers int) {
	for i := range controlPlanes {
		l.Hosts = append(l.Hosts, place{Name: fmt.Sprintf("cp-%d", i+1), Role: cluster.ControlPlane, IP: l.address(hostControlPlanes + i)})
	}
	for i := range workers {
		l.Hosts = append(l.Hosts, place{Name: fmt.Sprintf("w-%d", i+1), Role: cluster.Worker, IP: l.address(hostWorkers + i)})
	}
	last := len(l.Hosts) - 1
	if workers > 0 {
		l.Hosts[last].BehindBastion = true
	}
	if controlPlanes > 1 {
		l.Hosts[controlPlanes-1].SudoPassword = true
	} else if workers > 0 {
		l.Hosts[last].SudoPassword = true
	}
}
