package planner

import (
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// Hops reads a target into the version each hop ends at, one minor apart. The
// target is a minor ("1.35" or "v1.35": its newest patch), an exact version
// ("v1.35.4"), or several of these with commas between them to choose the patch
// on the way. Minors in between are filled in with their newest patch.
//
// Available are the versions the package source has, by minor ("1.34"). When it
// is empty only exact versions can be asked for. The error is a *[TargetError].
func Hops(f cluster.Facts, target string, available map[string][]cluster.Version) ([]cluster.Version, error) {
	at := current(&f)
	if at.IsZero() {
		return nil, targetError(text(target), TargetNoFacts, "the cluster's version is not known; check that the API answers and run `kup plan` again")
	}
	var hops []cluster.Version
	for _, part := range strings.Split(target, ",") {
		wish, err := parseWish(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		more, err := wish.from(at, len(hops) == 0 && behind(&f, at), available)
		if err != nil {
			return nil, err
		}
		hops = append(hops, more...)
		at = hops[len(hops)-1]
	}
	return hops, nil
}

// wish is one part of a target: a minor, or an exact version of it.
type wish struct {
	text  string
	minor cluster.Minor
	exact cluster.Version
}

func parseWish(s string) (wish, error) {
	if v, err := cluster.ParseVersion(s); err == nil {
		return wish{text: s, minor: v.Line(), exact: v}, nil
	}
	m, err := cluster.ParseMinor(s)
	if err != nil {
		return wish{}, targetError(text(s), TargetMalformed, "want a minor such as v1.34 or a release such as v1.34.4")
	}
	return wish{text: s, minor: m}, nil
}

// from gives the hops that lead from at to the wish. Unfinished is true when
// parts of the cluster are behind at, so that ending there is work too.
func (w wish) from(at cluster.Version, unfinished bool, available map[string][]cluster.Version) ([]cluster.Version, error) {
	if w.minor.Less(at.Line()) || w.minor.Major != at.Major {
		return nil, targetError(text(w.text), TargetNotNewer, "the control plane is at %s; kup does not take a cluster back; choose a newer target", at)
	}
	var hops []cluster.Version
	for m := at.Line().Next(); m.Less(w.minor); m = m.Next() {
		v, err := newest(text(w.text), m, available)
		if err != nil {
			return nil, err
		}
		hops = append(hops, v)
	}
	last, err := w.resolve(available)
	if err != nil {
		return nil, err
	}
	if last.Less(at) || (last == at && !unfinished) {
		return nil, targetError(text(w.text), TargetNotNewer, "%s is not newer than the control plane, which is at %s; ask for a newer release", last, at)
	}
	return append(hops, last), nil
}

func (w wish) resolve(available map[string][]cluster.Version) (cluster.Version, error) {
	if w.exact.IsZero() {
		return newest(text(w.text), w.minor, available)
	}
	if len(available) > 0 && !slices.Contains(available[w.minor.String()], w.exact) {
		return cluster.Version{}, targetError(text(w.text), TargetLacking, "the package source does not have it%s", has(available[w.minor.String()]))
	}
	return w.exact, nil
}

func newest(target text, m cluster.Minor, available map[string][]cluster.Version) (cluster.Version, error) {
	if len(available) == 0 {
		return cluster.Version{}, targetError(target, TargetUnknown, "no package source says which patches of %s exist; name the releases, such as v%s.4, or give a list of versions", m, m)
	}
	versions := available[m.String()]
	if len(versions) == 0 {
		return cluster.Version{}, targetError(target, TargetLacking, "the package source has no release of %s; check packages.repository in the inventory", m)
	}
	return slices.MaxFunc(versions, cluster.Version.Compare), nil
}

func has(versions []cluster.Version) string {
	if len(versions) == 0 {
		return " nor any other release of that minor; check packages.repository in the inventory"
	}
	return "; its newest of that minor is " + slices.MaxFunc(versions, cluster.Version.Compare).String()
}

// behind tells whether anything is older than at: a hop that ended early.
func behind(f *cluster.Facts, at cluster.Version) bool {
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.InAPI && n.Kubelet.Less(at) {
			return true
		}
		for _, pod := range n.StaticPods {
			if pod.Component != "etcd" && pod.Version.Less(at) {
				return true
			}
		}
	}
	return f.Kubeadm.ClusterVersion.Less(at)
}
