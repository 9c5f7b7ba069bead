package preflight

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func objectRules() []Rule {
	const (
		guide    = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"
		versions = "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"
	)
	return []Rule{
		{"KUP-110", "what is applied is written in versions that every hop serves", Warn, guide, checkApplied},
		{"KUP-111", "no client last wrote in a version that a hop removes", Info, guide, checkWriters},
		{"KUP-112", "no Helm release holds a version that a hop removes", Warn, "https://helm.sh/docs/topics/kubernetes_apis/", checkReleases},
		{"KUP-113", "no manifest is written in a version that a hop removes", Warn, guide, checkManifests},
		{"KUP-114", "every manifest can be read", Info, "the directory given with --manifests", checkUnreadable},
		{"KUP-115", "every stored version of a custom resource is still defined", Warn, versions + "#upgrade-existing-objects-to-a-new-stored-version", checkDefinedVersions},
		{"KUP-116", "every custom resource could be defined anew", Warn, guide + "#customresourcedefinition-v122", checkDefinitions},
		{"KUP-117", "every conversion webhook has a backend", Warn, versions + "#webhook-conversion", checkConverters},
		{"KUP-118", "manifests and releases use custom resources in versions that are served", Info, versions + "#specify-multiple-versions", checkServed},
	}
}

// removedOnPath gives the hop that no longer serves the version, if one of the
// path is the first to do so.
func (in Input) removedOnPath(apiVersion, kind string) (hop, catalog.RemovedAPI, bool) {
	row, known := in.Catalog.RemovedKind(apiVersion, kind)
	if !known {
		return hop{}, row, false
	}
	for _, h := range in.hops() {
		if h.crosses(row.In) {
			return h, row, true
		}
	}
	return hop{}, row, false
}

// crosses tells whether the hop is the one that reaches the minor.
func (h hop) crosses(m cluster.Minor) bool { return h.from.Line().Less(m) && !h.to.Line().Less(m) }

// moveTo tells what to write instead of an API version.
func moveTo(row catalog.RemovedAPI) string {
	if !strings.Contains(row.Replacement, "/") {
		return "nothing replaces it: take it out"
	}
	return "write it as " + row.Replacement
}

// use is one API version on its way out.
type use struct{ apiVersion, kind string }

func (u use) compare(v use) int {
	return cmp.Or(cmp.Compare(u.kind, v.kind), cmp.Compare(u.apiVersion, v.apiVersion))
}

// writtenOnPath groups what names a version that goes on the path. That of
// PodSecurityPolicies is KUP-153's.
func (in Input) writtenOnPath(applied bool) map[use][]cluster.Written {
	out := map[use][]cluster.Written{}
	if in.Scan.Objects == nil {
		return out
	}
	for _, w := range in.Scan.Objects.Written {
		if w.Applied != applied || w.Kind == podSecurityPolicy {
			continue
		}
		if _, _, goes := in.removedOnPath(w.APIVersion, w.Kind); goes {
			u := use{w.APIVersion, w.Kind}
			out[u] = append(out[u], w)
		}
	}
	return out
}

func checkApplied(in Input) []Finding {
	var out []Finding
	written := in.writtenOnPath(true)
	for _, u := range slices.SortedFunc(maps.Keys(written), use.compare) {
		h, row, _ := in.removedOnPath(u.apiVersion, u.kind)
		var names []string
		for _, w := range written[u] {
			name := objectName(w.Namespace, w.Name)
			if w.Manager != "" {
				name += " (by " + w.Manager + ")"
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		fix := moveTo(row) + " and apply it again before the hop"
		if strings.Contains(row.Replacement, "/") {
			fix += ": kubectl convert -f FILE --output-version " + row.Replacement
		}
		out = append(out, Finding{
			Hop: h.name, Object: u.kind + " " + few(names),
			Why: fmt.Sprintf("applied as %s, which %s no longer serves: what runs stays, but the next apply of the manifest fails", u.apiVersion, row.In),
			Fix: fix,
		})
	}
	return out
}

func checkWriters(in Input) []Finding {
	type key struct {
		manager string
		use
	}
	latest := map[key]time.Time{}
	names := map[key][]string{}
	applied := in.writtenOnPath(true)
	for u, list := range in.writtenOnPath(false) {
		for _, w := range list {
			same := func(a cluster.Written) bool { return a.Namespace == w.Namespace && a.Name == w.Name }
			if slices.ContainsFunc(applied[u], same) {
				continue // KUP-110 names it already
			}
			k := key{w.Manager, u}
			names[k] = append(names[k], objectName(w.Namespace, w.Name))
			if latest[k].Before(w.At) {
				latest[k] = w.At
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(names), func(a, b key) int { return cmp.Or(cmp.Compare(a.manager, b.manager), a.compare(b.use)) })
	var out []Finding
	for _, k := range keys {
		h, row, _ := in.removedOnPath(k.apiVersion, k.kind)
		when := ""
		if at := latest[k]; !at.IsZero() {
			when = " on " + at.Format(time.DateOnly)
		}
		out = append(out, Finding{
			Hop: h.name, Object: "client " + k.manager,
			Why: fmt.Sprintf("it last wrote %s %s as %s%s, which %s no longer serves", k.kind, few(names[k]), k.apiVersion, when, row.In),
			Fix: "if it is still in use, raise it to a version that knows " + cmp.Or(row.Replacement, "of the removal"),
		})
	}
	return out
}

func checkReleases(in Input) []Finding {
	if in.Scan.Objects == nil {
		return nil
	}
	var out []Finding
	for _, r := range in.Scan.Objects.Releases {
		byHop := map[string][]string{}
		for _, m := range r.Objects {
			if h, row, goes := in.removedOnPath(m.APIVersion, m.Kind); goes {
				text := fmt.Sprintf("%s %s as %s", m.Kind, m.Name, m.APIVersion)
				if strings.Contains(row.Replacement, "/") {
					text += " (now " + row.Replacement + ")"
				}
				byHop[h.name] = append(byHop[h.name], text)
			}
		}
		for _, h := range in.hops() {
			if len(byHop[h.name]) == 0 {
				continue
			}
			out = append(out, Finding{
				Hop: h.name, Object: releaseName(r),
				Why: fmt.Sprintf("its revision %d holds %s: what runs stays, but helm upgrade and helm rollback fail once the cluster no longer serves that", r.Revision, few(byHop[h.name])),
				Fix: fmt.Sprintf("before the hop upgrade to a chart without it, or rewrite the stored release: helm plugin install https://github.com/helm/helm-mapkubeapis; helm mapkubeapis %s --namespace %s", r.Name, r.Namespace),
			})
		}
	}
	return out
}

func releaseName(r cluster.Release) string {
	name := "Helm release " + objectName(r.Namespace, r.Name)
	if r.Chart != "" {
		name += " (" + r.Chart + ")"
	}
	return name
}

func checkManifests(in Input) []Finding {
	if in.Scan.Objects == nil || in.Scan.Objects.Manifests == nil {
		return nil
	}
	oldest, _ := in.apiServers()
	var out []Finding
	for _, m := range in.Scan.Objects.Manifests.Objects {
		f := Finding{Object: manifestName(m)}
		h, row, goes := in.removedOnPath(m.APIVersion, m.Kind)
		switch {
		case goes:
			f.Hop, f.Why = h.name, fmt.Sprintf("%s is gone in %s: applying it fails from then on", m.APIVersion, row.In)
		case row.In != (cluster.Minor{}) && !oldest.Line().Less(row.In):
			f.Why = fmt.Sprintf("%s is gone since %s: it cannot be applied to this cluster", m.APIVersion, row.In)
		default:
			continue
		}
		f.Fix = moveTo(row)
		out = append(out, f)
	}
	return out
}

func manifestName(m cluster.Manifest) string {
	return fmt.Sprintf("%s:%d %s %s", m.File, m.Line, m.Kind, objectName(m.Namespace, m.Name))
}

func checkUnreadable(in Input) []Finding {
	if in.Scan.Objects == nil || in.Scan.Objects.Manifests == nil || len(in.Scan.Objects.Manifests.Unreadable) == 0 {
		return nil
	}
	return []Finding{{
		Object: "manifests", Why: "not looked at: " + few(in.Scan.Objects.Manifests.Unreadable),
		Fix: "render templates first and give the directory of the results, such as with helm template or kustomize build",
	}}
}

// objectName is namespace/name, or the name of what has no namespace.
func objectName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// few lists the first five and counts the others.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
