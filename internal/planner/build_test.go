package planner

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

func load(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func versions(s ...string) []cluster.Version {
	var out []cluster.Version
	for _, v := range s {
		out = append(out, cluster.MustParseVersion(v))
	}
	return out
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update)", err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs from what is planned now; run the test with -update and review the difference", path)
	}
}

// outline is the plan for a reviewer: one line a step, gates below it.
func outline(p plan.Plan) string {
	var b strings.Builder
	for _, n := range p.Notices {
		mark := "-"
		if n.Consent {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s [%s] %s\n", mark, n.Hop, n.Text)
	}
	for _, h := range p.Hops {
		fmt.Fprintf(&b, "\nhop %s -> %s, etcd %s\n", h.From, h.To, h.Etcd)
		for _, st := range h.Stages {
			fmt.Fprintf(&b, "  stage %s\n", st.Name)
			for i, w := range st.Waves {
				fmt.Fprintf(&b, "    wave %d, %d at once\n", i+1, w.Parallel)
				for _, lane := range w.Lanes {
					for _, s := range lane {
						outlineStep(&b, s)
					}
				}
			}
		}
	}
	return b.String()
}

func outlineStep(b *strings.Builder, s plan.Step) {
	mutates := " "
	if s.Mutates {
		mutates = "*"
	}
	fmt.Fprintf(b, "     %s%-48s %-11s %-7s %s: %s\n", mutates, s.ID, s.Kind, s.Estimate, s.WayBack, s.Title)
	for _, g := range s.Before {
		fmt.Fprintf(b, "          before %s\n", g)
	}
	for _, g := range s.After {
		fmt.Fprintf(b, "          after  %s\n", g)
	}
}

func TestBuildGolden(t *testing.T) {
	c := load(t)
	withBalancer := func(p *Policy) {
		p.LoadBalancer = LoadBalancer{Drain: []string{"lbctl", "drain", "{node}"}, Restore: []string{"lbctl", "restore", "{address}"}}
		p.Pools["default"] = Pool{MaxUnavailable: Amount{Percent: 50}, Drain: DefaultPool().Drain}
		p.PatchesDir, p.IgnorePreflightErrors = "/etc/kubernetes/patches", []string{"SystemVerification", "Mem"}
	}
	for _, tc := range []struct {
		name   string
		top    topology
		target []string
		policy func(*Policy)
	}{
		{"3+2-1.33-1.34", topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4"}, nil},
		{"3+2-1.33-1.34-options", topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4"}, withBalancer},
		{"1+1-1.33-1.34", topology{1, 1, "v1.33.13", "v3.5.26"}, []string{"v1.34.4"}, nil},
		{"3+2-1.33-1.35", topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4", "v1.35.4"}, nil},
		{"3+2-1.33-1.36-fewest", topology{3, 2, "v1.33.13", "v3.5.26"}, []string{"v1.34.4", "v1.35.4", "v1.36.3"}, func(p *Policy) { p.Workers = Fewest }},
		{"3+2-1.31-1.32", topology{3, 2, "v1.31.14", ""}, []string{"v1.32.13"}, nil},
		{"3+2-1.30-1.31-etcd-first", topology{3, 2, "v1.30.14", ""}, []string{"v1.31.14"}, nil},
		{"3+2-1.33-1.34-etcd-edge", topology{3, 2, "v1.33.13", "v3.5.24"}, []string{"v1.34.4"}, nil},
		{"1+1-1.33-1.34-etcd-edge-defragment", topology{1, 1, "v1.33.13", "v3.5.24"}, []string{"v1.34.4"}, func(p *Policy) { p.Defragment = true }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			targets := versions(tc.target...)
			policy := testPolicy(targets...)
			if tc.policy != nil {
				tc.policy(&policy)
			}
			p, err := Build(tc.top.facts(c), targets, c, policy)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Verify(&p); err != nil {
				t.Error(err)
			}
			p.CatalogDigest = "sha256:catalog" // the data may grow without changing a plan
			if err := plan.Seal(&p); err != nil {
				t.Fatal(err)
			}
			b, err := plan.Encode(&p)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tc.name+".plan.json", b)
			golden(t, tc.name+".plan.txt", []byte(outline(p)))
		})
	}
}

// TestCommandsOfEveryHop pins the exact command lines from 1.16 to 1.37.
func TestCommandsOfEveryHop(t *testing.T) {
	c := load(t)
	var b strings.Builder
	for m := c.Oldest(); m.Less(c.Newest()); m = m.Next() {
		from, _ := c.Minor(m)
		to, _ := c.Minor(m.Next())
		top := topology{3, 1, from.Seen().String(), ""}
		policy := testPolicy(to.Seen())
		policy.PatchesDir, policy.IgnorePreflightErrors = "/etc/kubernetes/patches", []string{"Swap", "Mem"}
		p, err := Build(top.facts(c), []cluster.Version{to.Seen()}, c, policy)
		if err != nil {
			t.Fatalf("%s -> %s: %v", from.Seen(), to.Seen(), err)
		}
		fmt.Fprintf(&b, "%s -> %s\n", from.Seen(), to.Seen())
		p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			switch s.Kind {
			case plan.KindCommand:
				fmt.Fprintf(&b, "  %-40s %s\n", s.ID, strings.Join(plan.SplitArgv(s.Args["argv"]), " "))
			case plan.KindPackages:
				fmt.Fprintf(&b, "  %-40s install %s %s\n", s.ID, strings.ReplaceAll(s.Args["packages"], "\n", " "), s.Args["restart"])
			case plan.KindImages:
				if strings.Contains(s.ID, "/prepare/") {
					fmt.Fprintf(&b, "  %-40s %s\n", s.ID, strings.ReplaceAll(s.Args["images"], "\n", " "))
				}
			default:
			}
			return true
		})
	}
	golden(t, "commands.txt", []byte(b.String()))
}

func TestBuildErrors(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		name   string
		target []string
		change func(*cluster.Facts, *Policy)
		want   TargetReason
	}{
		{"two minors at once", []string{"v1.35.4"}, nil, TargetTooFar},
		{"backwards", []string{"v1.33.12"}, nil, TargetNotNewer},
		{"no revision", []string{"v1.34.4"}, func(_ *cluster.Facts, p *Policy) { p.Offers = nil }, TargetNoPackages},
		{"unknown minor", []string{"v1.34.4", "v1.35.4", "v1.36.3", "v1.37.0", "v1.38.0"}, nil, TargetUncharted},
		{"no version", []string{"v1.34.4"}, func(f *cluster.Facts, _ *Policy) {
			f.Kubeadm.ClusterVersion = cluster.Version{}
			for i := range f.Nodes {
				f.Nodes[i].StaticPods = nil
			}
		}, TargetNoFacts},
		{"pin that is no version", []string{"v1.34.4"}, func(f *cluster.Facts, _ *Policy) { f.Kubeadm.EtcdImageTag = "latest" }, TargetEtcd},
		{"pin below the minimum", []string{"v1.34.4"}, func(f *cluster.Facts, _ *Policy) {
			f.Kubeadm.EtcdImageTag = "3.5.9-0"
			for i := range f.Etcd.Members {
				f.Etcd.Members[i].Version = cluster.MustParseVersion("v3.5.9")
			}
		}, TargetEtcd},
	} {
		t.Run(tc.name, func(t *testing.T) {
			targets := versions(tc.target...)
			f, p := topology{3, 2, "v1.33.13", "v3.5.26"}.facts(c), testPolicy(targets...)
			if tc.change != nil {
				tc.change(&f, &p)
			}
			_, err := Build(f, targets, c, p)
			var te *TargetError
			if !errors.As(err, &te) || te.Reason != tc.want {
				t.Fatalf("got %v, want reason %s", err, tc.want)
			}
		})
	}
}
