package planner

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// workerMoves says what happens to w-1 in each hop: "1.34 node; 1.35 node, drain, kubelet".
func workerMoves(p *plan.Plan) string {
	var hops []string
	for i := range p.Hops {
		var names []string
		for _, st := range p.Hops[i].Stages {
			for _, w := range st.Waves {
				for _, lane := range w.Lanes {
					for _, s := range lane {
						name := s.ID[strings.LastIndexByte(s.ID, '/')+1:]
						if st.Name == plan.Workers && s.Node == "w-1" && (name == "drain" || name == "node" || name == "kubelet") {
							names = append(names, name)
						}
					}
				}
			}
		}
		hops = append(hops, p.Hops[i].To.Line().String()+" "+strings.Join(names, " "))
	}
	return strings.Join(hops, "; ")
}

func TestFewestDrainsOfWorkers(t *testing.T) {
	c := load(t)
	const moved = " drain node kubelet"
	for _, tc := range []struct {
		from, to string // minors
		worker   string // version of the workers, when another one
		want     string
	}{
		{"1.33", "1.34", "", "1.34" + moved},
		{"1.33", "1.35", "", "1.34 node; 1.35" + moved},
		{"1.33", "1.36", "", "1.34 node; 1.35 node; 1.36" + moved},
		// 1.33 is too old for 1.37.
		{"1.33", "1.37", "", "1.34 node; 1.35 node; 1.36" + moved + "; 1.37" + moved},
		{"1.30", "1.36", "", "1.31 node; 1.32 node; 1.33" + moved + "; 1.34 node; 1.35 node; 1.36" + moved},
		// kubeadm up to 1.28 refuses kubelets more than one minor behind.
		{"1.25", "1.28", "", "1.26" + moved + "; 1.27" + moved + "; 1.28" + moved},
		{"1.27", "1.31", "", "1.28 node; 1.29 node; 1.30" + moved + "; 1.31" + moved},
		// Workers that are behind already have less room.
		{"1.33", "1.36", "v1.32.13", "1.34 node; 1.35" + moved + "; 1.36" + moved},
	} {
		t.Run(tc.from+" to "+tc.to+" "+tc.worker, func(t *testing.T) {
			p, many := fewest(t, c, tc.from, tc.to, tc.worker)
			if got := workerMoves(&p); got != tc.want {
				t.Errorf("w-1: %s\nwant %s", got, tc.want)
			}
			checkSkew(t, &p, c)
			few := workerDrains(&p)
			said := false
			for _, n := range p.Notices {
				said = said || strings.Contains(n.Text, "drained "+times(few)+" instead of "+times(many))
			}
			if said != (few < many) {
				t.Errorf("%d drains instead of %d, and the notices are %v", few, many, p.Notices)
			}
		})
	}
}

// fewest plans with the fewest drains, and says how many there are otherwise.
func fewest(t *testing.T, c *catalog.Catalog, from, to, worker string) (p plan.Plan, many int) {
	t.Helper()
	at, err := cluster.ParseMinor(from)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := c.Minor(at)
	facts := topology{3, 2, m.Seen().String(), ""}.facts(c)
	var targets []cluster.Version
	for at.String() != to {
		at = at.Next()
		m, known := c.Minor(at)
		if !known {
			t.Fatalf("%s is not known", at)
		}
		targets = append(targets, m.Seen())
	}
	for i := range facts.Nodes {
		if n := &facts.Nodes[i]; worker != "" && n.Role == cluster.Worker {
			n.Kubelet = cluster.MustParseVersion(worker)
			n.Host.Kubelet, n.Host.Kubeadm = n.Kubelet, n.Kubelet
		}
	}
	policy := testPolicy(targets...)
	eachHop, err := Build(facts, targets, c, policy)
	if err != nil {
		t.Fatal(err)
	}
	policy.Workers = Fewest
	if p, err = Build(facts, targets, c, policy); err != nil {
		t.Fatal(err)
	}
	return p, workerDrains(&eachHop)
}

// What waits is not made ready for more than it gets, and needs no budget.
func TestWaitingWorkersStayInService(t *testing.T) {
	p, _ := fewest(t, load(t), "1.33", "1.35", "")
	p.Steps(func(h *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if s.Node != "w-1" || h.To.Line().String() != "1.34" {
			return true
		}
		switch s.Kind {
		case plan.KindCordon, plan.KindDrain, plan.KindUncordon:
			t.Errorf("%s: a worker that waits is taken out of service", s.ID)
		case plan.KindFetch, plan.KindPackages:
			if strings.Contains(s.Args["packages"], "kubelet") || s.Args["restart"] != "" {
				t.Errorf("%s brings %q", s.ID, s.Args["packages"])
			}
		case plan.KindCommand:
			if !strings.Contains(s.Title, "the kubelet stays at v1.33.13") {
				t.Errorf("%s does not say that the kubelet stays: %s", s.ID, s.Title)
			}
		default:
		}
		for _, id := range append(s.Before, s.After...) {
			if name, node, version := id.Split(); name == "node-ready" && (node != "w-1" || version != "") {
				t.Errorf("%s waits for %s", s.ID, id)
			}
		}
		return true
	})
	for _, st := range p.Hops[0].Stages {
		if st.Name == plan.Workers && (len(st.Waves) != 1 || st.Waves[0].Parallel != 2) {
			t.Errorf("workers that wait go %d at once in %d waves", st.Waves[0].Parallel, len(st.Waves))
		}
	}
}

// checkSkew plays the kubelets of a plan and holds them to the rules of skew, of
// Kubernetes and of kubeadm: how far behind a kubelet may be, by how many minors a
// node's kubeadm moves, and what only one minor's kubeadm changes on a node.
func checkSkew(t *testing.T, p *plan.Plan, c *catalog.Catalog) {
	t.Helper()
	kubelet, managed := map[string]cluster.Version{}, map[string]cluster.Minor{}
	for i := range p.Facts.Nodes {
		if n := newNodeState(&p.Facts, &p.Facts.Nodes[i]); n.Role == cluster.Worker && n.InAPI {
			kubelet[n.Name], managed[n.Name] = n.kubelet, n.managed
			if at := current(&p.Facts).Line(); managed[n.Name].Less(at) {
				managed[n.Name] = at // what was left out before the plan is not its doing
			}
		}
	}
	for i := range p.Hops {
		h := &p.Hops[i]
		m, _ := c.Minor(h.To.Line())
		for node, v := range kubelet {
			if v.IsZero() || h.To.Minor <= v.Minor+min(m.KubeletBehind(), c.KubeletBehind(v.Line())) {
				continue
			}
			t.Errorf("hop to %s: the kubelet of %s is %s", h.To, node, v)
		}
		for _, st := range h.Stages {
			for _, w := range st.Waves {
				for _, lane := range w.Lanes {
					for _, s := range lane {
						playWorker(t, c, h, st.Name, &s, kubelet, managed)
					}
				}
			}
		}
	}
	if len(p.Hops) == 0 {
		return
	}
	for node, v := range kubelet {
		if last := p.Hops[len(p.Hops)-1].To; v.Less(last) {
			t.Errorf("%s ends with kubelet %s, not %s", node, v, last)
		}
	}
}

func playWorker(t *testing.T, c *catalog.Catalog, h *plan.Hop, stage plan.StageName, s *plan.Step, kubelet map[string]cluster.Version, managed map[string]cluster.Minor) {
	t.Helper()
	if _, worker := kubelet[s.Node]; !worker || stage != plan.Workers {
		return
	}
	line := h.To.Line()
	switch {
	case s.Kind == plan.KindCommand:
		if line.Minor > managed[s.Node].Minor+c.NodeKubeadmApart() {
			t.Errorf("%s: the node was last managed by kubeadm %s", s.ID, managed[s.Node])
		}
		managed[s.Node] = line
	case s.Args["restart"] == "kubelet":
		if managed[s.Node] != line {
			t.Errorf("%s: kubelet %s starts with what kubeadm %s wrote", s.ID, h.To, managed[s.Node])
		}
		kubelet[s.Node] = h.To
	}
}
