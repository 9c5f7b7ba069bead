package drainsim

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// chance makes a cluster and its waves of a seed.
func chance(seed uint64) (*world, [][]string, Options) {
	r := rand.New(rand.NewPCG(seed, 7))
	w := new(world)
	for i := range 2 + r.IntN(7) {
		w.nodes(fmt.Sprintf("w-%d", i))
		n := &w.Nodes[i]
		n.Cordoned, n.Ready = r.IntN(12) == 0, r.IntN(12) != 0
		if r.IntN(6) == 0 {
			n.Taints = []cluster.Taint{{Key: "dedicated", Effect: "NoSchedule"}}
		}
	}
	for i := range 1 + r.IntN(8) {
		name := fmt.Sprintf("app-%d", i)
		kind := []string{"Deployment", "StatefulSet", "DaemonSet", "", "Job", "Deployment"}[r.IntN(6)]
		var on []string
		for range 1 + r.IntN(6) {
			on = append(on, w.Nodes[r.IntN(len(w.Nodes))].Name)
		}
		w.pods(kind, name, func(s *cluster.PodSpec) { demands(r, name, s) }, on...)
		if r.IntN(3) > 0 {
			w.keeps(name, int32(r.IntN(len(on)+1)))
		}
		if r.IntN(15) == 0 {
			w.keeps(name, 0)
		}
	}
	for i := range w.Pods {
		p := &w.Pods[i]
		p.Ready = r.IntN(10) != 0
		p.Phase = []cluster.PodPhase{cluster.PodPending, cluster.PodFinished, cluster.PodRunning}[min(r.IntN(20), 2)]
		p.Ready = p.Ready && p.Phase == cluster.PodRunning
		p.Mirror = r.IntN(40) == 0
	}
	names := []string{}
	for i := range w.Nodes {
		names = append(names, w.Nodes[i].Name)
	}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	waves := slices.Collect(slices.Chunk(names, 1+r.IntN(3)))
	force := r.IntN(3) > 0
	return w, waves, Options{Drain: func(string) Drain { return Drain{Force: force, DeleteEmptyDirData: true} }, UnreadyGo: r.IntN(4) > 0}
}

func demands(r *rand.Rand, name string, s *cluster.PodSpec) {
	s.Requests.MilliCPU = int64(r.IntN(15)) * 100
	key := []string{"host", "zone", "nowhere"}[r.IntN(3)]
	switch r.IntN(9) {
	case 0:
		apart(name, key)(s)
	case 1:
		s.Spread = []cluster.Spread{{TopologyKey: key, MaxSkew: 1 + int32(r.IntN(2)), Selector: is("app", name), HonorTaints: r.IntN(2) == 0}}
	case 2:
		s.Affinity = []cluster.AffinityTerm{{TopologyKey: key, Selector: is("app", name, "app-0"), Namespaces: []string{"shop"}}}
	case 3:
		s.AntiAffinity = []cluster.AffinityTerm{{TopologyKey: key, Selector: is("app", "app-0"), AllNamespaces: true}}
	case 4:
		s.NodeSelector = map[string]string{"zone": "a"}
	case 5:
		s.HostPorts = []cluster.HostPort{{Protocol: "TCP", IP: "0.0.0.0", Port: 80}}
	}
	if r.IntN(4) == 0 {
		s.Tolerations = []cluster.Toleration{{Operator: "Exists"}}
	}
	s.Priority = int32(r.IntN(3))
}

func FuzzSimulate(f *testing.F) {
	for seed := range uint64(120) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		w, waves, o := chance(seed)
		s := newSim(&w.Placement, o)
		c := newChecker(t, s)
		s.look = c.look
		first := s.run(waves)
		c.conserved()
		if again := Simulate(&w.Placement, waves, o); !reflect.DeepEqual(first, again) {
			t.Errorf("seed %d: two runs differ:\n%s\n%s", seed, w.tell(first), w.tell(again))
		}
	})
}

// checker holds what must be true at every moment.
type checker struct {
	t       *testing.T
	s       *sim
	free    []cluster.Resources
	healthy []int32
}

func newChecker(t *testing.T, s *sim) *checker {
	c := &checker{t: t, s: s}
	for i := range s.nodes {
		c.free = append(c.free, s.nodes[i].free)
	}
	for i := range s.budgets {
		c.healthy = append(c.healthy, s.budgets[i].healthy)
	}
	return c
}

func (c *checker) look(emptied int) {
	s := c.s
	for i := range s.p.Budgets {
		healthy := int32(0)
		for pod := range s.p.Pods {
			p := &s.p.Pods[pod]
			if s.at[pod] >= 0 && p.Ready && Chooses(&s.p.Budgets[i], p.Namespace, s.p.LabelSets[p.Labels]) {
				healthy++
			}
		}
		if healthy != s.budgets[i].healthy || healthy < min(s.p.Budgets[i].Desired, c.healthy[i]) {
			c.t.Fatalf("budget %s: %d ready (the model says %d), %d at first, wants %d", s.p.Budgets[i].Name, healthy, s.budgets[i].healthy, c.healthy[i], s.p.Budgets[i].Desired)
		}
	}
	for n := range s.nodes {
		c.room(n)
	}
	c.counts()
	if emptied >= 0 && len(s.evictable(emptied)) > 0 {
		c.t.Fatalf("%s is drained and still has pods to evict", s.p.Nodes[emptied].Name)
	}
}

// room compares what is free with what the pods on the node leave, and that no
// pod came to a node without room for it.
func (c *checker) room(n int) {
	s := c.s
	free := s.p.Nodes[n].Allocatable
	for pod := range s.p.Pods {
		if s.at[pod] == int32(n) && s.p.Pods[pod].Phase != cluster.PodFinished {
			free.MilliCPU -= s.spec(int32(pod)).Requests.MilliCPU
			free.Memory -= s.spec(int32(pod)).Requests.Memory
			free.Pods--
		}
	}
	have, first := s.nodes[n].free, c.free[n]
	if free.MilliCPU != have.MilliCPU || free.Memory != have.Memory || free.Pods != have.Pods {
		c.t.Fatalf("node %s: %+v is free, the model says %+v", s.p.Nodes[n].Name, free, have)
	}
	if free.MilliCPU < min(0, first.MilliCPU) || free.Memory < min(0, first.Memory) || free.Pods < min(0, first.Pods) {
		c.t.Fatalf("node %s is overdrawn: %+v, at first %+v", s.p.Nodes[n].Name, free, first)
	}
	if !slices.IsSortedFunc(s.order, s.byLoad) {
		c.t.Fatal("the nodes are not in the order of their load")
	}
}

// counts compares the running counts of terms with a count of all pods.
func (c *checker) counts() {
	s := c.s
	for id := range s.terms {
		match, owners := make([]int32, len(s.terms[id].match)), make([]int32, len(s.terms[id].owners))
		of := s.domains[s.terms[id].key].of
		for pod := range s.p.Pods {
			n := s.at[pod]
			if n < 0 || of[n] < 0 || s.p.Pods[pod].Phase == cluster.PodFinished {
				continue
			}
			sh := &s.shape[s.shapeOf[pod]]
			if slices.Contains(sh.matches, int32(id)) {
				match[of[n]]++
			}
			if slices.Contains(sh.anti, int32(id)) {
				owners[of[n]]++
			}
		}
		if !slices.Equal(match, s.terms[id].match) || !slices.Equal(owners, s.terms[id].owners) {
			c.t.Fatalf("term %d: pods %v, the model says %v; owners %v, the model says %v", id, match, s.terms[id].match, owners, s.terms[id].owners)
		}
	}
}

// conserved: every pod is on a node, waits for one, was lost, or had ended.
func (c *checker) conserved() {
	s := c.s
	for pod := range s.p.Pods {
		places := 0
		for n := range s.nodes {
			if slices.Contains(s.nodes[n].pods, int32(pod)) {
				places++
			}
		}
		if slices.Contains(s.pending, int32(pod)) {
			places++
		}
		if slices.Contains(s.out.Lost, int32(pod)) {
			places++
		}
		gone := s.p.Pods[pod].Phase == cluster.PodFinished
		if places > 1 || places == 0 && !gone {
			c.t.Errorf("pod %s is in %d places", s.p.Pods[pod].Name, places)
		}
	}
	for i := range s.out.Waiting {
		if x := &s.out.Waiting[i]; !x.Back && !slices.Contains(s.pending, x.Pod) {
			c.t.Errorf("pod %s has a node after all", s.p.Pods[x.Pod].Name)
		}
	}
}

// large is a cluster of so many nodes and pods, a quarter of them apart from one
// another, a quarter spread, half with budgets.
func large(nodes, pods int) (*world, [][]string) {
	w := new(world)
	for i := range nodes {
		w.nodes(fmt.Sprintf("w-%04d", i))
		w.Nodes[i].Allocatable = cluster.Resources{MilliCPU: 32000, Memory: 128 * gi, Ephemeral: 100 * gi, Pods: 110}
	}
	const each = 10
	for i := range pods / each {
		name := fmt.Sprintf("app-%d", i)
		on := make([]string, each)
		for j := range on {
			on[j] = w.Nodes[(i*each+j*37)%nodes].Name
		}
		w.pods("Deployment", name, func(s *cluster.PodSpec) {
			switch i % 4 {
			case 0:
				apart(name, "host")(s)
			case 1:
				s.Spread = []cluster.Spread{{TopologyKey: "zone", MaxSkew: 1, Selector: is("app", name)}}
			}
		}, on...)
		if i%2 == 0 {
			w.keeps(name, each-1)
		}
	}
	var names []string
	for i := range w.Nodes {
		names = append(names, w.Nodes[i].Name)
	}
	return w, slices.Collect(slices.Chunk(names, 10))
}

func BenchmarkSimulate(b *testing.B) {
	w, waves := large(1000, 50000)
	b.ReportAllocs()
	for b.Loop() {
		r := Simulate(&w.Placement, waves, Options{UnreadyGo: true})
		if len(r.Stuck)+len(r.Waiting) > 0 || r.Evicted < len(w.Pods) {
			b.Fatalf("%d evicted, %d stuck, %d waiting: %s", r.Evicted, len(r.Stuck), len(r.Waiting), strings.SplitN(w.tell(r), "\n", 2)[0])
		}
	}
}

// BenchmarkTight is the same cluster without room to spare: what leaves a node
// waits for it, and every node is asked in vain for every shape of pod.
func BenchmarkTight(b *testing.B) {
	w, waves := large(1000, 50000)
	for i := range w.Specs {
		w.Specs[i].Requests.MilliCPU = 640
	}
	for b.Loop() {
		if r := Simulate(&w.Placement, waves, Options{UnreadyGo: true}); len(r.Waiting) < 10000 {
			b.Fatalf("%d waiting", len(r.Waiting))
		}
	}
}
