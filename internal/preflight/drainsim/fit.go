package drainsim

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// Reason is why a node does not take a pod.
type Reason uint8

// The reasons, in the order in which they are looked for: a node that lacks room
// is right in all else.
const (
	unknown Reason = iota
	fits
	ByCordon
	ByDrain
	ByNotReady
	BySelector
	ByTaint
	ByVolume
	ByPort
	ByAffinity
	ByAntiAffinity
	BySpread
	ByPods
	ByCPU
	ByMemory
	ByEphemeral
	ByExtended
	reasons
)

// Room tells whether the node would do if it had more room.
func (r Reason) Room() bool { return r >= ByPods }

// words is what is said of one node, and of several.
func (r Reason) words() (one, several string) {
	w := [reasons][2]string{
		ByCordon:       {"is cordoned", "are cordoned"},
		ByDrain:        {"is drained at the time", "are drained at the time"},
		ByNotReady:     {"is not Ready", "are not Ready"},
		BySelector:     {"is not what it selects", "are not what it selects"},
		ByTaint:        {"has a taint it does not tolerate", "have taints it does not tolerate"},
		ByVolume:       {"is out of reach of its volumes", "are out of reach of its volumes"},
		ByPort:         {"has its host port taken", "have its host port taken"},
		ByAffinity:     {"has not the pods it must run beside", "have not the pods it must run beside"},
		ByAntiAffinity: {"has pods it must not run beside", "have pods it must not run beside"},
		BySpread:       {"is against its topology spread", "are against its topology spread"},
		ByPods:         {"has all the pods it may have", "have all the pods they may have"},
		ByCPU:          {"is short of cpu", "are short of cpu"},
		ByMemory:       {"is short of memory", "are short of memory"},
		ByEphemeral:    {"is short of ephemeral storage", "are short of ephemeral storage"},
		ByExtended:     {"is short of other resources", "are short of other resources"},
	}[r]
	return w[0], w[1]
}

// fixed is the part of the judgement that does not change during the drains.
func (s *sim) fixed(id int32, n int) Reason {
	w := &s.wheres[id]
	if w.verdict[n] == unknown {
		w.verdict[n] = fits
		if !Allows(w.spec, &s.p.Nodes[n]) {
			w.verdict[n] = BySelector
		} else if _, repelled := Repelled(w.spec, &s.p.Nodes[n]); repelled {
			w.verdict[n] = ByTaint
		}
	}
	return w.verdict[n]
}

// fit judges the node for the pod. Nodes that are being drained are never fit:
// that some pods tolerate a cordon is told apart, see [Result.Returning].
func (s *sim) fit(pod int32, n int) Reason {
	sh := &s.shape[s.shapeOf[pod]]
	node := &s.nodes[n]
	switch {
	case node.away:
		return ByDrain
	case s.p.Nodes[n].Cordoned && !sh.stays:
		return ByCordon
	case !s.p.Nodes[n].Ready:
		return ByNotReady
	}
	if r := s.fixed(sh.where, n); r != fits {
		return r
	}
	if v := s.p.Pods[pod].Volume; v >= 0 && !s.reaches(v, n) {
		return ByVolume
	}
	if len(sh.spec.HostPorts) > 0 && s.portTaken(sh.spec.HostPorts, n) {
		return ByPort
	}
	if r := s.meets(sh, n); r != fits {
		return r
	}
	return node.room(&sh.spec.Requests)
}

func (s *sim) reaches(volume int32, n int) bool {
	if s.volumes[volume] == nil {
		s.volumes[volume] = make([]Reason, len(s.nodes))
	}
	verdict := &s.volumes[volume][n]
	if *verdict == unknown {
		*verdict = ByVolume
		if selects(s.p.Volumes[volume], &s.p.Nodes[n]) {
			*verdict = fits
		}
	}
	return *verdict == fits
}

func (s *sim) portTaken(want []cluster.HostPort, n int) bool {
	const anyAddress = "0.0.0.0"
	return slices.ContainsFunc(s.nodes[n].pods, func(other int32) bool {
		return slices.ContainsFunc(s.spec(other).HostPorts, func(have cluster.HostPort) bool {
			return slices.ContainsFunc(want, func(w cluster.HostPort) bool {
				return w.Port == have.Port && w.Protocol == have.Protocol && (w.IP == have.IP || w.IP == anyAddress || have.IP == anyAddress)
			})
		})
	})
}

// meets judges the node by the pods that run in its domains.
// Source: kubernetes pkg/scheduler/framework/plugins/interpodaffinity/filtering.go
func (s *sim) meets(sh *shape, n int) Reason {
	for _, id := range sh.anti {
		t := &s.terms[id]
		if d := s.domains[t.key].of[n]; d >= 0 && t.match[d] > 0 {
			return ByAntiAffinity
		}
	}
	for _, id := range sh.matches {
		t := &s.terms[id]
		if t.owners == nil {
			continue
		}
		if d := s.domains[t.key].of[n]; d >= 0 && t.owners[d] > 0 {
			return ByAntiAffinity
		}
	}
	if len(sh.near) > 0 && !s.near(sh, n) {
		return ByAffinity
	}
	for i := range sh.spread {
		if !s.spreads(sh, &sh.spread[i], n) {
			return BySpread
		}
	}
	return fits
}

// near is true when the node's domains have all the pods asked for. The first
// pods of a group that asks for itself may go anywhere.
func (s *sim) near(sh *shape, n int) bool {
	all, none := true, true
	for _, id := range sh.near {
		t := &s.terms[id]
		d := s.domains[t.key].of[n]
		if d < 0 {
			return false
		}
		all = all && t.match[d] > 0
		none = none && t.total == 0
	}
	return all || none && sh.self
}

func (s *sim) spreads(sh *shape, c *spread, n int) bool {
	t := &s.terms[c.term]
	here := s.domains[t.key].of[n]
	if here < 0 {
		return false
	}
	domains := c.domains
	if c.taints {
		domains = s.untainted(sh, c)
	}
	least := int32(0)
	if len(domains) >= int(c.minDomains) && len(domains) > 0 {
		least = t.match[domains[0]]
		for _, d := range domains[1:] {
			least = min(least, t.match[d])
		}
	}
	return t.match[here]+c.self-least <= c.maxSkew
}

// untainted are the domains that count where taints do (nodeTaintsPolicy: Honor):
// a cordoned node has one.
func (s *sim) untainted(sh *shape, c *spread) []int32 {
	of := s.domains[s.terms[c.term].key].of
	var out []int32
	for n := range s.nodes {
		if d := of[n]; d >= 0 && slices.Contains(c.domains, d) && !slices.Contains(out, d) && s.fixed(sh.where, n) == fits && (sh.stays || !s.nodes[n].away && !s.p.Nodes[n].Cordoned) {
			out = append(out, d)
		}
	}
	return out
}

// room is fits, or what the node lacks for the request. A resource that is not
// asked for may be overdrawn, as the scheduler sees it.
func (n *node) room(r *cluster.Resources) Reason {
	switch {
	case n.free.Pods < 1:
		return ByPods
	case r.MilliCPU > 0 && r.MilliCPU > n.free.MilliCPU:
		return ByCPU
	case r.Memory > 0 && r.Memory > n.free.Memory:
		return ByMemory
	case r.Ephemeral > 0 && r.Ephemeral > n.free.Ephemeral:
		return ByEphemeral
	}
	for i, amount := range r.Extended {
		if amount > 0 && (i >= len(n.free.Extended) || amount > n.free.Extended[i]) {
			return ByExtended
		}
	}
	return fits
}

// sampled is how many fit nodes are compared, from the least loaded on.
const sampled = 16

// choose gives the node for the pod: of the least loaded that are fit, the one
// with the fewest pods of the same controller; -1: none.
func (s *sim) choose(pod int32) int {
	best, fewest, seen, want := -1, 0, 0, &s.spec(pod).Requests
	for _, n := range s.order {
		// Room is asked first, because it is cheap and in a full cluster decides.
		if s.nodes[n].away || s.nodes[n].room(want) != fits || s.fit(pod, int(n)) != fits {
			continue
		}
		same := 0
		for _, other := range s.nodes[n].pods {
			if s.p.Pods[other].Controller == s.p.Pods[pod].Controller {
				same++
			}
		}
		if best < 0 || same < fewest {
			best, fewest = int(n), same
		}
		if seen++; seen == sampled || same == 0 {
			break
		}
	}
	return best
}
