package planner

import (
	"strings"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// before is what a node had when the hop that is taken back began: as the run's facts
// have it, moved on by the run's hops until then.
type before struct {
	kubelet cluster.Version
	control cluster.Version // API server, controller manager, scheduler
	etcd    cluster.Version
	// packages are kubeadm, kubelet and kubectl as the package manager names them; not
	// those that nobody observed.
	packages map[string]pin
	// certificates are kubeadm's, by name, with their ends; nil when not observed.
	certificates map[string]time.Time
	cordoned     bool
	// backup is the archive of the node's files; zero: there is none.
	backup journal.Artefact
	// raised is what the hop's raise made of the node's etcd before the hop's own turn:
	// that is what this turn is taken back to.
	raised raisedMember
}

type raisedMember struct {
	to     cluster.Version
	image  string
	backup journal.Artefact // zero: the member was not raised, or not to the end
}

// pin is a package's version.
type pin struct {
	revision string          // 1.33.13-1.1
	version  cluster.Version // that its binary prints
	held     bool
}

// before tells what every node had when the hop at that index began.
func (u Undone) before(at int) map[string]before {
	out := map[string]before{}
	facts := &u.Plan.Facts
	for _, n := range newState(facts).nodes {
		out[n.Name] = observed(n)
	}
	for i := range u.Plan.Hops[:at] {
		h := &u.Plan.Hops[i]
		eachStep(h, func(_ *plan.Stage, s *plan.Step) { moveOn(out, h, s) })
	}
	line := u.Plan.Hops[at].To.Line().String()
	for name, b := range out {
		b.backup, _ = u.State.Artefact(line, ArtefactBackup, name)
		if kept, ok := u.State.Artefact(raisedBackup(u.Plan.Hops[at].To.Line()), ArtefactBackup, name); ok {
			b.raised.to, b.raised.image = raised(&u.Plan.Hops[at], name)
			b.raised.backup = kept
		}
		// Only the first cordon of the run found the node as its owner left it.
		for i := range u.Plan.Hops[:at+1] {
			if _, found := u.State.Artefact(u.Plan.Hops[i].To.Line().String(), ArtefactCordoned, name); found {
				b.cordoned = true
			}
		}
		out[name] = b
	}
	return out
}

func observed(n *nodeState) before {
	b := before{kubelet: n.kubelet, control: n.control, etcd: n.etcd, cordoned: n.Cordoned, packages: map[string]pin{}}
	if n.Host == nil {
		return b
	}
	versions := map[string]cluster.Version{"kubeadm": n.Host.Kubeadm, "kubelet": n.Host.Kubelet, "kubectl": n.Host.Kubectl}
	for _, p := range n.Host.Packages {
		if v, ours := versions[p.Name]; ours {
			b.packages[p.Name] = pin{revision: p.Version, version: v, held: p.Held}
			delete(versions, p.Name)
		}
	}
	for name, v := range versions { // installed without a package manager
		if !v.IsZero() {
			b.packages[name] = pin{revision: v.Bare(), version: v}
		}
	}
	b.certificates = map[string]time.Time{}
	for _, c := range n.Host.Certificates {
		b.certificates[c.Name] = c.NotAfter
	}
	return b
}

// moveOn applies what a step of an earlier hop made of its node.
func moveOn(all map[string]before, h *plan.Hop, s *plan.Step) {
	b, known := all[s.Node]
	if !known {
		return
	}
	for _, want := range strings.Split(s.Args["packages"], "\n") {
		name, revision, ok := strings.Cut(want, "=")
		if v, err := cluster.ParseVersion(s.Args["version"]); ok && err == nil && s.Kind == plan.KindPackages {
			b.packages[name] = pin{revision: revision, version: v, held: s.Args["hold"] == "true"}
		}
	}
	if k, v, moves := effect(h, s); moves {
		switch k.what {
		case effectKubelet:
			b.kubelet = v
		case effectControlPlane:
			b.control = v
		case effectEtcd:
			b.etcd = v
		}
	}
	all[s.Node] = b
}

// etcdBefore is the oldest etcd among the members when the hop began; zero: not seen.
func (r *rollback) etcdBefore() cluster.Version {
	var oldest cluster.Version
	for _, b := range r.before {
		oldest = older(oldest, b.etcd)
	}
	return oldest
}
