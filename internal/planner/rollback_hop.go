package planner

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// What a run recorded of the API before the hop: its objects, and what it served.
const (
	ArtefactObjects = "objects"
	ArtefactSchema  = "schema"
)

// addonsBack are the steps that put the API's objects back, in their order: what
// kubeadm and kubelets read comes before any older one of them runs.
var addonsBack = []struct{ name, what string }{
	{"configs", "kubeadm's and the kubelets' configuration"},
	{"coredns", "CoreDNS"},
	{"kube-proxy", "kube-proxy"},
}

// addonOf tells which of those steps an object belongs to.
func addonOf(ref string) string {
	switch name := path.Base(ref); {
	case strings.HasPrefix(name, "kubeadm-config"), strings.HasPrefix(name, "kubelet-config"):
		return "configs"
	default:
		return name
	}
}

// Hop is the hop of the run that would be taken back; false: there is none.
func (u Undone) Hop(c *catalog.Catalog) (plan.Hop, bool) {
	r, ok := newRollback(u, Evidence{}, c, Policy{})
	if !ok {
		return plan.Hop{}, false
	}
	return *r.hop, true
}

// hopWay judges the way back of a whole hop that keeps what was written since.
func (r *rollback) hopWay() Way {
	for _, judge := range []func() string{
		r.refusesAsked, r.refusesEtcd, r.refusesStored, r.refusesObjects, r.refusesSchema, r.refusesNodes,
	} {
		if why := judge(); why != "" {
			return Way{Why: why}
		}
	}
	return Way{}
}

func (r *rollback) refusesAsked() string {
	switch {
	case r.evidence.Facts == nil:
		return "the API does not answer, and objects are to be looked through and put back"
	case len(r.evidence.Wanted) > 0:
		return "single nodes were asked for, and a hop goes back as a whole"
	case r.replacedCA():
		return "the cluster's CA was replaced since: certificates of before would not be trusted"
	}
	return ""
}

// refusesEtcd: an API server of before reads what etcd of its time wrote, and etcd
// itself cannot go back without its data.
func (r *rollback) refusesEtcd() string {
	if is := r.evidence.EtcdCluster; !is.IsZero() && !r.etcd.IsZero() && r.etcd.Less(is) && is.Line() != r.etcd.Line() {
		return fmt.Sprintf("etcd's members agreed on %s, and %s ran with etcd %s", is.Line(), r.to, r.etcd.Line())
	}
	was := map[string]cluster.Version{}
	for _, m := range r.undone.Plan.Facts.Etcd.Members {
		was[m.Name] = m.Version
	}
	for name, b := range r.before {
		if !b.etcd.IsZero() {
			was[name] = b.etcd
		}
	}
	for _, m := range r.facts.Etcd.Members {
		old, known := was[m.Name]
		if !known {
			old = r.etcd
		}
		if !old.IsZero() && !m.Version.IsZero() && old.Line() != m.Version.Line() {
			return fmt.Sprintf("etcd on %s is at %s and was at %s before the hop: it does not go back to another minor on its own data", m.Name, m.Version.Line(), old.Line())
		}
	}
	return ""
}

// refusesStored: the version that an object is stored in was chosen by the newer API
// server, and one that cannot read it answers no list of its resource any more.
func (r *rollback) refusesStored() string {
	if r.evidence.Stored == nil {
		return fmt.Sprintf("etcd's store could not be looked at, so that nothing tells whether API servers of %s can read what is in it", r.to)
	}
	if !r.minor.KnowsStored() {
		return fmt.Sprintf("this kup does not know what API servers of %s can read from etcd", r.to)
	}
	for _, k := range r.evidence.Stored.Kinds {
		if k.Count > 0 && r.catalog.OwnKind(k.Group, k.Kind) && !r.minor.Decodes(k.Group, k.Version, k.Kind) && r.builtIn(k) {
			return fmt.Sprintf("etcd has %d objects as %s %s (%s), which API servers of %s cannot read", k.Count, k.APIVersion(), k.Kind, strings.Join(k.Examples, ", "), r.to)
		}
	}
	return ""
}

// builtIn tells whether a stored kind is Kubernetes' own, and not a custom resource of
// the same name or an aggregated API server's.
func (r *rollback) builtIn(k cluster.StoredKind) bool {
	return !slices.Contains(r.evidence.Stored.Aggregated, k.Group) && !slices.ContainsFunc(r.evidence.Stored.Definitions, func(d cluster.StoredDefinition) bool {
		return d.Group == k.Group && d.Kind == k.Kind
	})
}

func (r *rollback) refusesObjects() string {
	if a, found := r.undone.State.Artefact(r.line, ArtefactObjects, ""); !found || a.Path == "" {
		return fmt.Sprintf("run %s did not record kubeadm's configuration and the add-ons from before hop %s", r.undone.Run, r.line)
	}
	if !slices.ContainsFunc(r.evidence.Recorded, func(ref string) bool { return addonOf(ref) == "configs" }) {
		return fmt.Sprintf("what run %s recorded before hop %s has no configuration of kubeadm", r.undone.Run, r.line)
	}
	return ""
}

func (r *rollback) refusesSchema() string {
	if r.schema() == nil {
		return fmt.Sprintf("run %s did not record what the API served before hop %s", r.undone.Run, r.line)
	}
	return ""
}

// schema is what objects are held against; nil: it was not recorded.
func (r *rollback) schema() *plan.Record {
	a, found := r.undone.State.Artefact(r.line, ArtefactSchema, "")
	if !found || a.Path == "" {
		return nil
	}
	return &plan.Record{Hop: r.line, Source: path.Base(a.Path), Digest: a.Digest}
}

// refusesNodes: every node that moved must have what it goes back to, and none may
// stay newer than the API servers then are.
func (r *rollback) refusesNodes() string {
	for _, n := range r.state.nodes {
		l, moved := r.moved(n.Name)
		if moved {
			if why := r.lacks(l.node, l.needsBackup(), l.packages); why != "" {
				return why
			}
		}
		if is := n.Kubelet; !l.swapped && r.to.Line().Less(is.Line()) {
			return fmt.Sprintf("the kubelet of node %s is at %s, and this run did not bring it there: there is nothing to take it back to; remove the node, or take it to %s by hand", n.Name, is, r.to)
		}
	}
	return ""
}

// moved is all that the hop may have changed on a node but for its etcd, in one lane.
func (r *rollback) moved(node string) (openLane, bool) {
	all, found := openLane{node: node, ended: true}, false
	for _, l := range r.openLanes() {
		if l.node == node {
			ended := all.ended && l.ended
			all, found = all.with(l), true
			all.ended = ended
		}
	}
	// The add-ons' stage may have brought kubeadm to a node that nothing else touched.
	eachStep(r.hop, func(st *plan.Stage, s *plan.Step) {
		if st.Name == plan.Addons && s.Node == node && s.Kind == plan.KindPackages && r.undone.Begun(s.ID) {
			all.add(s)
			found = true
		}
	})
	all.etcd, all.stage = false, plan.ControlPlane
	if n := r.node(node); n != nil && n.Role != cluster.ControlPlane {
		all.stage = plan.Workers
	}
	slices.Sort(all.packages)
	all.packages = slices.Compact(all.packages)
	return all, found
}

// hopStages take everything but etcd back: objects, workers, kubelets of control
// planes, and API servers last, since no kubelet may be newer than any of them.
func (r *rollback) hopStages() ([]plan.Stage, error) {
	workers := r.workerWaves(func(n *nodeState) plan.Lane {
		l, moved := r.moved(n.Name)
		if !moved {
			return nil
		}
		return r.settled(r.fromLane(l, n))
	})
	var kubelets, servers []plan.Lane
	for _, n := range r.state.controlPlanes() {
		l, moved := r.moved(n.Name)
		switch {
		case !moved:
		case l.swapped:
			kubelets = append(kubelets, r.settled(r.kubeletBack(plan.ControlPlane, n, l.packages...)))
			if l.control {
				servers = append(servers, r.componentsBack(plan.ControlPlane, n))
			}
		default:
			servers = append(servers, r.fromLane(l, n))
		}
	}
	r.keepsObjects(servers)
	addons := r.objectsBack(plan.Addons, "configs", "coredns", "kube-proxy")
	r.tellHop()
	return slices.Concat(
		r.prepareHop(), staged(plan.Addons, one(addons)), staged(plan.Workers, workers),
		staged(plan.ControlPlane, one(kubelets...), one(servers...)), r.lookBack(nil),
	), nil
}

// keepsObjects has every object looked through once more, right before the first API
// server goes back: much may have been written since the plan.
func (r *rollback) keepsObjects(servers []plan.Lane) {
	for _, lane := range servers {
		for i := range lane {
			if s := &lane[i]; s.Args["component"] == plan.ComponentControlPlane {
				s.Before = append(s.Before, gate("objects-kept", "", r.line))
				s.Estimate += r.catalog.Estimate("objects-kept")
				return
			}
		}
	}
}

// settled lets the next drain wait until what this one moved is back.
func (r *rollback) settled(lane plan.Lane) plan.Lane {
	if len(lane) > 0 && slices.ContainsFunc(lane, func(s plan.Step) bool { return s.Kind == plan.KindDrain }) {
		last := &lane[len(lane)-1]
		last.After = append(last.After, r.workloadGates()...)
	}
	return lane
}

// objectsBack puts back what was recorded of the API, of the parts that are named.
func (r *rollback) objectsBack(stage plan.StageName, parts ...string) plan.Lane {
	source, _ := r.undone.State.Artefact(r.line, ArtefactObjects, "")
	var lane plan.Lane
	for _, a := range addonsBack {
		if !slices.Contains(parts, a.name) {
			continue
		}
		var refs []string
		for _, ref := range r.evidence.Recorded {
			if addonOf(ref) == a.name {
				refs = append(refs, ref)
			}
		}
		if len(refs) == 0 {
			continue
		}
		slices.Sort(refs)
		s := r.step(plan.KindObjects, stage, "", a.name, "objects", fmt.Sprintf("make %s what it was before the hop: %s", a.what, strings.Join(refs, ", ")))
		s.Args["hop"], s.Args["source"], s.Args["digest"] = r.line, path.Base(source.Path), source.Digest
		s.Args["objects"] = strings.Join(refs, "\n")
		var before, after []plan.GateID
		if len(lane) == 0 {
			before = []plan.GateID{"apiservers-ready"}
		}
		if a.name != "configs" {
			after = append(r.workloadGates(), "admission-available")
		}
		lane = append(lane, r.gated(s, before, after))
	}
	return lane
}

// prepareHop brings everything of before to the nodes, and proves a snapshot of now,
// before anything changes.
func (r *rollback) prepareHop() []plan.Stage {
	snapshot := reads(r.step(plan.KindSnapshot, plan.Prepare, "", "snapshot", "snapshot", "save an etcd snapshot of now and prove it by restoring it aside"))
	snapshot.Args["hop"] = r.to.Line().String()
	snapshot = r.gated(snapshot, r.storeGates("etcd-healthy"), nil)
	var controlPlanes, workers []plan.Lane
	for _, n := range r.state.nodes {
		l, _ := r.moved(n.Name)
		lane := r.bring(n, l.packages, r.hopImages(n))
		if n.Role == cluster.ControlPlane {
			controlPlanes = append(controlPlanes, lane)
		} else {
			workers = append(workers, lane)
		}
	}
	baseline := r.baselineNow()
	baseline = r.gated(baseline, nil, append([]plan.GateID{"apiservers-ready", "admission-available"}, r.dnsGates()...))
	return staged(plan.Prepare, one(plan.Lane{snapshot}), one(controlPlanes...), atMost(maxPrepare, workers...), one(plan.Lane{baseline}))
}

// hopImages are what runs on the node after the rollback; etcd's stays.
func (r *rollback) hopImages(n *nodeState) []string {
	var out []string
	if n.Role == cluster.ControlPlane {
		out = append(out, r.images.ControlPlane...)
	}
	return withSandbox(n, append(out, r.addonImage("kube-proxy", r.images.KubeProxy), r.addonImage("coredns", r.images.CoreDNS), r.images.Pause))
}

// addonImage is the one that the add-on had when the run began, which for a later hop
// is the one that the hop before it brought.
func (r *rollback) addonImage(name, brought string) string {
	if r.hop != &r.undone.Plan.Hops[0] {
		return brought
	}
	for _, a := range r.undone.Plan.Facts.Addons {
		if a.Name == name && a.Image != "" {
			return a.Image
		}
	}
	return brought
}

// etcdAfterwards is the version of etcd that a way back ends with: in scope hop etcd
// stays as it is.
func (r *rollback) etcdAfterwards(scope plan.Scope) cluster.Version {
	members := r.facts.Etcd.Members
	if scope != plan.ScopeHop || len(members) == 0 {
		return r.etcd
	}
	return slices.MinFunc(members, func(a, b cluster.Member) int { return a.Version.Compare(b.Version) }).Version
}

// tellHop says what nobody may learn afterwards.
func (r *rollback) tellHop() {
	r.notice(false, "not supported upstream: Kubernetes has no way to take a control plane back to an older minor; %s goes back to %s, etcd and everything written since stay; every object was compared with what %s reads", r.from, r.to, r.to)
	r.notice(false, "kubeadm's and the kubelets' configuration, CoreDNS and kube-proxy become what they were before the hop: what anybody else changed in them since is lost, but for the number of replicas")
	switch cps, members := r.state.controlPlanes(), r.state.members(); {
	case len(cps) == 1:
		r.notice(true, "there is one control plane: the API is down while its kubelet and its API server go back, about a minute each; workloads keep running")
	case len(members) > 0 && len(members) < 3:
		r.notice(true, "there are %d etcd members: quorum does not survive the loss of one, so the API may be down while a control plane's kubelet goes back; workloads keep running", len(members))
	}
}
