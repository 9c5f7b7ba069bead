package planner

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Build lays out the hops to the targets, one version per hop as [Hops] gives
// them, and seals the plan. What the facts show to be done already is left out;
// a hop with nothing left to do is left out whole. The error is a *[TargetError].
func Build(f cluster.Facts, target []cluster.Version, c *catalog.Catalog, p Policy) (plan.Plan, error) {
	out := plan.Plan{
		Format:          plan.Format,
		CreatedAt:       p.Now.UTC().Round(0),
		KupVersion:      p.KupVersion,
		CatalogDigest:   c.Digest(),
		InventoryDigest: p.InventoryDigest,
		Facts:           f,
		Accepted:        p.Accepted,
	}
	b := &builder{facts: &f, catalog: c, policy: p, state: newState(&f)}
	for i, to := range target {
		b.next = following(target, i)
		h, err := b.hop(to)
		if err != nil {
			return plan.Plan{}, err
		}
		if len(h.Stages) > 0 {
			out.Hops = append(out.Hops, h)
		}
	}
	if len(out.Hops) > 0 {
		out.Notices = append(b.general(), b.notices...)
	}
	out.Measured = measured(&out, p)
	if b.skipped {
		p.Workers = EachHop
		eachHop, err := Build(f, target, c, p)
		if err != nil {
			return plan.Plan{}, err
		}
		tellSaving(&out, eachHop)
	}
	return sealed(out)
}

// sealed closes a plan, once it holds to all that plans must.
func sealed(p plan.Plan) (plan.Plan, error) {
	if err := plan.Seal(&p); err != nil {
		return plan.Plan{}, err
	}
	if err := plan.Validate(&p); err != nil {
		return plan.Plan{}, fmt.Errorf("planner: %w", err)
	}
	return p, nil
}

type builder struct {
	facts   *cluster.Facts
	catalog *catalog.Catalog
	policy  Policy
	state   *state
	notices []plan.Notice
	// next is the target after the hop that is laid out; zero: there is none.
	next cluster.Version
	// skipped is true when some worker's kubelet stayed behind in a hop.
	skipped bool
}

// hopBuilder lays out one hop.
type hopBuilder struct {
	*builder
	from, to cluster.Version
	minor    catalog.Minor
	options  catalog.Options
	images   catalog.Images
	etcd     cluster.Version // that kubeadm of the target brings
	revision string          // the packages' version
	// raise is the pass that brings members to a patch from which the hop's etcd is
	// safe to go to; nil: none is needed.
	raise *raise
	// defragments is true when the hop begins with that.
	defragments bool
	// equipped are the nodes that have kubeadm of the target by now.
	equipped map[string]bool
	// passed are the members that had kubeadm's etcd turn in this hop.
	passed map[string]bool
	// waiting are the workers whose kubelet stays where it is in this hop.
	waiting map[string]bool
	// stores are the members as they are when the hop begins: whoever restores its
	// snapshot restores it with these.
	stores []store
	// touched are the nodes with a step.
	touched map[string]bool
	// fetched are the releases of etcd that hosts of an external etcd need, in order.
	fetched map[string][]cluster.Version
}

func (b *builder) hop(to cluster.Version) (plan.Hop, error) {
	h, err := b.newHop(to)
	if err != nil {
		return plan.Hop{}, err
	}
	defragment, unsafe := h.defragment()
	raised := h.raiseEtcd(true)
	early, err := h.earlyEtcd()
	if err != nil {
		return plan.Hop{}, err
	}
	external, err := h.externalEtcd()
	if err != nil {
		return plan.Hop{}, err
	}
	early = append(early, external.before...)
	control := h.controlPlane()
	late := together(h.raiseEtcd(false), h.etcdStage(), external.after)
	stages := slices.Concat(raised, early, control, late, h.workers(), h.addons())
	if len(stages) > 0 { // nothing else to do is no reason to defragment
		h.defragments = len(defragment) > 0
		if unsafe != "" {
			h.notice(false, "etcd is not defragmented in this hop: %s", unsafe)
		}
		stages = append(together(defragment, raised, early), stages[len(raised)+len(early):]...)
	}
	out := plan.Hop{From: h.from, To: h.to, Etcd: h.etcd}
	if len(stages) > 0 {
		out.Stages = slices.Concat(h.prepare(), stages, h.workloads())
		h.tell()
	}
	b.skipped = b.skipped || len(h.waiting) > 0
	b.state.defragmented = b.state.defragmented || h.defragments
	b.state.arrive(to, h.waiting)
	return out, nil
}

func (b *builder) newHop(to cluster.Version) (*hopBuilder, error) {
	at := b.state.at
	if at.IsZero() {
		return nil, targetError(to, TargetNoFacts, "the cluster's version is not known; check that the API answers and run `kup plan` again")
	}
	if to.Less(at) {
		return nil, targetError(to, TargetNotNewer, "the control plane is at %s", at)
	}
	if to.Line() != at.Line() && to.Line() != at.Line().Next() {
		return nil, targetError(to, TargetTooFar, "the control plane is at %s and moves one minor at a time; plan %s first", at, at.Line().Next())
	}
	m, known := b.catalog.Minor(to.Line())
	if !known {
		return nil, targetError(to, TargetUncharted, "this kup knows the minors %s to %s; use a newer kup", b.catalog.Oldest(), b.catalog.Newest())
	}
	tag, etcd, known := m.Etcd(to)
	if !known {
		return nil, targetError(to, TargetUncharted, "this kup does not know which etcd that release brings; %s is known", m.Seen())
	}
	if pin := b.facts.Kubeadm.EtcdImageTag; pin != "" {
		v, err := catalog.TagVersion(pin)
		if err != nil {
			return nil, targetError(to, TargetEtcd, "etcd.local.imageTag %q of kubeadm's configuration is not a version; remove it or set one such as %s", pin, tag)
		}
		tag, etcd = pin, v
	}
	h := &hopBuilder{
		builder: b, from: at, to: to, minor: m, etcd: etcd,
		images:   m.Images(to, b.facts.Kubeadm.ImageRepository, tag),
		options:  catalog.Options{Patches: b.policy.PatchesDir, IgnorePreflightErrors: b.policy.IgnorePreflightErrors, CertificateRenewal: b.policy.CertificateRenewal},
		equipped: map[string]bool{},
		passed:   map[string]bool{},
		touched:  map[string]bool{},
		fetched:  map[string][]cluster.Version{},
		waiting:  map[string]bool{},
		stores:   b.state.stores(),
	}
	for _, n := range b.state.nodes {
		h.equipped[n.Name] = !n.kubeadm.IsZero() && n.kubeadm == to
	}
	h.raise = h.findRaise()
	return h, h.findRevision()
}

func (h *hopBuilder) findRevision() error {
	if h.policy.Packages.Manager == "binaries" {
		h.revision = h.to.Bare()
		return nil
	}
	revision, ok := h.policy.Offers[h.to]
	if !ok {
		return targetError(h.to, TargetNoPackages, "no package revision of it is known (kubeadm=%s-…); check packages.repository in the inventory", h.to.Bare())
	}
	h.revision = revision
	return nil
}
