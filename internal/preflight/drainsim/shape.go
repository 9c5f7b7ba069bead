package drainsim

import (
	"encoding/json"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// shape is what decides where a pod may run and when it may be evicted; pods of
// one controller have the same.
type shape struct {
	spec    *cluster.PodSpec
	where   int32   // index into sim.wheres
	matches []int32 // terms whose selector means pods of this shape
	anti    []int32 // terms it must not meet
	near    []int32 // terms it must meet
	self    bool    // it meets all of near itself
	spread  []spread
	budgets []int32
	stays   bool // on cordoned nodes it may be scheduled too
}

type spread struct {
	term       int32
	maxSkew    int32
	minDomains int32
	self       int32 // 1: the pod counts itself
	domains    []int32
	taints     bool // cordoned and tainted nodes do not count
}

type shapeKey struct {
	namespace    string
	labels, spec int32
}

// term is a selector of pods in domains of nodes, with how many it means now.
type term struct {
	key    int32   // index into sim.domains
	match  []int32 // pods meant, by domain
	total  int32   // pods meant, on nodes that have the label
	owners []int32 // pods that must not meet those meant, by domain; nil: none
}

// where is the fixed part of the choice of nodes, judged once for each node.
type where struct {
	spec    *cluster.PodSpec
	verdict []Reason // by node; unknown: not judged yet
}

// shapes numbers the shapes of all pods. Terms must all be known before any pod
// is counted, and which terms mean a shape only when all are.
func (s *sim) shapes() {
	p := s.p
	byKey := map[shapeKey]int32{}
	var keys []shapeKey
	s.shapeOf = make([]int32, len(p.Pods))
	for i := range p.Pods {
		key := shapeKey{p.Pods[i].Namespace, p.Pods[i].Labels, p.Pods[i].Spec}
		index, known := byKey[key]
		if !known {
			index = int32(len(keys))
			byKey[key] = index
			keys = append(keys, key)
		}
		s.shapeOf[i] = index
	}
	s.shape = make([]shape, len(keys))
	wheres := map[string]int32{}
	for i, key := range keys {
		s.shape[i] = s.newShape(key, wheres)
	}
	budgets := s.budgetIndex()
	for i, key := range keys {
		sh, set := &s.shape[i], s.p.LabelSets[key.labels]
		sh.matches = append(s.termsIn[key.namespace].meaning(set), s.termsIn[everywhere].meaning(set)...)
		sh.budgets = budgets[key.namespace].meaning(set)
		sh.self = !slices.ContainsFunc(sh.near, func(t int32) bool { return !slices.Contains(sh.matches, t) })
		for j := range sh.spread {
			if slices.Contains(sh.matches, sh.spread[j].term) {
				sh.spread[j].self = 1
			}
		}
	}
}

func (s *sim) newShape(key shapeKey, wheres map[string]int32) shape {
	spec := &s.p.Specs[key.spec]
	sh := shape{spec: spec, where: s.where(spec, wheres), stays: ToleratesCordon(spec)}
	for _, t := range spec.AntiAffinity {
		id := s.term(t)
		if s.terms[id].owners == nil {
			s.terms[id].owners = make([]int32, s.domains[s.terms[id].key].count)
		}
		sh.anti = append(sh.anti, id)
	}
	for _, t := range spec.Affinity {
		sh.near = append(sh.near, s.term(t))
	}
	for _, c := range spec.Spread {
		id := s.term(cluster.AffinityTerm{TopologyKey: c.TopologyKey, Selector: c.Selector, Namespaces: []string{key.namespace}})
		sh.spread = append(sh.spread, spread{term: id, maxSkew: c.MaxSkew, minDomains: max(c.MinDomains, 1), taints: c.HonorTaints})
	}
	for j, c := range spec.Spread {
		sh.spread[j].domains = s.eligible(&sh, c)
	}
	return sh
}

// everywhere indexes terms that mean pods of all namespaces: no namespace has
// that name.
const everywhere = "*"

func (s *sim) term(t cluster.AffinityTerm) int32 {
	name := identity(t)
	if id, known := s.termIDs[name]; known {
		return id
	}
	id, key := int32(len(s.terms)), s.topology(t.TopologyKey)
	s.termIDs[name] = id
	s.terms = append(s.terms, term{key: key, match: make([]int32, s.domains[key].count)})
	if t.Nothing {
		return id
	}
	namespaces := t.Namespaces
	if t.AllNamespaces {
		namespaces = []string{everywhere}
	}
	for _, namespace := range namespaces {
		s.termsIn.add(namespace, id, t.Selector)
	}
	return id
}

func (s *sim) budgetIndex() index {
	out := index{}
	for i := range s.p.Budgets {
		if b := &s.p.Budgets[i]; !b.Nothing {
			out.add(b.Namespace, int32(i), b.Selector)
		}
	}
	return out
}

func (s *sim) where(spec *cluster.PodSpec, known map[string]int32) int32 {
	name := identity(struct {
		Labels      map[string]string
		Affinity    *cluster.NodeSelector
		Tolerations []cluster.Toleration
	}{spec.NodeSelector, spec.NodeAffinity, spec.Tolerations})
	id, has := known[name]
	if !has {
		id = int32(len(s.wheres))
		known[name] = id
		s.wheres = append(s.wheres, where{spec: spec, verdict: make([]Reason, len(s.p.Nodes))})
	}
	return id
}

// topology numbers the domains of a label: the nodes with one value of it.
type topology struct {
	of    []int32 // domain by node; -1: the node has no such label
	count int
}

func (s *sim) topology(key string) int32 {
	if id, known := s.domainIDs[key]; known {
		return id
	}
	t, values := topology{of: make([]int32, len(s.p.Nodes))}, map[string]int32{}
	for i := range s.p.Nodes {
		value, has := s.p.Nodes[i].Labels[key]
		if !has {
			t.of[i] = -1
			continue
		}
		id, known := values[value]
		if !known {
			id = int32(len(values))
			values[value] = id
		}
		t.of[i] = id
	}
	t.count = len(values)
	id := int32(len(s.domains))
	s.domainIDs[key] = id
	s.domains = append(s.domains, t)
	return id
}

// eligible are the domains over which a constraint evens out: those with a node
// that the pod's own affinity allows and that has the labels of all constraints.
// Source: kubernetes pkg/scheduler/framework/plugins/podtopologyspread/filtering.go
func (s *sim) eligible(sh *shape, c cluster.Spread) []int32 {
	key := s.domainIDs[c.TopologyKey]
	found := make([]bool, s.domains[key].count)
	for n := range s.p.Nodes {
		if s.hasKeys(sh, n) && (c.IgnoreAffinity || s.fixed(sh.where, n) != BySelector) {
			found[s.domains[key].of[n]] = true
		}
	}
	var out []int32
	for d, has := range found {
		if has {
			out = append(out, int32(d))
		}
	}
	return out
}

func (s *sim) hasKeys(sh *shape, n int) bool {
	return !slices.ContainsFunc(sh.spread, func(c spread) bool { return s.domains[s.terms[c.term].key].of[n] < 0 })
}

func identity(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("drainsim: a placement is plain data: " + err.Error())
	}
	return string(raw)
}
