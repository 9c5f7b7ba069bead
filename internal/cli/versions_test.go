package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/pkg/cluster"
)

func TestOffersFromAFile(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		want    map[cluster.Version]string
		refused string
	}{
		"both forms": {
			"1.34: [v1.34.3, 1.34.4-1.1]\n\"1.35\": [v1.35.0]\n",
			map[cluster.Version]string{{Major: 1, Minor: 34, Patch: 3}: "1.34.3", {Major: 1, Minor: 34, Patch: 4}: "1.34.4-1.1", {Major: 1, Minor: 35}: "1.35.0"},
			"",
		},
		"a minor that YAML takes for a number": {"1.30: [1.30.2-1.1]\n", map[cluster.Version]string{{Major: 1, Minor: 30, Patch: 2}: "1.30.2-1.1"}, ""},
		"dnf":                                  {"v1.34: [1.34.4-150500.1.1]\n", map[cluster.Version]string{{Major: 1, Minor: 34, Patch: 4}: "1.34.4-150500.1.1"}, ""},
		"empty":                                {"", nil, "lists no version"},
		"no versions":                          {"1.34: []\n", nil, "lists no version"},
		"a list":                               {"[v1.34.3]\n", nil, "versions file"},
		"not a list":                           {"1.34: v1.34.3\n", nil, "versions file"},
		"a minor":                              {"1.34: [v1.34]\n", nil, "vMAJOR.MINOR.PATCH"},
		"other minor":                          {"1.34: [v1.35.1]\n", nil, "v1.35.1 is listed under 1.34"},
		"not a minor":                          {"next: [v1.35.1]\n", nil, "listed under next"},
		"twice":                                {"1.34: [v1.34.3, 1.34.3-1.1]\n", nil, "v1.34.3 is listed twice"},
		"duplicate key":                        {"1.34: [v1.34.3]\n1.34: [v1.34.4]\n", nil, "versions file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "versions.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			var facts cluster.Facts
			got, err := (&session{}).offers(&facts, path, nil)
			if tc.refused != "" {
				if code, _ := classify(err); code != exitUsage || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want …%s…", err, tc.refused)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
			n := 0
			for line, versions := range facts.Available {
				n += len(versions)
				for _, v := range versions {
					if v.Line().String() != line {
						t.Errorf("%s is available under %s", v, line)
					}
				}
			}
			if n != len(got) {
				t.Errorf("available: %v", facts.Available)
			}
		})
	}
	_, err := (&session{}).offers(&cluster.Facts{}, "absent.yaml", nil)
	if code, hint := classify(err); code != exitUsage || hint == "" {
		t.Errorf("absent: %v", err)
	}
}

func TestPath(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	v := cluster.MustParseVersion
	facts := func(apiServer, kubelet string) cluster.Facts {
		return cluster.Facts{
			Kubeadm: cluster.Kubeadm{ClusterVersion: v(apiServer)},
			Nodes: []cluster.Node{{Name: "cp-1", Role: cluster.ControlPlane, InAPI: true, Kubelet: v(kubelet), StaticPods: []cluster.StaticPod{
				{Component: "kube-apiserver", Version: v(apiServer)},
			}}},
			Available: map[string][]cluster.Version{"1.33": {v("v1.33.12"), v("v1.33.13")}, "1.34": {v("v1.34.3"), v("v1.34.4")}},
		}
	}
	there, behind := facts("v1.33.13", "v1.33.13"), facts("v1.33.13", "v1.32.11")
	newest := facts(c.Newest().String()+".0", c.Newest().String()+".0")
	for name, tc := range map[string]struct {
		facts   cluster.Facts
		to      string
		want    []cluster.Version
		refused string
	}{
		"default":                   {there, "", []cluster.Version{v("v1.34.4")}, ""},
		"a minor":                   {there, "1.34", []cluster.Version{v("v1.34.4")}, ""},
		"there":                     {there, "v1.33.13", nil, ""},
		"there, its minor":          {there, "v1.33", nil, ""},
		"there, a path walked":      {there, "v1.32.11, v1.33.13", nil, ""},
		"a hop that ended early":    {behind, "v1.33.13", []cluster.Version{v("v1.33.13")}, ""},
		"a path that ended early":   {behind, "v1.32.11,v1.33.13", []cluster.Version{v("v1.33.13")}, ""},
		"older":                     {there, "v1.32", nil, "is at v1.33.13"},
		"older patch":               {there, "v1.33.12", nil, "not newer"},
		"there, and then back":      {there, "v1.33.13,v1.32", nil, "not newer"},
		"no version":                {there, "latest", nil, "want a minor"},
		"beyond what kup knows":     {there, "v1.99", nil, "this kup knows the minors"},
		"beyond, exactly":           {there, "v1.99.1", nil, "this kup knows the minors"},
		"next to the newest":        {newest, "", nil, "is the newest minor that this kup knows"},
		"the cluster is not known":  {cluster.Facts{}, "v1.34", nil, "version is not known"},
		"not known, and no default": {cluster.Facts{}, "", nil, "version is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := (&session{catalog: c}).path(&tc.facts, tc.to)
			if tc.refused == "" {
				if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
					t.Error(diff, err)
				}
				return
			}
			if code, _ := classify(err); code != exitUsage || err == nil || !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("%v, want …%s…", err, tc.refused)
			}
		})
	}
}

func TestPolicyFromInventory(t *testing.T) {
	inv, err := inventory.Parse("kup.yaml", []byte(`apiVersion: kup/v1alpha1
nodes:
  - {name: cp-1, role: control-plane, address: 192.0.2.1}
  - {name: w-1, role: worker, address: 192.0.2.2, pool: gpu}
pools:
  - name: gpu
    maxUnavailable: "25%"
    drain: {timeout: 30m, gracePeriod: 90s, deleteEmptyDirData: false, force: true}
workers: fewest
packages: {manager: dnf, hold: false, lockTimeout: 1m}
kubeadm: {patches: /etc/kubernetes/patches, ignorePreflightErrors: [SystemVerification], certificateRenewal: false}
loadBalancer: {drain: [./lb, drain, "{node}"], restore: [./lb, restore, "{node}"]}
gates: {sustain: 20s, timeout: 5m}
`))
	if err != nil {
		t.Fatal(err)
	}
	offers := map[cluster.Version]string{{Major: 1, Minor: 34}: "1.34.0-1.1"}
	p := policy(inv, offers)
	if p.Now.IsZero() || p.KupVersion != version || p.InventoryDigest != inv.Digest() {
		t.Errorf("%v %q %q", p.Now, p.KupVersion, p.InventoryDigest)
	}
	p.Now, p.KupVersion, p.InventoryDigest = time.Time{}, "", ""
	want := planner.Policy{
		IgnorePreflightErrors: []string{"SystemVerification"},
		PatchesDir:            "/etc/kubernetes/patches",
		Packages: planner.Packages{
			Manager: "dnf", Repository: "https://pkgs.k8s.io/core:/stable:/v{minor}/rpm/", RepositoryFile: "/etc/yum.repos.d/kubernetes.repo",
			LockTimeout: 60e9,
		},
		Offers:  offers,
		Workers: planner.Fewest,
		Pools: map[string]planner.Pool{
			"gpu": {
				MaxUnavailable: planner.Amount{Percent: 25},
				Drain:          planner.Drain{Timeout: 30 * 60e9, GracePeriod: 90e9, Force: true},
			},
			"default": planner.DefaultPool(),
		},
		LoadBalancer: planner.LoadBalancer{Drain: []string{"./lb", "drain", "{node}"}, Restore: []string{"./lb", "restore", "{node}"}},
		GateSustain:  20e9,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
}

// A cluster whose kubeadm recorded no version, which the operator may let through,
// stands where its API servers do.
func TestOffersWithoutARecordedVersion(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	newest := c.Newest()
	at := cluster.Version{Major: newest.Major, Minor: newest.Minor}
	for name, tc := range map[string]struct {
		facts cluster.Facts
		want  int // releases
	}{
		"nothing is known": {cluster.Facts{}, 0},
		"an API server is": {cluster.Facts{Nodes: []cluster.Node{{Name: "cp-1", StaticPods: []cluster.StaticPod{{Component: "kube-apiserver", Version: at}}}}}, 1},
	} {
		got, err := (&session{catalog: c}).offers(&tc.facts, "", nil)
		if err != nil || len(got) != tc.want {
			t.Errorf("%s: %v, %v; want %d", name, got, err, tc.want)
		}
	}
}
