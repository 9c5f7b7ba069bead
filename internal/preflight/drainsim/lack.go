package drainsim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// Lack is why no node takes a pod.
type Lack struct {
	nodes [reasons]int32 // how many nodes refuse it for the reason
	// On is the node that lacks the least room and is right in all else, and More
	// what it lacks; empty: room alone would not help.
	On   string
	More cluster.Resources
	// Other is the extended resource that On lacks.
	Other string
}

// Room tells whether more room would give the pod a node.
func (l *Lack) Room() bool { return l.On != "" }

// String gives "of 5 nodes 1 is drained at the time, 4 are short of cpu".
func (l *Lack) String() string {
	total := int32(0)
	var parts []string
	for r, count := range l.nodes {
		if count == 0 {
			continue
		}
		total += count
		text, several := Reason(r).words()
		if count > 1 {
			text = several
		}
		parts = append(parts, fmt.Sprintf("%d %s", count, text))
	}
	return fmt.Sprintf("of %d nodes %s", total, strings.Join(parts, ", "))
}

// Change is the least that would give the pod a node: "500m more cpu on w-2";
// empty where room alone does not help.
func (l *Lack) Change() string {
	if l.On == "" {
		return ""
	}
	var parts []string
	if l.More.MilliCPU > 0 {
		parts = append(parts, fmt.Sprintf("%dm more cpu", l.More.MilliCPU))
	}
	if l.More.Memory > 0 {
		parts = append(parts, mebibytes(l.More.Memory)+" more memory")
	}
	if l.More.Ephemeral > 0 {
		parts = append(parts, mebibytes(l.More.Ephemeral)+" more ephemeral storage")
	}
	if l.More.Pods > 0 {
		parts = append(parts, "room for one more pod")
	}
	if l.Other != "" {
		parts = append(parts, "more "+l.Other)
	}
	return strings.Join(parts, " and ") + " on " + l.On
}

func mebibytes(n int64) string {
	const mebi = 1 << 20
	return fmt.Sprintf("%dMi", (n+mebi-1)/mebi)
}

// lack judges every node for the pod.
func (s *sim) lack(pod int32) Lack {
	var l Lack
	least := 0.0
	for n := range s.nodes {
		r := s.fit(pod, n)
		l.nodes[r]++
		if !r.Room() {
			continue
		}
		more, other, cost := s.short(pod, n)
		if l.On == "" || cost < least {
			least, l.On, l.More, l.Other = cost, s.p.Nodes[n].Name, more, other
		}
	}
	return l
}

// short is what the node lacks for the pod, and how much that is as shares of
// what the node has.
func (s *sim) short(pod int32, n int) (more cluster.Resources, other string, cost float64) {
	want, free, has := &s.spec(pod).Requests, &s.nodes[n].free, &s.p.Nodes[n].Allocatable
	over := func(want, free, has int64) int64 {
		if want == 0 || want <= free {
			return 0
		}
		cost += float64(want-free) / float64(max(has, 1))
		return want - free
	}
	more.MilliCPU = over(want.MilliCPU, free.MilliCPU, has.MilliCPU)
	more.Memory = over(want.Memory, free.Memory, has.Memory)
	more.Ephemeral = over(want.Ephemeral, free.Ephemeral, has.Ephemeral)
	more.Pods = over(1, free.Pods, has.Pods)
	for i, amount := range want.Extended {
		if amount > 0 && (i >= len(free.Extended) || amount > free.Extended[i]) {
			other = s.p.Extended[i]
			cost++
		}
	}
	return more, other, cost
}

// left begins the pod's time without a node.
func (s *sim) left(pod, from int32) {
	s.from[pod] = from
	s.waitingAt[pod] = 0
}

// exactly is how often all nodes are judged to tell why a pod found none; beyond
// that, what was found for a pod like it in another wave is told again.
const exactly = 2000

// judged is a reason with the wave it was found in.
type judged struct {
	Lack
	round int
}

// lacking notes that the pod found no node.
func (s *sim) lacking(pod int32, d demand) {
	if s.waitingAt[pod] > 0 {
		return
	}
	why, known := s.lacks[d]
	if !known || why.round != s.round && s.judgements < exactly {
		s.judgements++
		why = judged{s.lack(pod), s.round}
		s.lacks[d] = why
	}
	s.out.Waiting = append(s.out.Waiting, Waiting{Pod: pod, From: s.p.Nodes[s.from[pod]].Name, Lack: why.Lack})
	s.waitingAt[pod] = len(s.out.Waiting)
}

// found ends it. A pod that got a node while its own was still away did not wait
// longer than the others of its workload.
func (s *sim) found(pod int32) {
	i := s.waitingAt[pod]
	if i == 0 {
		return
	}
	w := &s.out.Waiting[i-1]
	w.Back = true
	if s.nodes[s.from[pod]].away {
		w.Pod = -1
	}
}

// stuck notes why each of the pods is still there.
func (s *sim) stuck(l *drained) {
	for _, pod := range l.left {
		st := Stuck{Node: s.p.Nodes[l.n].Name, Pod: pod, Budgets: s.shape[s.shapeOf[pod]].budgets}
		if len(st.Budgets) > 1 {
			st.Cause = SeveralBudgets
			s.out.Stuck = append(s.out.Stuck, st)
			continue
		}
		i := st.Budgets[0]
		st.Healthy = s.budgets[i].healthy
		st.Cause = s.cause(i)
		if without := s.without(i); st.Cause == Unready && without >= 0 {
			st.Cause, st.Because = NoPlace, s.lack(without)
		}
		s.out.Stuck = append(s.out.Stuck, st)
	}
}

func (s *sim) cause(i int32) Cause {
	b := &s.p.Budgets[i]
	switch {
	case b.Failing != "" || b.Expected <= 0:
		return Failing
	case b.Desired >= b.Expected:
		return Never
	}
	return Unready
}

// without is a pod of the budget that was ready, was evicted and has no node; -1:
// none.
func (s *sim) without(i int32) int32 {
	for _, pod := range s.pending {
		if s.p.Pods[pod].Ready && slices.Contains(s.shape[s.shapeOf[pod]].budgets, i) {
			return pod
		}
	}
	return -1
}

// finish drops what turned out to be nothing, judges anew what has no node in the
// end, and says what the model left out.
func (s *sim) finish() {
	for _, pod := range s.pending {
		if i := s.waitingAt[pod]; i > 0 {
			s.out.Waiting[i-1].Lack = s.lack(pod)
		}
	}
	s.out.Waiting = slices.DeleteFunc(s.out.Waiting, func(w Waiting) bool { return w.Pod < 0 })
	others, claims, kinds := map[string]int{}, 0, map[string]int{}
	for i := range s.p.Pods {
		p := &s.p.Pods[i]
		if p.Phase == cluster.PodFinished || s.stays(int32(i)) {
			continue
		}
		spec := s.spec(int32(i))
		if spec.Scheduler != "" {
			others[spec.Scheduler]++
		}
		if spec.Claims {
			claims++
		}
		if kind := s.kind(int32(i)); kind != "" && !slices.Contains(builtIn, kind) {
			kinds[kind]++
		}
	}
	s.limit(others, "%d pods are scheduled by %s, whose rules are not known: they were placed by the default scheduler's")
	s.limit(kinds, "%d pods belong to controllers of kind %s: they were taken to make a pod again as soon as one is evicted")
	if claims > 0 {
		s.out.Limits = append(s.out.Limits, fmt.Sprintf("%d pods ask for devices by resource claims, which were not looked at", claims))
	}
}

// builtIn are the kinds whose controllers bring an evicted pod back at once.
var builtIn = []string{"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "Job", "DaemonSet"}

func (s *sim) limit(counts map[string]int, format string) {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s.out.Limits = append(s.out.Limits, fmt.Sprintf(format, counts[name], name))
	}
}
