package drainsim

import (
	"cmp"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// drained is a node of a wave with the pods that are still to go.
type drained struct {
	n    int
	left []int32
	done bool
}

// wave drains the nodes side by side. One that is empty comes back, which may
// help those that still wait; what is left when nothing moves any more is stuck.
func (s *sim) wave(names []string) {
	s.round++
	var lanes []drained
	for _, name := range names {
		if n, known := s.byName[name]; known {
			lanes = append(lanes, drained{n: n, left: s.evictable(n)})
		}
	}
	for i := range lanes {
		lanes[i].done = s.refused(&lanes[i])
		s.nodes[lanes[i].n].away = !lanes[i].done
	}
	for s.turn(lanes) {
		s.place()
	}
	for i := range lanes {
		if l := &lanes[i]; !l.done {
			s.stuck(l)
		}
	}
	for i := range lanes {
		s.back(lanes[i].n)
	}
	s.place()
}

// back lets a node take pods again.
func (s *sim) back(n int) {
	s.nodes[n].away = false
	s.changes++
}

// turn does what can be done now, and tells whether that was anything.
func (s *sim) turn(lanes []drained) bool {
	moved := s.evictAll(lanes)
	// Nodes come back only when no eviction is possible: theirs takes minutes, an
	// eviction seconds.
	if moved || s.place() {
		return true
	}
	for i := range lanes {
		if l := &lanes[i]; !l.done && len(l.left) == 0 {
			s.look(l.n)
			l.done, moved = true, true
			s.back(l.n)
		}
	}
	return moved
}

func (s *sim) evictAll(lanes []drained) bool {
	moved := false
	for i := range lanes {
		l := &lanes[i]
		if l.done {
			continue
		}
		l.left = slices.DeleteFunc(l.left, func(pod int32) bool {
			if !s.allowed(pod) {
				return false
			}
			s.evict(pod, lanes)
			s.look(-1)
			moved = true
			return true
		})
	}
	return moved
}

// evictable are the pods that a drain of the node evicts.
// Source: k8s.io/kubectl pkg/drain/filters.go
func (s *sim) evictable(n int) []int32 {
	var out []int32
	for _, pod := range s.nodes[n].pods {
		if !s.stays(pod) {
			out = append(out, pod)
		}
	}
	slices.Sort(out)
	return out
}

// stays tells whether a drain leaves the pod alone: static pods, and those of
// DaemonSets unless they have ended.
func (s *sim) stays(pod int32) bool {
	p := &s.p.Pods[pod]
	return p.Mirror || p.Phase != cluster.PodFinished && s.kind(pod) == "DaemonSet"
}

func (s *sim) kind(pod int32) string {
	if c := s.p.Pods[pod].Controller; c >= 0 {
		return s.p.Controllers[c].Kind
	}
	return ""
}

// refused tells whether the drain does not start because of what would be lost.
func (s *sim) refused(l *drained) bool {
	allow := s.o.Drain(s.p.Nodes[l.n].Name)
	r := Refused{Node: s.p.Nodes[l.n].Name}
	for _, pod := range l.left {
		p := &s.p.Pods[pod]
		if p.Phase == cluster.PodFinished {
			continue
		}
		if p.Controller < 0 && !allow.Force {
			r.Bare = append(r.Bare, pod)
		}
		if s.spec(pod).EmptyDir && !allow.DeleteEmptyDirData {
			r.Data = append(r.Data, pod)
		}
	}
	if len(r.Bare)+len(r.Data) == 0 {
		return false
	}
	s.out.Refused = append(s.out.Refused, r)
	return true
}

// allowed asks as the eviction API does.
// Source: kubernetes pkg/registry/core/pod/storage/eviction.go
func (s *sim) allowed(pod int32) bool {
	p := &s.p.Pods[pod]
	if p.Phase != cluster.PodRunning {
		return true
	}
	budgets := s.shape[s.shapeOf[pod]].budgets
	switch len(budgets) {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	b := &s.budgets[budgets[0]]
	if !p.Ready {
		if s.p.Budgets[budgets[0]].AlwaysAllow || s.o.UnreadyGo && b.healthy >= b.desired && b.desired > 0 {
			return true
		}
	}
	return !b.refuses && b.healthy > b.desired
}

func (s *sim) evict(pod int32, lanes []drained) {
	p := &s.p.Pods[pod]
	s.out.Evicted++
	n := s.at[pod]
	s.sorted(n, func() { s.take(pod) })
	s.count(pod, -1)
	if p.Phase == cluster.PodFinished {
		return
	}
	if p.Controller < 0 {
		s.out.Lost = append(s.out.Lost, pod)
		return
	}
	if s.shape[s.shapeOf[pod]].stays && !s.returning[p.Controller] {
		s.returning[p.Controller] = true
		s.out.Returning = append(s.out.Returning, pod)
	}
	s.together(pod, n, lanes)
	s.wait(pod, n)
}

// together notes a workload that has just lost its last ready pod, when it had
// several: only of pods that are where they were seen, because where the others
// go is the model's guess.
func (s *sim) together(pod, n int32, lanes []drained) {
	c := s.p.Pods[pod].Controller
	if !s.p.Pods[pod].Ready || s.kind(pod) == "Job" {
		return
	}
	if s.touched[c] == 0 {
		s.touched[c] = s.round
	}
	if s.ready[c] > 0 || s.touched[c] != s.round {
		return
	}
	t := Together{Controller: c}
	nodes := []int32{n}
	for _, i := range s.podsOf[c] {
		if o := &s.p.Pods[i]; o.Ready && o.Node >= 0 {
			t.Pods++
			nodes = append(nodes, o.Node)
		}
	}
	slices.Sort(nodes)
	for _, n := range slices.Compact(nodes) {
		t.Nodes = append(t.Nodes, s.p.Nodes[n].Name)
		if !slices.ContainsFunc(lanes, func(l drained) bool { return l.n == int(n) }) {
			return // some were elsewhere: they moved by themselves in the model
		}
	}
	if t.Pods > 1 {
		s.out.Together = append(s.out.Together, t)
	}
}

// wait puts the pod among those that need a node, the most important first.
func (s *sim) wait(pod, from int32) {
	s.left(pod, from)
	i, _ := slices.BinarySearchFunc(s.pending, pod, func(a, b int32) int {
		return cmp.Or(cmp.Compare(s.spec(b).Priority, s.spec(a).Priority), cmp.Compare(a, b))
	})
	s.pending = slices.Insert(s.pending, i, pod)
}

// demand is what two pods must have in common to be refused for the same reason.
type demand struct{ shape, volume int32 }

// place gives pods that wait a node, and tells whether any got one. Where nothing
// has changed since they were all refused, it does not ask again.
func (s *sim) place() bool {
	if len(s.pending) == 0 || s.changes == s.refusedAt {
		return false
	}
	placed := false
	hopeless := map[demand]bool{}
	s.pending = slices.DeleteFunc(s.pending, func(pod int32) bool {
		d := demand{s.shapeOf[pod], s.p.Pods[pod].Volume}
		n := -1
		if !hopeless[d] {
			n = s.choose(pod)
		}
		if n < 0 {
			hopeless[d] = true
			s.lacking(pod, d)
			return false
		}
		s.sorted(int32(n), func() { s.put(pod, n) })
		s.count(pod, 1)
		s.found(pod)
		s.look(-1)
		placed = true
		return true
	})
	if !placed {
		s.refusedAt = s.changes
	}
	return placed
}
