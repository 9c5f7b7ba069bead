package catalog

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// Minor is what is known of one minor line. Get it from [Catalog.Minor].
type Minor struct {
	row *minorRow
	c   *Catalog
}

// Line is the minor line itself.
func (m Minor) Line() cluster.Minor { return m.row.Minor }

// Seen is the release whose source the row was read from. Other patches of the
// line may bring other images.
func (m Minor) Seen() cluster.Version { return m.row.Seen }

// EtcdMin is the oldest etcd that the line's API server is supported on.
func (m Minor) EtcdMin() cluster.Version { return m.row.EtcdMin }

// KubeletBehind is how many minors kubeadm of this line lets a kubelet be older
// than the target.
func (m Minor) KubeletBehind() uint64 { return m.row.KubeletBehind }

// ReadsConfig tells whether kubeadm of this line knows the version of
// kubeadm.k8s.io, such as v1beta3.
func (m Minor) ReadsConfig(version string) bool { return slices.Contains(m.row.ConfigAPIs, version) }

// ConfigAPIs are the versions of kubeadm.k8s.io that kubeadm of this line knows.
func (m Minor) ConfigAPIs() []string { return slices.Clone(m.row.ConfigAPIs) }

// Etcd is the etcd that kubeadm v deploys: the image tag and the version in it.
// Known is false when no row covers that patch of the line.
func (m Minor) Etcd(v cluster.Version) (tag string, version cluster.Version, known bool) {
	var from cluster.Version
	rows := append(slices.Clone(m.c.patches), patchRow{From: m.row.Seen, Etcd: m.row.Etcd})
	for _, row := range rows {
		if row.From.Line() == m.row.Minor && !v.Less(row.From) && !row.From.Less(from) {
			from, tag = row.From, row.Etcd
		}
	}
	if tag == "" {
		return "", cluster.Version{}, false
	}
	version, err := TagVersion(tag)
	return tag, version, err == nil
}

// EtcdBefore is the etcd that kubeadm of this line deploys while the cluster's
// configuration still says the minor from: what etcd can be raised to before the
// control plane moves.
func (m Minor) EtcdBefore(from cluster.Minor) (tag string, version cluster.Version, known bool) {
	tag, known = m.row.SupportedEtcd[from]
	if !known {
		return "", cluster.Version{}, false
	}
	version, err := TagVersion(tag)
	return tag, version, err == nil
}

// Edge is a step between two etcd minors that needs a certain patch first.
type Edge struct {
	From    cluster.Minor   `json:"from"`
	To      cluster.Minor   `json:"to"`
	AtLeast cluster.Version `json:"atLeast"`
	Why     string          `json:"why"`
	Source  string          `json:"source"`
	// Raise is the tag of kubeadm's image that members are brought to which fall short.
	Raise       string `json:"raise"`
	RaiseSource string `json:"raiseSource"`
}

// Raised is the version of the image that members are brought to.
func (e Edge) Raised() cluster.Version {
	v, _ := TagVersion(e.Raise) // a test of the data reads every row's
	return v
}

// EtcdRaises are the image tags that members may be brought to before an edge.
func (c *Catalog) EtcdRaises() []string {
	var out []string
	for _, e := range c.edges {
		out = append(out, e.Raise)
	}
	return out
}

type noDefragmentRow struct {
	From   cluster.Version `json:"from"`
	Below  cluster.Version `json:"below"`
	Why    string          `json:"why"`
	Source string          `json:"source"`
}

// NoDefragment says why an etcd of that version must not be defragmented; false
// when it may be.
func (c *Catalog) NoDefragment(v cluster.Version) (why string, hit bool) {
	for _, row := range c.noDefragment {
		if !v.Less(row.From) && v.Less(row.Below) {
			return row.Why, true
		}
	}
	return "", false
}

// EtcdEdge gives the rule for moving etcd from one version to another, if the
// running version falls short of it.
func (c *Catalog) EtcdEdge(running, target cluster.Version) (Edge, bool) {
	for _, e := range c.edges {
		if running.Line() == e.From && !target.Line().Less(e.To) && running.Less(e.AtLeast) {
			return e, true
		}
	}
	return Edge{}, false
}

// EtcdWay are the releases that etcd has to run, one after the other, to get from one
// version to another: one minor at a time, and before each minor a patch from which
// that is safe. Known is false when a minor on the way has no release that is known.
func (c *Catalog) EtcdWay(from, to cluster.Version) (way []cluster.Version, known bool) {
	for from.Less(to) {
		next := to
		if edge, hit := c.EtcdEdge(from, to); hit {
			next = edge.Raised()
		} else if line := from.Line().Next(); from.Line() != to.Line() && line != to.Line() {
			if next = c.newestEtcd(line); next.IsZero() {
				return nil, false
			}
		}
		way = append(way, next)
		from = next
	}
	return way, true
}

// newestEtcd is the newest release of an etcd minor that any row names; zero when none
// does.
func (c *Catalog) newestEtcd(line cluster.Minor) cluster.Version {
	var newest cluster.Version
	see := func(v cluster.Version, err error) {
		if err == nil && v.Line() == line && newest.Less(v) {
			newest = v
		}
	}
	for _, row := range c.patches {
		see(TagVersion(row.Etcd))
	}
	for i := range c.minors {
		see(TagVersion(c.minors[i].Etcd))
	}
	for _, e := range c.edges {
		see(e.Raised(), nil)
	}
	return newest
}

type bumpRow struct {
	From   cluster.Version `json:"from"`
	Source string          `json:"source"`
}

// EtcdBumps tells whether that etcd's snapshot restore can raise the revision and
// mark what was before as compacted, so that no watcher sees revisions go back.
func (c *Catalog) EtcdBumps(v cluster.Version) bool {
	var last cluster.Minor
	for _, r := range c.bumps {
		if last = r.From.Line(); last == v.Line() {
			return !v.Less(r.From)
		}
	}
	return last.Less(v.Line())
}

// EtcdCertificates are the certificates that kubeadm renews with the etcd
// component only.
func (c *Catalog) EtcdCertificates() []string { return slices.Clone(c.etcdCerts.Names) }

type etcdCertificates struct {
	Names  []string `json:"names"`
	Source string   `json:"source"`
}

type nestedRow struct {
	Range
	Repositories []string `json:"repositories"`
	Source       string   `json:"source"`
}

type movedRow struct {
	Range
	Old    string `json:"old"`
	New    string `json:"new"`
	Source string `json:"source"`
}

// Images are the references one version of kubeadm uses.
type Images struct {
	ControlPlane []string // API server, controller manager, scheduler
	Etcd         string
	KubeProxy    string
	CoreDNS      string
	Pause        string
}

// Images gives the references for v. The repository is the cluster's; empty
// means the line's default. A non-empty etcdTag is the cluster's own pin.
func (m Minor) Images(v cluster.Version, repository, etcdTag string) Images {
	repo := m.repository(repository)
	if etcdTag == "" {
		etcdTag, _, _ = m.Etcd(v)
	}
	ref := func(name, tag string) string { return fmt.Sprintf("%s/%s:%s", repo, name, tag) }
	dns := "coredns"
	for _, row := range m.c.nested {
		if row.Holds(m.row.Minor) && (slices.Contains(row.Repositories, repo) || slices.Contains(row.Repositories, "*")) {
			dns = "coredns/coredns"
		}
	}
	return Images{
		ControlPlane: []string{
			ref("kube-apiserver", v.String()),
			ref("kube-controller-manager", v.String()),
			ref("kube-scheduler", v.String()),
		},
		Etcd:      ref("etcd", etcdTag),
		KubeProxy: ref("kube-proxy", v.String()),
		CoreDNS:   ref(dns, m.row.CoreDNS),
		Pause:     ref("pause", m.row.Pause),
	}
}

func (m Minor) repository(stored string) string {
	if stored == "" {
		return m.row.Repository
	}
	for _, row := range m.c.moved {
		if row.Holds(m.row.Minor) && row.Old == stored {
			return row.New
		}
	}
	return stored
}

// DefaultRepository is where kubeadm of this line pulls from unless told otherwise.
func (m Minor) DefaultRepository() string { return m.row.Repository }
