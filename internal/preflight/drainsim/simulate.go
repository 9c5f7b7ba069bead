package drainsim

import (
	"cmp"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// Options say how the drains go.
type Options struct {
	// Drain gives what the inventory allows for a node; nil: kup's defaults.
	Drain func(node string) Drain
	// UnreadyGo is true when the API server lets pods go that are not ready as
	// long as their budget is met by others, which it does since 1.20.
	UnreadyGo bool
}

// Drain is what may be lost by draining a node.
type Drain struct {
	Force              bool // pods that no controller brings back
	DeleteEmptyDirData bool
}

// Default is what kup allows unless the inventory says otherwise.
func Default() Drain { return Drain{DeleteEmptyDirData: true} }

// Result is what the drains come to. Pods and budgets are indexes into the
// placement.
type Result struct {
	// Refused are nodes whose drain does not even start.
	Refused []Refused
	// Stuck are pods that a drain asks for until it times out.
	Stuck []Stuck
	// Waiting are pods that had no node to go to for a while, or for good.
	Waiting []Waiting
	// Together are workloads whose ready pods, two or more, all go at once.
	Together []Together
	// Returning are pods that tolerate a cordon: the scheduler may put them back
	// on the node that is being drained, over and over.
	Returning []int32
	// Lost are pods that nobody brings back, evicted because the drain is forced.
	Lost []int32
	// Evicted is how many pods were evicted in all.
	Evicted int
	// Limits are what the model cannot know about this cluster, one sentence each.
	Limits []string
}

// Refused is a node whose drain does not start.
type Refused struct {
	Node string
	Bare []int32 // pods without a controller, which only a forced drain takes
	Data []int32 // pods whose emptyDir data may not be lost
}

// Cause is what keeps a pod on its node.
type Cause uint8

// The causes.
const (
	// Never: the budget asks for as many ready pods as there are.
	Never Cause = iota
	// Failing: the disruption controller cannot compute the budget.
	Failing
	// Unready: too few of the budget's pods are ready as it is.
	Unready
	// NoPlace: the budget waits for pods that were evicted and found no node.
	NoPlace
	// SeveralBudgets: the eviction API refuses pods of more than one budget.
	SeveralBudgets
)

// Stuck is a pod that cannot leave its node.
type Stuck struct {
	Node    string
	Pod     int32
	Cause   Cause
	Budgets []int32
	// Healthy is how many of the budget's pods were ready when the drain stood still.
	Healthy int32
	// Because is why a pod that was evicted before found no place, for NoPlace.
	Because Lack
}

// Waiting is a pod without a node.
type Waiting struct {
	Pod  int32
	From string // the node it had to leave
	// Back is true when it found a node again as soon as drained ones came back.
	Back bool
	// Lack is why: how many nodes refuse it for which reason.
	Lack Lack
}

// Together is a workload that loses all its ready pods at once.
type Together struct {
	Controller int32
	Nodes      []string
	Pods       int
}

// Simulate drains the waves in order, the nodes of one wave together. Nodes that
// the placement does not know are left out. Equal input gives equal results.
func Simulate(p *cluster.Placement, waves [][]string, o Options) Result {
	return newSim(p, o).run(waves)
}

func (s *sim) run(waves [][]string) Result {
	for _, names := range waves {
		s.wave(names)
	}
	s.finish()
	return s.out
}

type sim struct {
	p   *cluster.Placement
	o   Options
	out Result

	byName    map[string]int
	nodes     []node
	order     []int32 // nodes by load, the least loaded first
	at        []int32 // node by pod; -1: none
	budgets   []budget
	ready     []int32   // ready pods by controller
	touched   []int     // wave in which a controller first lost a pod; 0: none
	pending   []int32   // pods that wait for a node, the most important first
	from      []int32   // by pod: the node it left last
	waitingAt []int     // by pod: index into out.Waiting and 1; 0: none
	podsOf    [][]int32 // by controller
	returning []bool    // by controller: already told
	round     int       // wave, from 1
	changes   int       // of what runs where, and of nodes that come back
	refusedAt int       // changes when all pending pods were refused last
	lacks     map[demand]judged
	// judgements counts how often all nodes were judged for one pod.
	judgements int
	// look is where tests look at every change: an eviction, a pod that got a node,
	// or a node that was emptied.
	look func(emptied int)

	shape     []shape
	shapeOf   []int32
	terms     []term
	termIDs   map[string]int32
	termsIn   index
	domains   []topology
	domainIDs map[string]int32
	wheres    []where
	volumes   [][]Reason // by volume and node
}

type node struct {
	away bool // being drained
	free cluster.Resources
	pods []int32
	load int64 // share of cpu and memory that is taken, in millionths
}

// budget is the live state of a disruption budget.
type budget struct {
	healthy int32
	desired int32
	// refuses is true when nothing is ever allowed.
	refuses bool
}

func newSim(p *cluster.Placement, o Options) *sim {
	if o.Drain == nil {
		o.Drain = func(string) Drain { return Default() }
	}
	s := &sim{
		p: p, o: o, byName: map[string]int{}, nodes: make([]node, len(p.Nodes)), at: make([]int32, len(p.Pods)),
		budgets: make([]budget, len(p.Budgets)), ready: make([]int32, len(p.Controllers)), touched: make([]int, len(p.Controllers)),
		from: make([]int32, len(p.Pods)), waitingAt: make([]int, len(p.Pods)), podsOf: make([][]int32, len(p.Controllers)), returning: make([]bool, len(p.Controllers)),
		termIDs: map[string]int32{}, look: func(int) {}, lacks: map[demand]judged{}, refusedAt: -1, termsIn: index{}, domainIDs: map[string]int32{}, volumes: make([][]Reason, len(p.Volumes)),
	}
	for i := range p.Nodes {
		s.byName[p.Nodes[i].Name] = i
		s.nodes[i].free = p.Nodes[i].Allocatable
		s.nodes[i].free.Extended = slices.Clone(p.Nodes[i].Allocatable.Extended)
		s.order = append(s.order, int32(i))
	}
	s.shapes()
	for i := range p.Budgets {
		b := &p.Budgets[i]
		s.budgets[i] = budget{desired: b.Desired, refuses: b.Failing != "" || b.Expected <= 0}
	}
	for i := range p.Pods {
		s.at[i] = -1
		if c := p.Pods[i].Controller; c >= 0 {
			s.podsOf[c] = append(s.podsOf[c], int32(i))
		}
		if p.Pods[i].Node >= 0 {
			s.put(int32(i), int(p.Pods[i].Node))
			s.count(int32(i), 1)
		}
	}
	slices.SortFunc(s.order, s.byLoad)
	return s
}

func (s *sim) spec(pod int32) *cluster.PodSpec { return &s.p.Specs[s.p.Pods[pod].Spec] }

// put lets the pod run on the node. Finished pods take no room there and are met
// by nobody.
func (s *sim) put(pod int32, n int) {
	s.at[pod] = int32(n)
	s.occupy(pod, n, 1)
	s.nodes[n].pods = append(s.nodes[n].pods, pod)
}

func (s *sim) take(pod int32) {
	n := int(s.at[pod])
	s.at[pod] = -1
	s.occupy(pod, n, -1)
	pods := s.nodes[n].pods
	i := slices.Index(pods, pod)
	s.nodes[n].pods = slices.Delete(pods, i, i+1)
}

func (s *sim) occupy(pod int32, n int, by int32) {
	s.changes++
	if s.p.Pods[pod].Phase == cluster.PodFinished {
		return
	}
	sh := &s.shape[s.shapeOf[pod]]
	for _, id := range sh.matches {
		t := &s.terms[id]
		if d := s.domains[t.key].of[n]; d >= 0 {
			t.match[d] += by
			t.total += by
		}
	}
	for _, id := range sh.anti {
		t := &s.terms[id]
		if d := s.domains[t.key].of[n]; d >= 0 {
			t.owners[d] += by
		}
	}
	s.nodes[n].charge(&sh.spec.Requests, int64(by))
	s.nodes[n].load = load(&s.p.Nodes[n].Allocatable, &s.nodes[n].free)
}

func (n *node) charge(r *cluster.Resources, by int64) {
	n.free.MilliCPU -= by * r.MilliCPU
	n.free.Memory -= by * r.Memory
	n.free.Ephemeral -= by * r.Ephemeral
	n.free.Pods -= by
	for i, amount := range r.Extended {
		if i < len(n.free.Extended) {
			n.free.Extended[i] -= by * amount
		}
	}
}

// load is how full a node is, as the scheduler's default score sees it.
// Source: kubernetes pkg/scheduler/framework/plugins/noderesources/least_allocated.go
func load(has, free *cluster.Resources) int64 {
	share := func(has, free int64) int64 {
		if has <= 0 {
			return 0
		}
		return int64(float64(has-free) / float64(has) * 1e6)
	}
	return (share(has.MilliCPU, free.MilliCPU) + share(has.Memory, free.Memory)) / 2
}

func (s *sim) byLoad(a, b int32) int {
	return cmp.Or(cmp.Compare(s.nodes[a].load, s.nodes[b].load), cmp.Compare(a, b))
}

// sorted moves the node to where its new load puts it among the others.
func (s *sim) sorted(n int32, change func()) {
	i, _ := slices.BinarySearchFunc(s.order, n, s.byLoad)
	s.order = slices.Delete(s.order, i, i+1)
	change()
	i, _ = slices.BinarySearchFunc(s.order, n, s.byLoad)
	s.order = slices.Insert(s.order, i, n)
}

// count takes a pod that is ready into account, or out of it.
func (s *sim) count(pod int32, by int32) {
	if !s.p.Pods[pod].Ready {
		return
	}
	if c := s.p.Pods[pod].Controller; c >= 0 {
		s.ready[c] += by
	}
	for _, b := range s.shape[s.shapeOf[pod]].budgets {
		s.budgets[b].healthy += by
	}
}
