package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func load(t *testing.T) *Catalog {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	oldest = cluster.Minor{Major: 1, Minor: 16}
	newest = cluster.Minor{Major: 1, Minor: 37}
)

func TestMinorsAreComplete(t *testing.T) {
	c := load(t)
	if c.Oldest() != oldest || c.Newest() != newest {
		t.Fatalf("rows from %s to %s", c.Oldest(), c.Newest())
	}
	for m := oldest; !newest.Less(m); m = m.Next() {
		row, ok := c.Minor(m)
		if !ok {
			t.Errorf("no row for %s", m)
			continue
		}
		tag, etcd, known := row.Etcd(row.Seen())
		if !known || !strings.HasPrefix(tag, etcd.Bare()) {
			t.Errorf("%s: etcd %q %s", m, tag, etcd)
		}
		if etcd.Less(row.EtcdMin()) {
			t.Errorf("%s: brings etcd %s, below its own minimum %s", m, etcd, row.EtcdMin())
		}
		if row.Seen().Line() != m || row.KubeletBehind() == 0 || len(row.ConfigAPIs()) == 0 || row.row.CoreDNS == "" || row.row.Pause == "" || row.row.Repository == "" {
			t.Errorf("%s: the row is incomplete: %+v", m, row.row)
		}
		if c.KubeletBehind(m) < row.KubeletBehind() {
			t.Errorf("%s: kubeadm allows a kubelet %d behind, Kubernetes %d", m, row.KubeletBehind(), c.KubeletBehind(m))
		}
		if m != oldest {
			if _, v, known := row.EtcdBefore(cluster.Minor{Major: 1, Minor: m.Minor - 1}); !known || v.IsZero() {
				t.Errorf("%s: what etcd its kubeadm deploys for the minor before is not known", m)
			}
		}
	}
	if _, ok := c.Minor(newest.Next()); ok {
		t.Error("a minor nobody has seen is known")
	}
}

func TestEveryRowHasASource(t *testing.T) {
	c := load(t)
	check := func(what, source string) {
		if strings.TrimSpace(source) == "" {
			t.Errorf("%s has no source", what)
		}
	}
	for _, r := range c.minors {
		check("minor "+r.Minor.String(), r.Source)
	}
	for _, r := range c.patches {
		check("etcd of "+r.From.String(), r.Source)
	}
	for _, r := range c.edges {
		check("edge to "+r.To.String(), r.Source)
		check("why of the edge to "+r.To.String(), r.Why)
		check("what the edge to "+r.To.String()+" raises to", r.RaiseSource)
	}
	for _, r := range c.noDefragment {
		check("defragmentation from "+r.From.String(), r.Source)
		check("why not to defragment from "+r.From.String(), r.Why)
	}
	for _, r := range c.bumps {
		check("raised revisions from "+r.From.String(), r.Source)
	}
	for _, r := range c.kubelets {
		check("kubelet skew", r.Source)
	}
	check("API server skew", c.apart.Source)
	for _, cmd := range c.commands {
		for _, r := range cmd.Rows {
			check(cmd.Name+" "+r.From.String(), r.Source)
		}
	}
	for _, r := range c.options {
		check("option "+r.Flag, r.Source)
	}
	check("etcd certificates", c.etcdCerts.Source)
	for _, r := range c.nested {
		check("nested CoreDNS", r.Source)
	}
	for _, r := range c.moved {
		check("moved repository", r.Source)
	}
	for _, r := range c.removed {
		check(r.Group+"/"+r.Version+" "+r.Kind, r.Source)
	}
}

// TestRangesAreGapless: every command has exactly one row for every minor.
func TestRangesAreGapless(t *testing.T) {
	c := load(t)
	for _, cmd := range c.commands {
		at := oldest
		for _, row := range cmd.Rows {
			if row.From != at || row.To.Less(row.From) {
				t.Errorf("%s: the row from %s should begin at %s", cmd.Name, row.From, at)
			}
			at = row.To.Next()
		}
		if at != newest.Next() {
			t.Errorf("%s: the rows end before %s", cmd.Name, at)
		}
	}
	at := oldest
	for _, row := range c.kubelets {
		if row.From != at {
			t.Errorf("kubelet skew: the row from %s should begin at %s", row.From, at)
		}
		at = row.To.Next()
	}
	if at != newest.Next() {
		t.Errorf("kubelet skew: the rows end before %s", at)
	}
}

func TestRowsAreUnique(t *testing.T) {
	c := load(t)
	seen := map[string]bool{}
	once := func(key string) {
		if seen[key] {
			t.Errorf("%s has two rows", key)
		}
		seen[key] = true
	}
	for _, r := range c.minors {
		once("minor " + r.Minor.String())
	}
	for _, r := range c.patches {
		once("etcd of " + r.From.String())
		if _, err := TagVersion(r.Etcd); err != nil {
			t.Error(err)
		}
	}
	for _, r := range c.removed {
		once("API " + r.Group + "/" + r.Version + " " + r.Kind)
	}
}

func TestEtcdByPatch(t *testing.T) {
	c := load(t)
	for v, want := range map[string]string{
		"v1.33.0": "3.5.21-0", "v1.33.5": "3.5.21-0", "v1.33.6": "3.5.24-0", "v1.33.13": "3.5.24-0",
		"v1.34.0": "3.6.4-0", "v1.34.4": "3.6.5-0", "v1.34.9": "3.6.5-0", "v1.19.0": "3.4.9-1", "v1.24.17": "3.5.6-0",
		"v1.31.2": "", "v1.36.0": "",
	} {
		version := cluster.MustParseVersion(v)
		m, _ := c.Minor(version.Line())
		if got, _, known := m.Etcd(version); got != want || known != (want != "") {
			t.Errorf("%s brings etcd %q, want %q", v, got, want)
		}
	}
}

func TestEtcdEdge(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		running, target string
		blocked         bool
	}{
		{"v3.5.24", "v3.6.5", true},
		{"v3.5.25", "v3.6.5", true},
		{"v3.5.26", "v3.6.5", false},
		{"v3.5.24", "v3.5.26", false},
		{"v3.6.8", "v3.7.0", true},
		{"v3.6.11", "v3.7.0", false},
		{"v3.6.5", "v3.6.8", false},
		{"v3.4.13", "v3.5.6", false},
	} {
		edge, hit := c.EtcdEdge(cluster.MustParseVersion(tc.running), cluster.MustParseVersion(tc.target))
		if hit != tc.blocked || (hit && edge.Source == "") {
			t.Errorf("%s to %s: blocked is %t", tc.running, tc.target, hit)
		}
	}
}

func TestEtcdBumps(t *testing.T) {
	c := load(t)
	for v, want := range map[string]bool{
		"v3.3.17": false, "v3.4.26": false, "v3.4.27": true, "v3.5.9": false, "v3.5.10": true, "v3.6.0": true, "v3.7.1": true,
	} {
		if got := c.EtcdBumps(cluster.MustParseVersion(v)); got != want {
			t.Errorf("etcd %s: %t", v, got)
		}
	}
}

// What members are raised to is of the same line, is safe for the edge, and is a
// version that the edge does not catch again.
func TestEtcdEdgesRaise(t *testing.T) {
	c := load(t)
	for _, e := range c.edges {
		v, err := TagVersion(e.Raise)
		if err != nil || v != e.Raised() || v.Line() != e.From || v.Less(e.AtLeast) {
			t.Errorf("the edge to %s raises to %q: %v", e.To, e.Raise, err)
		}
		if why, hit := c.NoDefragment(v); hit {
			t.Errorf("%s: %s", e.Raise, why)
		}
	}
}

func TestNoDefragment(t *testing.T) {
	c := load(t)
	for v, want := range map[string]bool{"v3.4.34": false, "v3.5.0": true, "v3.5.5": true, "v3.5.6": false, "v3.6.5": false} {
		if why, hit := c.NoDefragment(cluster.MustParseVersion(v)); hit != want || hit != (why != "") {
			t.Errorf("%s: %t, %q", v, hit, why)
		}
	}
}

func TestCommands(t *testing.T) {
	c := load(t)
	options := Options{Patches: "/p", IgnorePreflightErrors: []string{"A", "B"}, CertificateRenewal: true}
	v := cluster.MustParseVersion("v1.34.4")
	for _, tc := range []struct {
		minor uint64
		argv  func(Minor) Command
		want  string
	}{
		{34, func(m Minor) Command { return m.Apply(v, options) }, "kubeadm upgrade apply v1.34.4 --yes --etcd-upgrade=false --certificate-renewal=true --skip-phases=addon,kubelet-config --patches=/p --ignore-preflight-errors=A,B"},
		{34, func(m Minor) Command { return m.Apply(v, Options{}) }, "kubeadm upgrade apply v1.34.4 --yes --etcd-upgrade=false --certificate-renewal=false --skip-phases=addon,kubelet-config"},
		{31, func(m Minor) Command { return m.Node(options) }, "kubeadm upgrade node --etcd-upgrade=false --certificate-renewal=true --patches=/p --ignore-preflight-errors=A,B"},
		{20, func(m Minor) Command { return m.Node(options) }, "kubeadm upgrade node --etcd-upgrade=false --certificate-renewal=true --experimental-patches=/p --ignore-preflight-errors=A,B"},
		{18, func(m Minor) Command { return m.Node(options) }, "kubeadm upgrade node --etcd-upgrade=false --certificate-renewal=true"},
		{34, func(m Minor) Command { return m.KubeletConfig(options) }, "kubeadm upgrade node phase kubelet-config --patches=/p"},
		{31, func(m Minor) Command { return m.KubeletConfig(options) }, ""},
		{34, func(m Minor) Command { return m.Worker(options) }, "kubeadm upgrade node --patches=/p --ignore-preflight-errors=A,B"},
		{34, func(m Minor) Command { return m.EtcdMember(options) }, "kubeadm upgrade node phase control-plane --etcd-upgrade=true --certificate-renewal=true --patches=/p"},
		{34, func(m Minor) Command { return m.CoreDNS(options) }, "kubeadm upgrade node phase addon coredns --patches=/p"},
		{34, func(m Minor) Command { return m.KubeProxy(options) }, "kubeadm upgrade node phase addon kube-proxy"},
		{34, func(m Minor) Command { return m.Renew("etcd-peer") }, "kubeadm certs renew etcd-peer"},
		{19, func(m Minor) Command { return m.Renew("etcd-peer") }, "kubeadm alpha certs renew etcd-peer"},
	} {
		m, _ := c.Minor(cluster.Minor{Major: 1, Minor: tc.minor})
		if got := strings.Join(tc.argv(m).Argv, " "); got != tc.want {
			t.Errorf("1.%d:\n got %s\nwant %s", tc.minor, got, tc.want)
		}
	}
	m, _ := c.Minor(oldest)
	if m.HasOption("patches") || !m.HasOption("ignorePreflightErrors") {
		t.Error("1.16 knows preflight errors to ignore and no patches")
	}
	if !m.Apply(v, options).Does(PartAddons) || m.Apply(v, options).Does(PartAddonsWhenLast) {
		t.Error("1.16 moves the add-ons inside apply")
	}
}

func TestImages(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		version, repository, want string
	}{
		{"v1.34.4", "", "registry.k8s.io/coredns/coredns:v1.12.1"},
		{"v1.34.4", "registry.k8s.io", "registry.k8s.io/coredns/coredns:v1.12.1"},
		{"v1.34.4", "k8s.gcr.io", "registry.k8s.io/coredns/coredns:v1.12.1"},
		{"v1.34.4", "mirror.example/k8s", "mirror.example/k8s/coredns:v1.12.1"},
		{"v1.21.14", "mirror.example/k8s", "mirror.example/k8s/coredns/coredns:v1.8.0"},
		{"v1.20.15", "", "k8s.gcr.io/coredns:1.7.0"},
	} {
		v := cluster.MustParseVersion(tc.version)
		m, _ := c.Minor(v.Line())
		if got := m.Images(v, tc.repository, "").CoreDNS; got != tc.want {
			t.Errorf("%s from %q: %s, want %s", tc.version, tc.repository, got, tc.want)
		}
	}
	v := cluster.MustParseVersion("v1.34.4")
	m, _ := c.Minor(v.Line())
	i := m.Images(v, "", "3.5.33-0")
	if i.Etcd != "registry.k8s.io/etcd:3.5.33-0" || i.Pause != "registry.k8s.io/pause:3.10.1" || !slices.Contains(i.ControlPlane, "registry.k8s.io/kube-scheduler:v1.34.4") {
		t.Errorf("%+v", i)
	}
}

func TestRemovedAPI(t *testing.T) {
	c := load(t)
	api, ok := c.RemovedAPI("policy", "v1beta1", "poddisruptionbudgets")
	if !ok || api.In.String() != "1.25" || api.Replacement != "policy/v1" {
		t.Errorf("%+v %t", api, ok)
	}
	if _, ok := c.RemovedAPI("apps", "v1", "deployments"); ok {
		t.Error("apps/v1 is not removed")
	}
}

func TestDigest(t *testing.T) {
	a, b := load(t), load(t)
	if a.Digest() != b.Digest() || !strings.HasPrefix(a.Digest(), "sha256:") || len(a.Digest()) != 71 {
		t.Errorf("%s, %s", a.Digest(), b.Digest())
	}
}
