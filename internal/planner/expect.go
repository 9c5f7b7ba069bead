package planner

import (
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Progress is how far a step has come, by the journal.
type Progress int

// The degrees of progress.
const (
	Untouched Progress = iota // it had no effect
	Begun                     // it may have had its effect
	Ended                     // it had its effect
	// TakenBack: it may have had its effect, which a rollback undid on its node. What it
	// did to the whole cluster stands.
	TakenBack
	BegunAnew // begun once more since it was taken back
	EndedAnew // ended once more since it was taken back
)

// plain is the progress without what was before; anew tells whether something was taken
// back before.
func (p Progress) plain() (how Progress, anew bool) {
	switch p {
	case BegunAnew:
		return Begun, true
	case EndedAnew:
		return Ended, true
	default:
		return p, p == TakenBack
	}
}

// What steps move.
const (
	effectControlPlane = plan.ComponentControlPlane
	effectEtcd         = plan.ComponentEtcd
	effectKubelet      = plan.ComponentKubelet
)

// key is a thing on a node.
type key struct{ what, node string }

// expectation is what the plan's steps have made of the cluster so far.
type expectation struct {
	settled map[key]cluster.Version   // brought by steps that ended
	open    map[key][]cluster.Version // brought, perhaps, by steps that were begun since
	config  bool                      // kubeadm's ConfigMaps are the plan's own by now
	joined  memberSet                 // may have joined anew
	joining memberSet                 // may be on their way to that
	pins    pins
}

// memberSet are members of etcd, by node and by name: one that is away is known by its
// name alone, which on a host of its own need not be the host's.
type memberSet map[string]bool

// add takes the member that a step is about.
func (set memberSet) add(s *plan.Step) {
	for _, name := range []string{s.Node, s.Args["member"]} {
		if name != "" {
			set[name] = true
		}
	}
}

func (set memberSet) has(m cluster.Member) bool { return set[m.Node] || set[m.Name] }

// pins is what the plan's steps have made of etcd.local.imageTag so far.
type pins struct {
	begun   bool
	settled string   // by the last step that ended
	open    []string // perhaps, by steps that were begun since; empty: nothing is under way
}

// edited tells whether the ConfigMap may differ from the one planned for: what was
// set is not known to be out again.
func (p *pins) edited() bool { return len(p.open) > 0 || p.settled != "" }

func (p *pins) note(tag string, how Progress) {
	p.begun = true
	if how == Begun {
		p.open = append(p.open, tag)
		return
	}
	p.settled, p.open = tag, nil
}

func expect(p *plan.Plan, progress func(string) Progress) expectation {
	e := expectation{settled: map[key]cluster.Version{}, open: map[key][]cluster.Version{}, joined: memberSet{}, joining: memberSet{}}
	p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		k, v, moves := effect(h, s)
		how, anew := progress(s.ID).plain()
		if how == Untouched {
			return true
		}
		if tag, sets := etcdTag(s); sets && how != TakenBack {
			e.pins.note(tag, how)
		}
		e.config = e.config || rewritesConfig(s)
		if s.Kind == plan.KindRejoin && how == Begun {
			e.joining.add(s)
		}
		if s.Kind == plan.KindRejoin || (anew && k.what == effectEtcd) {
			e.joined.add(s)
		}
		if !moves || how == TakenBack {
			return true
		}
		if how == Begun {
			e.open[k] = append(e.open[k], v)
			return true
		}
		e.settled[k] = v
		delete(e.open, k)
		return true
	})
	return e
}

// allowed are the versions a thing may have; before is what it had in the facts.
func (e *expectation) allowed(k key, before cluster.Version) []cluster.Version {
	first, moved := e.settled[k]
	if !moved {
		first = before
	}
	return append([]cluster.Version{first}, e.open[k]...)
}

// rewritesConfig tells whether a step changes kubeadm's ConfigMaps.
func rewritesConfig(s *plan.Step) bool {
	return s.Kind == plan.KindObjects || (s.Kind == plan.KindCommand && s.Args["component"] == plan.ComponentControlPlane)
}

// etcdTag reads what a step makes of etcd.local.imageTag; empty: it takes it out.
func etcdTag(s *plan.Step) (tag string, sets bool) {
	switch s.Kind {
	case plan.KindPinEtcd:
		return s.Args["tag"], true
	case plan.KindUnpinEtcd:
		return "", true
	default:
		return "", false
	}
}

// effect reads what a step moves out of the step itself.
func effect(h *plan.Hop, s *plan.Step) (key, cluster.Version, bool) {
	if v, err := cluster.ParseVersion(s.Args["version"]); err == nil && s.Args["component"] != "" {
		return key{s.Args["component"], s.Node}, v, true // a rollback's
	}
	switch {
	case s.Kind == plan.KindPackages && s.Args["restart"] == "kubelet":
		return key{effectKubelet, s.Node}, h.To, true
	case s.Kind == plan.KindCommand && s.Args["component"] == plan.ComponentControlPlane:
		return key{effectControlPlane, s.Node}, h.To, true
	case s.Kind == plan.KindCommand && s.Args["component"] == plan.ComponentEtcd:
		return key{effectEtcd, s.Node}, etcdAfter(h, s), true
	case s.Kind == plan.KindEtcdSwap, s.Kind == plan.KindEtcdReturn:
		return key{effectEtcd, s.Node}, versionOf(s, "version"), true
	}
	return key{}, cluster.Version{}, false
}

// etcdAfter is the version the step's own gate asks for, which differs from the
// hop's where etcd goes up in two turns or stays where it is.
func etcdAfter(h *plan.Hop, s *plan.Step) cluster.Version {
	for _, id := range s.After {
		if name, _, version := id.Split(); name == "etcd-member" {
			if v, err := cluster.ParseVersion(version); err == nil {
				return v
			}
		}
	}
	return h.Etcd
}
