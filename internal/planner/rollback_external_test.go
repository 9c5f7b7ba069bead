package planner

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// The second of three members does not start at the new release.
func TestRollbackOfAnExternalMember(t *testing.T) {
	c, targets := load(t), versions("v1.34.4")
	build := func(members ...string) plan.Plan {
		p, err := Build(external(topology{1, 1, "v1.33.13", ""}.facts(c), members...), targets, c, externalPolicy(targets...))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := build("v3.5.33", "v3.5.33", "v3.5.33")
	u, now := stopped(t, p, "1.34/etcd/e-3/3.6.5-etcd")
	for i := range now.Etcd.Members {
		if m := &now.Etcd.Members[i]; m.Node == "e-3" {
			m.Healthy, m.Version = false, cluster.Version{} // it does not answer
		}
	}
	e := Evidence{Facts: &now}
	w := wayOf(Ways(u, e, c), plan.ScopeNode)
	back, err := Rollback(u, e, w, c, externalPolicy(targets...))
	if err != nil {
		t.Fatal(err)
	}
	checkBack(t, &back, u)
	if strings.Join(w.Nodes, " ") != "e-3" {
		t.Errorf("goes back: %v", w.Nodes)
	}
	if data := wayOf(Ways(u, e, c), plan.ScopeData); data.Open() || !strings.Contains(data.Why, "etcd is external") {
		t.Errorf("a restore is offered: %q", data.Why)
	}
	golden(t, "rollback-external-member.plan.txt", []byte(outline(back)))
	if got := back.Hops[0].Etcd.String(); got != "v3.5.33" {
		t.Errorf("the hop goes back to etcd %s", got)
	}
	found := false
	back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindEtcdReturn {
			found = true
			for k, want := range map[string]string{
				"version": "v3.5.33", "keep": plan.EtcdKeep(u.Run, "1.34", "v3.5.33"), "judged": "true", "unit": "etcd.service",
				"dataDirectory": "/var/lib/etcd", "directory": "/usr/local/bin", "member": "member-3",
			} {
				if s.Args[k] != want {
					t.Errorf("%s is %q, want %q", k, s.Args[k], want)
				}
			}
		}
		return true
	})
	if !found {
		t.Error("nothing takes the member back")
	}
	judged := false
	back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		judged = judged || (s.Kind == plan.KindRejoin && s.Node == "e-3" && s.Args["unit"] == "etcd.service" && s.Args["member"] == "member-3" && s.Args["dataDir"] == "/var/lib/etcd")
		return true
	})
	if !judged {
		t.Error("nothing judges the member's data")
	}

	for name, tc := range map[string]struct {
		members []string
		failing string
		agreed  string
		open    bool
	}{
		"an old member is left":       {[]string{"v3.5.33", "v3.5.33", "v3.5.33"}, "1.34/etcd/e-2/3.6.5-etcd", "", true},
		"it is the last":              {[]string{"v3.5.33", "v3.5.33", "v3.5.33"}, "1.34/etcd/e-1/3.6.5-etcd", "", false},
		"the last, but nobody agreed": {[]string{"v3.5.33", "v3.5.33", "v3.5.33"}, "1.34/etcd/e-1/3.6.5-etcd", "v3.5.0", true},
		"the members agreed":          {[]string{"v3.5.33", "v3.5.33", "v3.5.33"}, "1.34/etcd/e-3/3.6.5-etcd", "v3.6.0", false},
		"within a minor":              {[]string{"v3.5.24"}, "1.34/etcd/e-1/3.5.33-etcd", "v3.5.0", true},
	} {
		p := build(tc.members...)
		u, now := stopped(t, p, tc.failing)
		e := Evidence{Facts: &now}
		if tc.agreed != "" {
			e.EtcdCluster = cluster.MustParseVersion(tc.agreed)
		}
		if w := wayOf(Ways(u, e, c), plan.ScopeNode); w.Open() != tc.open {
			t.Errorf("%s: open %t, %s", name, w.Open(), w.Why)
		}
	}
}
