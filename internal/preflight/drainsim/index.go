package drainsim

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	"k8s.io/apimachinery/pkg/labels"
)

// index finds the selectors that mean a set of labels, by namespace, without
// asking each of thousands: nearly all of them name a value of some label.
type index map[string]*selectors

type selectors struct {
	byLabel map[label][]selector
	others  []selector // that name no value
}

type label struct{ key, value string }

type selector struct {
	id int32
	labels.Selector
}

func (x index) add(namespace string, id int32, s cluster.Selector) {
	in := x[namespace]
	if in == nil {
		in = &selectors{byLabel: map[label][]selector{}}
		x[namespace] = in
	}
	compiled := selector{id, compile(s)}
	i := slices.IndexFunc(s, func(r cluster.Requirement) bool { return r.Operator == "In" })
	if i < 0 {
		in.others = append(in.others, compiled)
		return
	}
	for _, value := range s[i].Values {
		at := label{s[i].Key, value}
		in.byLabel[at] = append(in.byLabel[at], compiled)
	}
}

// meaning lists the selectors that choose the set, in the order of their ids.
func (in *selectors) meaning(set map[string]string) []int32 {
	if in == nil {
		return nil
	}
	var out []int32
	try := func(list []selector) {
		for _, s := range list {
			if s.Matches(labels.Set(set)) {
				out = append(out, s.id)
			}
		}
	}
	try(in.others)
	for key, value := range set {
		try(in.byLabel[label{key, value}])
	}
	slices.Sort(out)
	return slices.Compact(out)
}
