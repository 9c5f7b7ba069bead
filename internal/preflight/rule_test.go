package preflight

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

var update = flag.Bool("update", false, "write the golden file anew")

var loadOnce = sync.OnceValues(catalog.Load)

// clean is a healthy cluster of three control planes and two workers at
// v1.33.13, on its way to v1.34.4.
func clean(t *testing.T) Input {
	t.Helper()
	b, err := os.ReadFile("../planner/testdata/3+2-1.33-1.34.plan.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	p.Facts.Available = map[string][]cluster.Version{"1.34": path("v1.34.4"), "1.35": path("v1.35.4")}
	return Input{
		Facts: p.Facts, Path: path("v1.34.4"), Catalog: c, Now: p.CreatedAt,
		Nodes: []string{"cp-1", "cp-2", "cp-3", "w-1", "w-2"}, PackageManager: "apt", CertificateRenewal: true,
	}
}

func path(versions ...string) []cluster.Version {
	var out []cluster.Version
	for _, v := range versions {
		out = append(out, cluster.MustParseVersion(v))
	}
	return out
}

// at moves the whole cluster to a version.
func at(in *Input, version, etcd string) {
	v, e := cluster.MustParseVersion(version), cluster.MustParseVersion(etcd)
	in.Facts.Kubeadm.ClusterVersion, in.Facts.Available = v, nil
	for i := range in.Facts.Nodes {
		n := &in.Facts.Nodes[i]
		n.Kubelet, n.Host.Kubelet, n.Host.Kubeadm = v, v, v
		for j := range n.StaticPods {
			n.StaticPods[j].Version = v
		}
	}
	for i := range in.Facts.Etcd.Members {
		in.Facts.Etcd.Members[i].Version = e
	}
}

func TestCleanCluster(t *testing.T) {
	in := clean(t)
	if got := Check(in); len(got) != 0 {
		t.Errorf("a healthy cluster has findings:\n%s", list(got))
	}
	in.Path = nil
	if got := Check(in); len(got) != 0 {
		t.Errorf("without a path there are findings:\n%s", list(got))
	}
	in = clean(t)
	at(&in, "v1.33.13", "v3.5.26")
	in.Path = path("v1.34.4", "v1.35.4", "v1.36.3")
	if got := Check(in); len(got) != 0 {
		t.Errorf("three hops have findings:\n%s", list(got))
	}
}

// ruleCase hits one rule; what is found is in testdata.
type ruleCase struct {
	rule, name string
	change     func(*Input)
}

// groups are the cases by the name of their golden file.
var groups = []struct {
	name  string
	cases func() []ruleCase
}{
	{"findings", cases},
	{"startup", startupCases}, {"hoststate", hostStateCases}, {"objects", objectCases}, {"stored", storedCases},
	{"placement", placementCases}, {"admission", admissionCases}, {"addons", addonCases}, {"hazards", hazardCases},
}

func allCases() []ruleCase {
	var out []ruleCase
	for _, g := range groups {
		out = append(out, g.cases()...)
	}
	return out
}

func cases() []ruleCase {
	v := cluster.MustParseVersion
	node := func(name string, f func(*cluster.Node)) func(*Input) {
		return func(in *Input) { f(in.Facts.Node(name)) }
	}
	return []ruleCase{
		{"KUP-001", "two minors", func(in *Input) { in.Path = path("v1.35.4") }},
		{"KUP-001", "backwards", func(in *Input) { in.Path = path("v1.33.12") }},
		{"KUP-002", "unknown minor", func(in *Input) { at(in, "v1.37.0", "v3.7.0"); in.Path = path("v1.38.0") }},
		{"KUP-002", "unknown patch", func(in *Input) { at(in, "v1.30.14", "v3.5.26"); in.Path = path("v1.31.2") }},
		{"KUP-003", "not in the repository", func(in *Input) { in.Path = path("v1.34.5") }},
		{"KUP-003", "second hop not in the repository", func(in *Input) { in.Path = path("v1.34.4", "v1.35.9") }},
		{"KUP-010", "API servers two minors apart", node("cp-2", func(n *cluster.Node) { n.Static("kube-apiserver").Version = v("v1.31.0") })},
		{"KUP-011", "an upgrade that did not end", func(in *Input) {
			in.Facts.Node("cp-1").Static("kube-apiserver").Version = v("v1.34.4")
			in.Facts.Node("w-2").Kubelet = v("v1.33.12")
		}},
		{"KUP-012", "a kubelet ahead", node("w-1", func(n *cluster.Node) { n.Kubelet = v("v1.34.4") })},
		{"KUP-013", "a kubelet four behind", node("w-1", func(n *cluster.Node) { n.Kubelet = v("v1.30.14") })},
		{"KUP-013", "a kubelet too old now", node("w-1", func(n *cluster.Node) { n.Kubelet = v("v1.29.15") })},
		{"KUP-014", "narrower in old kubeadm", func(in *Input) {
			at(in, "v1.27.16", "v3.5.12")
			in.Path, in.Facts.Node("w-1").Kubelet = path("v1.28.15"), v("v1.26.15")
		}},
		{"KUP-015", "a worker left out of a hop", func(in *Input) {
			at(in, "v1.32.13", "v3.5.26")
			in.Path = path("v1.33.13")
			n := in.Facts.Node("w-1")
			n.Kubelet, n.Host.Kubelet, n.Host.Kubeadm = v("v1.31.14"), v("v1.31.14"), v("v1.31.14")
			in.Facts.Node("w-2").Host.Kubeadm = v("v1.32.13")
		}},
		{"KUP-015", "a worker that missed what only one kubeadm does", func(in *Input) {
			at(in, "v1.35.4", "v3.6.11")
			in.Path = path("v1.36.3")
			n := in.Facts.Node("w-1")
			n.Kubelet, n.Host.Kubelet, n.Host.Kubeadm = v("v1.33.13"), v("v1.33.13"), v("v1.34.4")
			in.Facts.Node("w-2").Host.Kubeadm = v("v1.35.4")
		}},
		{"KUP-020", "not in the inventory", func(in *Input) { in.Nodes = in.Nodes[:4] }},
		{"KUP-021", "not in the cluster", func(in *Input) { in.Nodes = append(in.Nodes, "w-3") }},
		{"KUP-021", "surveyed but not joined", node("w-2", func(n *cluster.Node) { n.InAPI = false })},
		{"KUP-022", "not reached", node("w-2", func(n *cluster.Node) { n.Host = nil })},
		{"KUP-023", "not Ready", node("w-2", func(n *cluster.Node) { n.Ready = false })},
		{"KUP-024", "cordoned", node("w-2", func(n *cluster.Node) { n.Cordoned = true })},
		{"KUP-025", "a scheduler down", node("cp-2", func(n *cluster.Node) { n.Static("kube-scheduler").Ready = false })},
		{"KUP-030", "no kubeadm-config", func(in *Input) { in.Facts.Kubeadm = cluster.Kubeadm{} }},
		{"KUP-030", "no static pods", node("cp-3", func(n *cluster.Node) { n.StaticPods = n.StaticPods[3:] })},
		{"KUP-031", "a flag by hand", node("cp-2", func(n *cluster.Node) {
			n.Host.HandEdits = []cluster.HandEdit{{Path: "/etc/kubernetes/manifests/kube-apiserver.yaml", What: "flag --audit-log-path is added"}}
		})},
		{"KUP-032", "patches missing", func(in *Input) {
			in.PatchesDir = "/etc/kubernetes/patches"
			for i := range in.Facts.Nodes {
				in.Facts.Nodes[i].Host.PatchesPresent = in.Facts.Nodes[i].Name != "cp-3"
			}
		}},
		{"KUP-033", "patches unknown", func(in *Input) {
			at(in, "v1.17.17", "v3.4.3")
			in.Path, in.PatchesDir, in.Facts.Kubeadm.APIVersion = path("v1.18.20", "v1.19.16"), "/p", "kubeadm.k8s.io/v1beta2"
			for i := range in.Facts.Nodes {
				in.Facts.Nodes[i].Host.PatchesPresent = true
			}
		}},
		{"KUP-034", "a CA without its key", node("cp-1", func(n *cluster.Node) { n.Host.ExternalCA = true })},
		{"KUP-035", "expired", node("cp-1", func(n *cluster.Node) {
			n.Host.Certificates[1].NotAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		})},
		{"KUP-036", "expires soon", node("cp-1", func(n *cluster.Node) {
			n.Host.Certificates[1].NotAfter = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
			n.Host.Certificates[2].NotAfter, n.Host.Certificates[2].External = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), true
		})},
		{"KUP-037", "v1beta3 into 1.37", func(in *Input) {
			at(in, "v1.36.3", "v3.6.11")
			in.Path, in.Facts.Kubeadm.APIVersion = path("v1.37.0"), "kubeadm.k8s.io/v1beta3"
		}},
		{"KUP-040", "3.5.24 into 3.6", func(in *Input) { at(in, "v1.33.13", "v3.5.24") }},
		{"KUP-040", "3.6.8 into 3.7 four hops on", func(in *Input) {
			at(in, "v1.33.13", "v3.5.26")
			in.Path = path("v1.34.4", "v1.35.4", "v1.36.3", "v1.37.0")
		}},
		{"KUP-040", "pinned past the edge", func(in *Input) {
			at(in, "v1.33.13", "v3.5.24")
			in.Facts.Kubeadm.EtcdImageTag = "3.6.5-0"
		}},
		{"KUP-041", "a member ill", func(in *Input) {
			in.Facts.Etcd.Members[1].Healthy, in.Facts.Etcd.Members[1].Problem = false, "no leader"
		}},
		{"KUP-042", "no space", func(in *Input) { in.Facts.Etcd.Alarms = []string{"NOSPACE on cp-2"} }},
		{"KUP-043", "a learner", func(in *Input) { in.Facts.Etcd.Members[2].Learner = true }},
		{"KUP-044", "pinned", func(in *Input) { in.Facts.Kubeadm.EtcdImageTag = "3.5.26-0" }},
		{"KUP-045", "3.4 into 3.6", func(in *Input) { at(in, "v1.33.13", "v3.4.40") }},
		{"KUP-046", "pinned below the minimum", func(in *Input) {
			at(in, "v1.30.14", "v3.5.15")
			in.Path, in.Facts.Kubeadm.EtcdImageTag = path("v1.31.14"), "3.5.15-0"
		}},
		{"KUP-047", "members unseen", func(in *Input) { in.Facts.Etcd.Members = nil }},
		{"KUP-047", "a member elsewhere", func(in *Input) { in.Facts.Etcd.Members[2].Node = "" }},
		{"KUP-048", "nearly full", func(in *Input) { in.Facts.Etcd.Members[0].DBSize = 1900 << 20 }},
		{"KUP-049", "external, and no host of it in the inventory", func(in *Input) { in.Facts.Etcd.Topology = "external" }},
		{"KUP-049", "an external member that was not asked", external(func(in *Input, _ *cluster.Node) { in.Facts.Etcd.Members = nil })},
		{"KUP-049", "an external member elsewhere", external(func(in *Input, _ *cluster.Node) { in.Facts.Etcd.Members[0].Node = "" })},
		{"KUP-049", "an external host not surveyed", external(func(_ *Input, n *cluster.Node) { n.Host = nil })},
		{"KUP-049", "a unit that is down", external(func(_ *Input, n *cluster.Node) { n.Host.Etcd.Active = false })},
		{"KUP-049", "a unit that runs a container", external(func(_ *Input, n *cluster.Node) { n.Host.Etcd.Binary = "/usr/bin/docker" })},
		{"KUP-049", "no room for a copy of the data", external(func(_ *Input, n *cluster.Node) { n.Host.DiskFree["/var/lib/kup"] = 1 << 20 })},
		{"KUP-049", "a data directory without data", external(func(_ *Input, n *cluster.Node) { n.Host.Etcd.DataSize = 4 << 10 })},
		{"KUP-050", "no disruption", func(in *Input) {
			in.Facts.Budgets = []cluster.Budget{{Namespace: "shop", Name: "db", DesiredHealthy: 3, ExpectedPods: 3}, {Namespace: "shop", Name: "gone"}}
		}},
		{"KUP-051", "no endpoint", func(in *Input) {
			in.Facts.Webhooks = []cluster.Webhook{
				{Configuration: "policy", Kind: "Validating", Name: "v.policy.io", FailClosed: true, Service: "policy/webhook"},
				{Configuration: "open", Kind: "Mutating", Name: "m.open.io", Service: "open/webhook"},
			}
		}},
		{"KUP-052", "unavailable", func(in *Input) {
			in.Facts.APIServices = []cluster.APIService{{Name: "v1beta1.metrics.k8s.io", Reason: "FailedDiscoveryCheck"}}
		}},
		{"KUP-053", "by the API server's word", func(in *Input) {
			in.Facts.DeprecatedRequests = []cluster.DeprecatedRequest{
				{Group: "admissionregistration.k8s.io", Version: "v1beta1", Resource: "validatingadmissionpolicies", RemovedRelease: "1.34"},
				{Version: "v1", Resource: "endpoints"},
			}
		}},
		{"KUP-053", "by the catalog", func(in *Input) {
			at(in, "v1.24.17", "v3.5.6")
			in.Path, in.Facts.Kubeadm.APIVersion = path("v1.25.16", "v1.26.15"), "kubeadm.k8s.io/v1beta3"
			in.Facts.DeprecatedRequests = []cluster.DeprecatedRequest{{Group: "autoscaling", Version: "v2beta2", Resource: "horizontalpodautoscalers"}}
		}},
		{"KUP-053", "not by what lists every policy", func(in *Input) {
			at(in, "v1.24.17", "v3.5.6")
			in.Path, in.Facts.Kubeadm.APIVersion = path("v1.25.16"), "kubeadm.k8s.io/v1beta3"
			in.Scan.Objects = &cluster.Objects{}
			in.Facts.DeprecatedRequests = []cluster.DeprecatedRequest{
				{Group: "policy", Version: "v1beta1", Resource: "podsecuritypolicies", RemovedRelease: "1.25"},
				{Group: "policy", Version: "v1beta1", Resource: "poddisruptionbudgets", RemovedRelease: "1.25"},
			}
		}},
		{"KUP-060", "no room", node("cp-2", func(n *cluster.Node) { n.Host.DiskFree = map[string]uint64{"/": 100 << 20, "/var": 20 << 30} })},
		{"KUP-061", "filling up", node("w-1", func(n *cluster.Node) { n.Host.ImageDiskUsedPercent = 78 })},
		{"KUP-061", "over the threshold", node("w-1", func(n *cluster.Node) { n.Host.ImageDiskUsedPercent = 90 })},
		{"KUP-062", "not held", node("w-1", func(n *cluster.Node) { n.Host.Packages[0].Held = false })},
	}
}

func TestFindings(t *testing.T) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { golden(t, "testdata/"+g.name+".txt", findings(t, g.cases())) })
	}
}

// findings are what each case leads to, and each must hit its rule.
func findings(t *testing.T, cases []ruleCase) string {
	var b strings.Builder
	for _, tc := range cases {
		in := clean(t)
		tc.change(&in)
		got := Check(in)
		if !slices.ContainsFunc(got, func(f Finding) bool { return f.Rule == tc.rule }) {
			t.Errorf("%s, %s: the rule is silent:\n%s", tc.rule, tc.name, list(got))
		}
		fmt.Fprintf(&b, "# %s, %s\n%s\n", tc.rule, tc.name, list(got))
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the findings differ from %s; run the test with -update and review the difference", path)
	}
}

func TestEveryRuleHasACase(t *testing.T) {
	hit := map[string]bool{}
	for _, tc := range allCases() {
		hit[tc.rule] = true
	}
	for _, r := range Rules() {
		if !hit[r.ID] {
			t.Errorf("%s has no case", r.ID)
		}
	}
}

func list(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %-5s [%s] %s: %s\n    fix: %s\n", f.Rule, f.Severity, f.Hop, f.Object, f.Why, f.Fix)
	}
	return b.String()
}

func TestRulesAreWellFormed(t *testing.T) {
	last := ""
	for _, r := range Rules() {
		if r.ID <= last || len(r.ID) != len("KUP-000") {
			t.Errorf("rule %s after %s", r.ID, last)
		}
		last = r.ID
		if r.Title == "" || r.Source == "" || r.Check == nil || r.Severity.rank() < 0 {
			t.Errorf("%s is incomplete", r.ID)
		}
	}
}

func TestFindingsAreComplete(t *testing.T) {
	for _, tc := range allCases() {
		in := clean(t)
		tc.change(&in)
		for _, f := range Check(in) {
			if f.Rule == "" || f.Title == "" || f.Why == "" || f.Fix == "" || f.Source == "" || f.Severity.rank() < 0 {
				t.Errorf("%s, %s: incomplete finding %+v", tc.rule, tc.name, f)
			}
		}
	}
}

func TestAccepted(t *testing.T) {
	in := clean(t)
	at(&in, "v1.33.13", "v3.5.24")
	in.Facts.Kubeadm.EtcdImageTag = "3.6.5-0"
	in.Facts.Node("w-1").Cordoned = true
	if !Blocked(Check(in)) {
		t.Fatal("etcd 3.5.24 pinned to 3.6 does not block")
	}
	in.Accepted = map[string]string{"KUP-040": "restored aside on Friday"}
	got := Check(in)
	if len(got) != 3 || got[0].Rule != "KUP-024" || got[0].Severity != Block || got[0].Accepted != "" {
		t.Errorf("another rule's block was let through:\n%s", list(got))
	}
	if got[1].Severity != Warn || got[1].Accepted != "restored aside on Friday" {
		t.Errorf("accepted, and still:\n%s", list(got))
	}
}

// What the plan sees to itself is told and does not block; what it cannot does.
func TestEtcdEdgeBlocksWhereThePlanCannotRaise(t *testing.T) {
	for name, tc := range map[string]struct {
		etcd, pin string
		want      Severity // empty: nothing is found
	}{
		"at the edge":            {"v3.5.26", "", ""},
		"raised by the plan":     {"v3.5.24", "", Info},
		"pinned past the edge":   {"v3.5.24", "3.6.5-0", Block},
		"pinned where it stands": {"v3.5.24", "3.5.24-0", ""},
		"below the API server's": {"v3.5.21", "", Info},
	} {
		in := clean(t)
		at(&in, "v1.33.13", tc.etcd)
		in.Facts.Kubeadm.EtcdImageTag = tc.pin
		var got Severity
		for _, f := range Check(in) {
			switch f.Rule {
			case "KUP-040":
				got = f.Severity
			case "KUP-046":
				t.Errorf("%s: %s", name, f.Why)
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A defragmentation that the plan begins with is taken for done.
func TestQuotaIsJudgedAfterTheDefragmentation(t *testing.T) {
	for _, defragment := range []bool{false, true} {
		in := clean(t)
		in.Defragment = defragment
		in.Facts.Etcd.Members[0].DBSize, in.Facts.Etcd.Members[0].DBSizeInUse = 1900<<20, 200<<20
		if got := Blocked(Check(in)); got == defragment {
			t.Errorf("defragment %t: blocked %t", defragment, got)
		}
	}
}

func TestBlockingFindingsComeFirst(t *testing.T) {
	in := clean(t)
	in.Facts.Node("w-1").Cordoned = true
	in.Facts.Node("w-1").Host.Packages[0].Held = false
	in.Facts.Node("w-2").Ready = false
	in.Facts.Etcd.Alarms = []string{"CORRUPT"}
	var order []string
	for _, f := range Check(in) {
		order = append(order, f.Rule)
	}
	if got := strings.Join(order, " "); got != "KUP-023 KUP-024 KUP-042 KUP-062" {
		t.Errorf("order is %s", got)
	}
}
