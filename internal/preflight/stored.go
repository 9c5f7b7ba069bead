package preflight

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func storedRules() []Rule {
	const (
		schemes  = "the schemes of Kubernetes' own API servers (internal/catalog/data/stored.yaml); k8s.io/apiserver pkg/storage/etcd3/store.go: one object that cannot be decoded fails the list"
		versions = "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#upgrade-existing-objects-to-a-new-stored-version"
	)
	return []Rule{
		{"KUP-120", "every stored object can be read by every hop's API servers", Block, schemes, checkStoredVersions},
		{"KUP-121", "no stored object is of a kind that a hop drops", Warn, schemes, checkStoredKinds},
		{"KUP-122", "custom resources are stored in versions that their definition has", Block, versions, checkStoredCustom},
		{"KUP-123", "every stored object could be looked at", Info, "https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/", checkStoredEncrypted},
		{"KUP-124", "no stored object is left over from an API that is gone", Info, schemes, checkStoredLeftovers},
		{"KUP-125", "every stored value is in a form that API servers write", Warn, "k8s.io/apiserver pkg/server/storage/storage_codec.go", checkStoredForms},
	}
}

// standing is what becomes of objects that are stored as one version of one of
// Kubernetes' own kinds.
type standing string

const (
	// standsRead: every API server on the way reads them.
	standsRead standing = ""
	// standsUnread: the hop's API servers have the kind and cannot read the version.
	standsUnread standing = "unread"
	// standsDropped: the hop's API servers do not have the kind any more.
	standsDropped standing = "dropped"
	// standsLeft: today's API servers do not read them, and no hop changes that.
	standsLeft standing = "left"
	// standsTouched: today's API servers do not read them, but the hop brings the
	// kind's first stable version, which every API server serves: from then on
	// they are read, and cannot be.
	standsTouched standing = "touched"
)

// stands judges one kind along the path and gives the hop at which it stands so.
// What is not known is taken as read.
func stands(in Input, k cluster.StoredKind) (standing, hop) {
	hops := in.hops()
	if len(hops) == 0 || in.definition(k) != nil || !in.Catalog.OwnKind(k.Group, k.Kind) {
		return standsRead, hop{}
	}
	present, known := in.reads(hops[0].from)
	if !known {
		return standsRead, hop{}
	}
	left := !present.Decodes(k.Group, k.Version, k.Kind) || !present.Keeps(k.Group, k.Kind)
	before := present
	for _, h := range hops {
		m, known := in.reads(h.to)
		if !known {
			break
		}
		readable := m.Decodes(k.Group, k.Version, k.Kind)
		switch {
		case !left && !m.Keeps(k.Group, k.Kind):
			return standsDropped, h
		case !left && !readable:
			return standsUnread, h
		case left && !readable && stable(m, k) && !stable(before, k):
			return standsTouched, h
		}
		before = m
	}
	if left {
		return standsLeft, hops[0]
	}
	return standsRead, hop{}
}

// stable tells whether the minor has a stable version of the kind.
func stable(m catalog.Minor, k cluster.StoredKind) bool {
	return slices.ContainsFunc(m.StoredVersions(k.Group, k.Kind), stableVersion.MatchString)
}

var stableVersion = regexp.MustCompile(`^v[0-9]+$`)

// reads gives a minor of which it is known what its API servers can read.
func (in Input) reads(v cluster.Version) (catalog.Minor, bool) {
	m, known := in.Catalog.Minor(v.Line())
	return m, known && m.KnowsStored()
}

// definition is the CustomResourceDefinition behind stored objects, or nil.
func (in Input) definition(k cluster.StoredKind) *cluster.StoredDefinition {
	for i := range in.Scan.Stored.Definitions {
		if d := &in.Scan.Stored.Definitions[i]; d.Group+"/"+d.Resource == k.Path {
			return d
		}
	}
	return nil
}

func checkStoredVersions(in Input) []Finding {
	var out []Finding
	for _, k := range in.storedKinds() {
		what, h := stands(in, k)
		if what != standsUnread && what != standsTouched {
			continue
		}
		m, _ := in.reads(h.to)
		f := Finding{
			Hop: h.name, Object: storedName(k),
			Why: fmt.Sprintf("%s stored so, and API servers of %s read the kind only as %s: where they serve it, every list of it fails",
				storedCount(k.StoredPath), h.name, strings.Join(m.StoredVersions(k.Group, k.Kind), ", ")),
		}
		if what == standsUnread {
			f.Fix = rewrite(in, k, h)
		} else {
			f.Fix = "no API server can read or delete them: look at each on an etcd member with " + in.etcdGet(k.StoredPath) + ", and remove it with del in place of get"
		}
		out = append(out, f)
	}
	return out
}

// rewrite says how to bring objects into a version that survives the hop.
func rewrite(in Input, k cluster.StoredKind, h hop) string {
	target, _ := in.reads(h.to)
	shared := func(v cluster.Version) bool {
		m, _ := in.reads(v)
		return slices.ContainsFunc(m.StoredVersions(k.Group, k.Kind), func(version string) bool { return target.Decodes(k.Group, version, k.Kind) })
	}
	name := kubectlName(k)
	write := fmt.Sprintf("kubectl get %s -A -o json | kubectl replace -f -", name)
	switch {
	case shared(in.hops()[0].from):
		return "have the API server store them anew: " + write
	case shared(h.from):
		return fmt.Sprintf("upgrade to %s first and have the API server store them anew there: %s", h.from.Line(), write)
	}
	return fmt.Sprintf("no version is common to both: save them (kubectl get %s -A -o yaml > saved.yaml), delete them before the hop, create them again after it", name)
}

func checkStoredKinds(in Input) []Finding {
	var out []Finding
	for _, k := range in.storedKinds() {
		what, h := stands(in, k)
		if what != standsDropped {
			continue
		}
		out = append(out, Finding{
			Hop: h.name, Object: storedName(k),
			Why: fmt.Sprintf("%s in etcd, and API servers of %s do not serve the kind: what it did ends, and nobody can read or delete them any more", storedCount(k.StoredPath), h.name),
			Fix: fmt.Sprintf("move off them, then before the hop: kubectl get %s -A -o yaml > saved.yaml && kubectl delete -f saved.yaml", kubectlName(k)),
		})
	}
	return out
}

func checkStoredCustom(in Input) []Finding {
	var out []Finding
	for _, k := range in.storedKinds() {
		d := in.definition(k)
		if d == nil || d.Has(k.Version) {
			continue
		}
		out = append(out, Finding{
			Object: storedName(k),
			Why: fmt.Sprintf("%s stored so, and CustomResourceDefinition %s has no version %s: no API server can read them, every list of %s fails and a namespace with one cannot be deleted",
				storedCount(k.StoredPath), d.Name, k.Version, d.Resource),
			Fix: fmt.Sprintf("put %[1]s back into spec.versions of %[2]s (served: false will do), then: kubectl get %[2]s -A -o json | kubectl replace -f -, then take it out of status.storedVersions and spec.versions",
				k.Version, d.Name),
		})
	}
	return out
}

func checkStoredEncrypted(in Input) []Finding {
	if in.Scan.Stored == nil || len(in.Scan.Stored.Encrypted) == 0 {
		return nil
	}
	var parts []string
	for _, p := range in.Scan.Stored.Encrypted {
		parts = append(parts, fmt.Sprintf("%d of %s", p.Count, p.Path))
	}
	return []Finding{{
		Object: "encrypted objects",
		Why:    "not checked, because only the API servers have the key: " + strings.Join(parts, ", "),
		Fix:    "nothing for secrets and configmaps, which were v1 in every minor; store any other kind anew before the upgrade: kubectl get RESOURCE -A -o json | kubectl replace -f -",
	}}
}

// checkStoredLeftovers names what no API server of the path reads.
func checkStoredLeftovers(in Input) []Finding {
	var out []Finding
	for _, k := range in.storedKinds() {
		if in.definition(k) != nil || slices.Contains(in.Scan.Stored.Aggregated, k.Group) {
			continue
		}
		var why string
		what, h := stands(in, k)
		switch {
		case !in.Catalog.OwnKind(k.Group, k.Kind) && in.groupsHidden():
			continue
		case !in.Catalog.OwnKind(k.Group, k.Kind):
			why = "in etcd without a CustomResourceDefinition or an API server that answers for the group"
		case what == standsLeft:
			why = fmt.Sprintf("left over from an older minor: API servers of %s do not read them any more", h.from.Line())
		default:
			continue
		}
		out = append(out, Finding{
			Object: storedName(k), Why: storedCount(k.StoredPath) + " " + why,
			Fix: "none is needed for the upgrade; to look at one: " + in.etcdGet(k.StoredPath),
		})
	}
	return out
}

// groupsHidden tells whether definitions or APIServices are encrypted, so that it
// is not known which groups the cluster has.
func (in Input) groupsHidden() bool {
	return slices.ContainsFunc(in.Scan.Stored.Encrypted, func(p cluster.StoredPath) bool {
		return p.Path == "apiextensions.k8s.io/customresourcedefinitions" || p.Path == "apiregistration.k8s.io/apiservices"
	})
}

func checkStoredForms(in Input) []Finding {
	if in.Scan.Stored == nil {
		return nil
	}
	var out []Finding
	for _, p := range in.Scan.Stored.Unreadable {
		out = append(out, Finding{
			Object: "values under " + p.Path,
			Why:    storedCount(p) + " neither protobuf, JSON, CBOR nor encrypted: API servers that list the resource fail on them",
			Fix:    "find out who wrote them: " + in.etcdGet(p),
		})
	}
	return out
}

func (in Input) storedKinds() []cluster.StoredKind {
	if in.Scan.Stored == nil {
		return nil
	}
	return in.Scan.Stored.Kinds
}

func storedName(k cluster.StoredKind) string { return k.APIVersion() + " " + k.Kind }

// storedCount begins a sentence: "3 objects (shop/a, shop/b, shop/c) are".
func storedCount(p cluster.StoredPath) string {
	names := strings.Join(p.Examples, ", ")
	if p.Count > len(p.Examples) {
		names += fmt.Sprintf(" and %d more", p.Count-len(p.Examples))
	}
	if p.Count == 1 {
		return fmt.Sprintf("1 object (%s) is", names)
	}
	return fmt.Sprintf("%d objects (%s) are", p.Count, names)
}

// kubectlName is the resource's name for kubectl.
func kubectlName(k cluster.StoredKind) string {
	name := k.Path[strings.LastIndex(k.Path, "/")+1:]
	// Where the path is not the resource's name: kubernetes pkg/kubeapiserver
	// default_storage_factory_builder.go, SpecialDefaultResourcePrefixes.
	switch k.Path {
	case "controllers":
		name = "replicationcontrollers"
	case "minions":
		name = "nodes"
	case "services/specs":
		name = "services"
	case "ingress":
		name = "ingresses"
	case "podsecuritypolicy":
		name = "podsecuritypolicies"
	}
	// What was stored as extensions is served by another group since.
	if k.Group == "" || k.Group == "extensions" {
		return name
	}
	return name + "." + k.Group
}

// etcdGet is the command that shows the first of the examples.
func (in Input) etcdGet(p cluster.StoredPath) string {
	key := p.Path
	if len(p.Examples) > 0 && p.Examples[0] != "" {
		key += "/" + p.Examples[0]
	}
	return fmt.Sprintf("etcdctl get %s%s", in.Scan.Stored.Prefix, key)
}
