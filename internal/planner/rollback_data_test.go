package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// withSnapshot records the hop's snapshot in the run.
func withSnapshot(u Undone, hop string) Undone {
	u.State.Artefacts = append(u.State.Artefacts, journal.Artefact{
		Name: ArtefactSnapshot, Hop: hop, Path: "/home/op/.local/state/kup/uid/" + u.Run + "/etcd-" + hop + ".db", Digest: "sha256:" + strings.Repeat("ab", 32),
	})
	return u
}

func read(live int64) *Saved {
	return &Saved{Revision: 4000, Live: live, Pods: map[string][]string{"w-1": {"uid-a", "uid-b"}, "cp-1": {"uid-c"}}}
}

func TestRollbackOfTheData(t *testing.T) {
	c := load(t)
	three := topology{3, 2, "v1.33.13", "v3.5.26"}
	for _, tc := range []struct {
		name, failing string
		blind         bool
		live          int64
		plain         string
	}{
		{"data-early", "1.34/etcd/cp-3/etcd", false, 4100, ""},
		{"data-hop", "", false, 1_000_004_000, ""},
		{"data-blind", "", true, 9000, ""},
		{"data-sealed", "1.34/etcd/cp-3/etcd", false, 4100, "sha256:" + strings.Repeat("ab", 32)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, policy := upgradePlan(t, c, three, nil, "v1.34.4")
			u, now := stopped(t, p, tc.failing)
			u = withSnapshot(u, "1.34")
			e := Evidence{Facts: &now, Saved: read(tc.live)}
			e.Saved.Plain = tc.plain
			if tc.blind {
				e.Facts = nil
			}
			w := wayOf(Ways(u, e, c), plan.ScopeData)
			back, err := Rollback(u, e, w, c, policy)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Verify(&back); err != nil {
				t.Error(err)
			}
			golden(t, "rollback-"+tc.name+".plan.txt", []byte(outline(back)+argumentsOf(back, plan.KindRestoreMember, plan.KindRestorable, plan.KindDeliver, plan.KindStandstill, plan.KindSandboxes, plan.KindRevision, plan.KindFiles, plan.KindPackages)))
		})
	}
}

// The snapshot is of before the hop, and so is the manifest that is put back: where the hop
// raised etcd before its turn, the programs and images are of before that.
func TestRollbackOfTheDataIsOfBeforeARaise(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 1, "v1.33.13", "v3.5.24"}, nil, "v1.34.4")
	for _, failing := range []string{"1.34/etcd/cp-2/raise-etcd", "1.34/etcd/cp-2/etcd", ""} {
		for _, seen := range []bool{true, false} {
			u, now := stopped(t, p, failing)
			u = withSnapshot(u, "1.34")
			if !seen {
				was := *u.Plan
				was.Facts = copyFacts(t, was.Facts)
				for i := range was.Facts.Nodes {
					if pod := was.Facts.Nodes[i].Static("etcd"); pod != nil {
						pod.Image = ""
					}
				}
				u.Plan = &was
			}
			e := Evidence{Facts: &now, Saved: read(4100)}
			back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeData), c, policy)
			if err != nil {
				t.Fatal(err)
			}
			looked := 0
			back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
				image := s.Args["image"]
				if s.Kind == plan.KindImages && strings.HasPrefix(s.Node, "cp-") {
					for _, one := range strings.Split(s.Args["images"], "\n") {
						if strings.Contains(one, "/etcd:") {
							image = one
						}
					}
				}
				if image == "" {
					return true
				}
				looked++
				if v := s.Args["version"]; !strings.HasSuffix(image, "/etcd:3.5.24-0") || (s.Kind != plan.KindImages && v != "3.5.24") {
					t.Errorf("%q failed, seen: %t: %s has %s for version %s", failing, seen, s.ID, image, v)
				}
				return true
			})
			if looked != 9 {
				t.Errorf("%q failed: %d steps have an image of etcd", failing, looked)
			}
		}
	}
}

func argumentsOf(p plan.Plan, kinds ...plan.Kind) string {
	var b strings.Builder
	b.WriteString("\narguments\n")
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if !slices.Contains(kinds, s.Kind) || (s.Node != "" && s.Node != "cp-1" && s.Node != "w-1") {
			return true
		}
		keys := make([]string, 0, len(s.Args))
		for k := range s.Args {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(&b, "  %s %s=%s\n", s.ID, k, strings.ReplaceAll(s.Args[k], "\n", " "))
		}
		return true
	})
	return b.String()
}

// A rollback of an encrypted snapshot may be given up when the members' nodes have it
// plain: the plan says where, and how it is removed, and its own last stage does the same.
func TestRollbackOfTheDataTellsOfPlainCopies(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	for _, plain := range []string{"", "sha256:" + strings.Repeat("ab", 32)} {
		u, now := stopped(t, p, "1.34/etcd/cp-3/etcd")
		u = withSnapshot(u, "1.34")
		e := Evidence{Facts: &now, Saved: read(4100)}
		e.Saved.Plain = plain
		back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeData), c, policy)
		if err != nil {
			t.Fatal(err)
		}
		want, removed := "rm -f /var/lib/kup/"+u.Run+"/etcd-1.34.db on cp-1, cp-2, cp-3", 0
		told := slices.ContainsFunc(back.Notices, func(n plan.Notice) bool { return strings.Contains(n.Text, want) })
		back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
			if s.Kind == plan.KindCommand && strings.HasSuffix(s.ID, "/plain") {
				removed++
			}
			return true
		})
		if told != (plain != "") || (removed == 3) != (plain != "") {
			t.Errorf("plain %q: told %t, removed on %d: %+v", plain, told, removed, back.Notices)
		}
	}
}

// A hop that was stopped before any kubelet moved is taken back without touching a
// package or a file that did not move.
func TestRollbackOfTheDataLeavesAloneWhatDidNotMove(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	u, now := stopped(t, p, "1.34/control-plane/cp-2/node")
	u = withSnapshot(u, "1.34")
	e := Evidence{Facts: &now, Saved: read(4100)}
	back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeData), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		worker := strings.HasPrefix(s.Node, "w-")
		switch {
		case s.Kind == plan.KindDrain, s.Kind == plan.KindCordon:
			t.Errorf("%s drains or cordons", s.ID)
		case s.Kind == plan.KindPackages && (worker || s.Node == "cp-3"):
			t.Errorf("%s moves packages of a node that the hop did not reach", s.ID)
		case s.Kind == plan.KindPackages && strings.Contains(s.Args["packages"], "kubelet"):
			t.Errorf("%s moves a kubelet that did not move", s.ID)
		case s.Kind == plan.KindFiles && worker:
			t.Errorf("%s touches files of a worker", s.ID)
		}
		return true
	})
}

// Data are restored where the member's manifest has them.
func TestRollbackOfTheDataFindsThem(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	p.Facts = copyFacts(t, p.Facts)
	for i := range p.Facts.Etcd.Members {
		p.Facts.Etcd.Members[i].DataDirectory = "/data/etcd"
	}
	u, _ := stopped(t, p, "")
	u = withSnapshot(u, "1.34")
	e := Evidence{Saved: read(4100)}
	back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeData), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(back.Notices, func(n plan.Notice) bool {
		return strings.Contains(n.Text, " /data/etcd-kup-"+u.Run+";") && strings.HasSuffix(n.Text, "a disk of its own, in it: /data/etcd/etcd-kup-"+u.Run)
	}) {
		t.Errorf("notices %+v", back.Notices)
	}
	seen := 0
	back.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		switch s.Kind {
		case plan.KindRestoreMember:
			seen++
			if s.Args["dataDir"] != "/data/etcd" || s.Args["aside"] != "/data/etcd-kup-"+u.Run {
				t.Errorf("%s: %s, aside %s", s.ID, s.Args["dataDir"], s.Args["aside"])
			}
		case plan.KindDeliver:
			seen++
			if s.Args["room"] != "/data/etcd" {
				t.Errorf("%s looks for room in %s", s.ID, s.Args["room"])
			}
		default: // the others have nothing to do with the data
		}
		return true
	})
	if seen != 6 {
		t.Errorf("%d steps have to do with the data", seen)
	}
}

// The snapshot brings a node back that was deleted since: whoever has no host of it in
// kup.yaml has to agree that it is off.
func TestRollbackOfTheDataTellsOfADeletedNode(t *testing.T) {
	c := load(t)
	p, policy := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
	u, now := stopped(t, p, "")
	u = withSnapshot(u, "1.34")
	now.Nodes = slices.DeleteFunc(now.Nodes, func(n cluster.Node) bool { return n.Name == "w-2" })
	e := Evidence{Facts: &now, Saved: read(4100)}
	back, err := Rollback(u, e, wayOf(Ways(u, e, c), plan.ScopeData), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(back.Notices, func(n plan.Notice) bool { return n.Consent && strings.HasPrefix(n.Text, "node w-2 was deleted since") }) {
		t.Errorf("notices %+v", back.Notices)
	}
}

func TestWaysOfTheData(t *testing.T) {
	c := load(t)
	for name, tc := range map[string]struct {
		change func(u *Undone, e *Evidence)
		want   string
	}{
		"it works":           {func(*Undone, *Evidence) {}, ""},
		"it works blind":     {func(_ *Undone, e *Evidence) { e.Facts = nil }, ""},
		"no snapshot":        {func(u *Undone, _ *Evidence) { u.State.Artefacts = u.State.Artefacts[:len(u.State.Artefacts)-1] }, "hop 1.34 has no snapshot"},
		"not read":           {func(_ *Undone, e *Evidence) { e.Saved = nil }, "was not read"},
		"another store":      {func(_ *Undone, e *Evidence) { e.Saved.Live = 1 }, "below the snapshot's 4000"},
		"external":           {func(_ *Undone, e *Evidence) { e.Facts.Etcd.Topology = "external" }, "static pods"},
		"no backup":          {func(u *Undone, _ *Evidence) { u.State.Artefacts = u.State.Artefacts[len(u.State.Artefacts)-1:] }, "no backup of node cp-1"},
		"a node that joined": {func(u *Undone, _ *Evidence) { u.Plan.Facts.Nodes = u.Plan.Facts.Nodes[:4] }, "node w-2 joined since"},
		"a node that joined unseen": {func(_ *Undone, e *Evidence) {
			e.Facts = nil
			e.Losses = map[plan.Scope][]plan.Loss{plan.ScopeData: {{Kind: plan.LossCreated, Resource: "Node", Name: "w-9"}}}
		}, "node w-9 joined since"},
		"a known node made anew": {func(_ *Undone, e *Evidence) {
			e.Facts = nil
			e.Losses = map[plan.Scope][]plan.Loss{plan.ScopeData: {{Kind: plan.LossCreated, Resource: "Node", Name: "w-1"}}}
		}, ""},
		"a node that was deleted and is there": {func(_ *Undone, e *Evidence) { e.Facts.Node("w-2").InAPI = false }, "node w-2 was deleted from the API since, and its host is in kup.yaml"},
		"a node that was deleted and taken out": {func(_ *Undone, e *Evidence) {
			e.Facts.Nodes = slices.DeleteFunc(e.Facts.Nodes, func(n cluster.Node) bool { return n.Name == "w-2" })
		}, ""},
		"a member that was taken out": {func(_ *Undone, e *Evidence) {
			e.Facts.Etcd.Members = e.Facts.Etcd.Members[1:]
			e.Facts.Node("cp-1").StaticPods = nil
		}, "node cp-1 ran an etcd member before hop 1.34 and runs none now"},
		"a member of nowhere": {func(_ *Undone, e *Evidence) { e.Facts.Etcd.Members[1].Node = "" }, "on which node etcd member cp-2 runs"},
		"a log apart": {func(u *Undone, _ *Evidence) {
			u.Plan.Facts.Etcd.Members[1].DataDirectory, u.Plan.Facts.Etcd.Members[1].WALDirectory = "/var/lib/etcd", "/wal"
		}, "keeps its write-ahead log apart, in /wal"},
		"another CA": {func(u *Undone, e *Evidence) { u.Plan.Facts.Identity.CA, e.Facts.Identity.CA = "a", "b" }, "CA was replaced"},
		"an etcd without bumps": {func(u *Undone, e *Evidence) {
			old := cluster.MustParseVersion("v3.5.9")
			for i := range u.Plan.Facts.Etcd.Members {
				u.Plan.Facts.Etcd.Members[i].Version = old
			}
		}, "cannot raise the revision"},
		"observed": {func(_ *Undone, e *Evidence) { e.Refused = map[plan.Scope]string{plan.ScopeData: "because"} }, "because"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := upgradePlan(t, c, topology{3, 2, "v1.33.13", "v3.5.26"}, nil, "v1.34.4")
			u, now := stopped(t, p, "")
			u = withSnapshot(u, "1.34")
			facts := copyFacts(t, p.Facts)
			u.Plan.Facts = facts
			e := Evidence{Facts: &now, Saved: read(4100)}
			tc.change(&u, &e)
			w := wayOf(Ways(u, e, c), plan.ScopeData)
			if (tc.want == "") != w.Open() || !strings.Contains(w.Why, tc.want) {
				t.Errorf("why %q, want %q", w.Why, tc.want)
			}
		})
	}
}
