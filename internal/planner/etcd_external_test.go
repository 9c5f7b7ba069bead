package planner

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// external moves the members of a cluster to hosts of their own; versions are the
// members' own, the first for the leader.
func external(f cluster.Facts, versions ...string) cluster.Facts {
	f.Etcd = cluster.Etcd{Topology: "external"}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		for j := range n.StaticPods {
			if n.StaticPods[j].Component == "etcd" {
				n.StaticPods = n.StaticPods[:j]
				break
			}
		}
	}
	for i, text := range versions {
		v, name := cluster.MustParseVersion(text), fmt.Sprintf("e-%d", i+1)
		f.Nodes = append(f.Nodes, cluster.Node{Name: name, Role: cluster.EtcdHost, Arch: "amd64", Host: &cluster.Host{
			BootID: "boot-" + name,
			Etcd: &cluster.EtcdUnit{
				Unit: "etcd.service", Active: true, Binary: "/usr/local/bin/etcd", Version: v, DataDirectory: "/var/lib/etcd",
				Files: []string{"/etc/etcd.env", "/etc/systemd/system/etcd.service"},
			},
		}})
		f.Etcd.Members = append(f.Etcd.Members, cluster.Member{
			ID: fmt.Sprintf("%x", 0xe0+i), Name: fmt.Sprintf("member-%d", i+1), Node: name, Version: v, Healthy: true, Leader: i == 0,
		})
	}
	return f
}

func externalPolicy(targets ...cluster.Version) Policy {
	p := testPolicy(targets...)
	p.EtcdBinaries = EtcdBinaries{
		URL:         "https://mirror.example/{version}/etcd-{version}-linux-{arch}.tar.gz",
		ChecksumURL: "https://mirror.example/{version}/SHA256SUMS",
	}
	return p
}

func TestExternalEtcdGolden(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		name, from string
		members    []string
		target     []string
	}{
		{"external-1.33-1.34", "v1.33.13", []string{"v3.5.33", "v3.5.33", "v3.5.33"}, []string{"v1.34.4"}},
		{"external-edge", "v1.33.13", []string{"v3.5.24", "v3.5.24", "v3.5.33"}, []string{"v1.34.4"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			targets := versions(tc.target...)
			p, err := Build(external(topology{2, 1, tc.from, ""}.facts(c), tc.members...), targets, c, externalPolicy(targets...))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tc.name+".plan.txt", []byte(outline(p)))
			checkRoundTrip(t, p)
		})
	}
}

// passes are the releases that the members go through, "|" where the control plane moves.
func passes(p plan.Plan) string {
	var out []string
	for _, h := range p.Hops {
		for _, st := range h.Stages {
			if st.Name == plan.ControlPlane {
				out = append(out, "|")
			}
			if st.Name != plan.EtcdStage {
				continue
			}
			for _, w := range st.Waves {
				to := ""
				for _, lane := range w.Lanes {
					s := lane[len(lane)-1]
					to += " " + s.Node + "@" + s.Args["version"] + "(" + string(s.WayBack) + ")"
				}
				out = append(out, strings.TrimSpace(to))
			}
		}
	}
	return strings.Join(out, " ; ")
}

func TestExternalEtcdPasses(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		name, from string
		members    []string
		target     []string
		want       string
	}{
		{
			"one minor, the leader last", "v1.33.13", []string{"v3.5.33", "v3.5.33"}, []string{"v1.34.4"},
			"| ; e-2@v3.6.5(node-backup) e-1@v3.6.5(none)",
		},
		{
			"a known-bad edge", "v1.33.13", []string{"v3.5.24", "v3.5.30"}, []string{"v1.34.4"},
			"| ; e-2@v3.5.33(node-backup) e-1@v3.5.33(node-backup) ; e-2@v3.6.5(node-backup) e-1@v3.6.5(none)",
		},
		{
			"the API server needs a newer one", "v1.30.14", []string{"v3.5.12", "v3.5.12"}, []string{"v1.31.14"},
			"e-2@v3.5.24(node-backup) e-1@v3.5.24(node-backup) ; |",
		},
		{
			"only what the API server needs goes first", "v1.33.13", []string{"v3.5.15"}, []string{"v1.34.4"},
			"e-1@v3.5.33(node-backup) ; | ; e-1@v3.6.5(none)",
		},
		{"newer already", "v1.33.13", []string{"v3.6.11", "v3.6.11"}, []string{"v1.34.4"}, "|"},
		{"half of it done", "v1.33.13", []string{"v3.5.33", "v3.6.5"}, []string{"v1.34.4"}, "| ; e-1@v3.6.5(none)"},
		{
			"two hops", "v1.33.13", []string{"v3.5.33"}, []string{"v1.34.4", "v1.35.4"},
			"| ; e-1@v3.6.5(none) ; | ; e-1@v3.6.6(node-backup)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			targets := versions(tc.target...)
			p, err := Build(external(topology{1, 0, tc.from, ""}.facts(c), tc.members...), targets, c, externalPolicy(targets...))
			if err != nil {
				t.Fatal(err)
			}
			if got := passes(p); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestExternalEtcdFetchesWhatItSwaps(t *testing.T) {
	c, targets := load(t), versions("v1.34.4")
	p, err := Build(external(topology{1, 0, "v1.33.13", ""}.facts(c), "v3.5.24", "v3.5.33"), targets, c, externalPolicy(targets...))
	if err != nil {
		t.Fatal(err)
	}
	fetched, swapped := map[string]bool{}, 0
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		at := s.Node + s.Args["version"] + s.Args["url"] + s.Args["checksumURL"]
		switch s.Kind {
		case plan.KindEtcdFetch:
			fetched[at] = true
		case plan.KindEtcdSwap:
			if swapped++; !fetched[at] {
				t.Errorf("%s was not fetched before", s.ID)
			}
			if want := "https://mirror.example/" + s.Args["version"] + "/etcd-" + s.Args["version"] + "-linux-amd64.tar.gz"; s.Args["url"] != want {
				t.Errorf("url %s, want %s", s.Args["url"], want)
			}
		default:
		}
		return true
	})
	if swapped != 3 || len(fetched) != 3 {
		t.Errorf("%d swaps, %d fetched", swapped, len(fetched))
	}
}

// What is not wholly seen is not planned for: preflight blocks it.
func TestExternalEtcdNotSeen(t *testing.T) {
	c, targets := load(t), versions("v1.34.4")
	f := external(topology{1, 0, "v1.33.13", ""}.facts(c), "v3.5.33")
	f.Node("e-1").Host = nil
	p, err := Build(f, targets, c, externalPolicy(targets...))
	if err != nil {
		t.Fatal(err)
	}
	if got := passes(p); got != "|" {
		t.Errorf("planned %s", got)
	}
	f = external(topology{1, 0, "v1.33.13", ""}.facts(c), "v3.2.10")
	var refused *TargetError
	if _, err := Build(f, targets, c, externalPolicy(targets...)); err != nil && !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

func TestDriftOfExternalMembers(t *testing.T) {
	c, targets := load(t), versions("v1.34.4")
	f := external(topology{1, 0, "v1.33.13", ""}.facts(c), "v3.5.33", "v3.5.33")
	p, err := Build(f, targets, c, externalPolicy(targets...))
	if err != nil {
		t.Fatal(err)
	}
	now := external(topology{1, 0, "v1.33.13", ""}.facts(c), "v3.5.33", "v3.6.5")
	untouched := func(string) Progress { return Untouched }
	if found := Drift(&p, untouched, &now); len(found) != 1 || found[0].Object != "etcd member member-2: version" {
		t.Errorf("found %v", found)
	}
	ended := func(id string) Progress {
		if id == "1.34/etcd/e-2/3.6.5-etcd" {
			return Ended
		}
		return Untouched
	}
	if found := Drift(&p, ended, &now); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}
