package plan

import (
	"slices"
	"testing"
)

func TestNewLosses(t *testing.T) {
	field := func(resource, name, owner, fields string) Loss {
		return Loss{Kind: LossField, Resource: resource, Namespace: "shop", Name: name, Owner: owner, Detail: fields}
	}
	created := func(name string) Loss {
		return Loss{Kind: LossCreated, Resource: "ConfigMap", Namespace: "shop", Name: name}
	}
	unread := func(resource, name, why string) Loss {
		return Loss{Kind: LossUnread, Resource: resource, Name: name, Detail: why}
	}
	deployment := field("Deployment.apps", "web", "", "spec.template.spec.new")
	set := field("ReplicaSet.apps", "web-5d4", "Deployment.apps/web", "spec.template.spec.new")
	pod := field("Pod", "web-5d4-abc", "ReplicaSet.apps/web-5d4", "spec.new")
	elsewhere := pod
	elsewhere.Namespace = "other"
	for name, tc := range map[string]struct{ accepted, now, want []Loss }{
		"nothing":             {},
		"all accepted":        {[]Loss{created("a"), deployment}, []Loss{created("a"), deployment}, nil},
		"nothing accepted":    {nil, []Loss{created("a"), deployment}, []Loss{created("a"), deployment}},
		"another object":      {[]Loss{created("a")}, []Loss{created("a"), created("b")}, []Loss{created("b")}},
		"another kind of it":  {[]Loss{created("a")}, []Loss{{Kind: LossChanged, Resource: "ConfigMap", Namespace: "shop", Name: "a"}}, []Loss{{Kind: LossChanged, Resource: "ConfigMap", Namespace: "shop", Name: "a"}}},
		"a pod elsewhere":     {[]Loss{{Kind: LossPodStops, Resource: "Pod", Name: "p", Node: "w-1"}}, []Loss{{Kind: LossPodStops, Resource: "Pod", Name: "p", Node: "w-2"}}, []Loss{{Kind: LossPodStops, Resource: "Pod", Name: "p", Node: "w-2"}}},
		"another detail":      {[]Loss{{Kind: LossChanged, Resource: "Job.batch", Name: "j"}}, []Loss{{Kind: LossChanged, Resource: "Job.batch", Name: "j", Detail: "deleted and made anew"}}, nil},
		"fewer fields":        {[]Loss{field("Pod", "p", "", "spec.a, spec.b")}, []Loss{field("Pod", "p", "", "spec.b")}, nil},
		"a further field":     {[]Loss{field("Pod", "p", "", "spec.a")}, []Loss{field("Pod", "p", "", "spec.a, spec.b")}, []Loss{field("Pod", "p", "", "spec.a, spec.b")}},
		"counted":             {nil, []Loss{{Kind: LossChanged, Resource: "Event", Name: LossCounted, Detail: "3 created"}}, nil},
		"unread still":        {[]Loss{unread("Pod", LossAny, "time-out")}, []Loss{unread("Pod", LossAny, "refused")}, nil},
		"unread, now read":    {[]Loss{unread("Pod", LossAny, "time-out")}, []Loss{pod}, nil},
		"unread by now":       {[]Loss{pod}, []Loss{unread("Pod", LossAny, "refused")}, []Loss{unread("Pod", LossAny, "refused")}},
		"unread of another":   {[]Loss{unread("Job.batch", LossAny, "time-out")}, []Loss{pod}, []Loss{pod}},
		"everything unread":   {[]Loss{unread("etcd", LossEverything, "time-out")}, []Loss{created("a"), unread("etcd", LossEverything, "x")}, nil},
		"one object unread":   {[]Loss{unread("Pod", "p", "no schema")}, []Loss{pod}, []Loss{pod}},
		"a drained pod":       {[]Loss{deployment, set}, []Loss{deployment, set, pod}, nil},
		"a rollout":           {[]Loss{deployment}, []Loss{deployment, set, pod}, nil},
		"a sibling":           {[]Loss{field("Pod", "x-1", "Own.example.com/x", "spec.new")}, []Loss{field("Pod", "x-2", "Own.example.com/x", "spec.new")}, nil},
		"a sibling with more": {[]Loss{field("Pod", "x-1", "Own.example.com/x", "spec.new")}, []Loss{field("Pod", "x-2", "Own.example.com/x", "spec.newer")}, []Loss{field("Pod", "x-2", "Own.example.com/x", "spec.newer")}},
		"orphans":             {[]Loss{field("Pod", "a", "", "spec.new")}, []Loss{field("Pod", "b", "", "spec.new")}, []Loss{field("Pod", "b", "", "spec.new")}},
		"the owner is new":    {nil, []Loss{deployment, set, pod}, []Loss{deployment, set, pod}},
		"not of the template": {[]Loss{deployment, set}, []Loss{deployment, set, field("Pod", "web-5d4-abc", set.Resource+"/"+set.Name, "spec.w")}, []Loss{field("Pod", "web-5d4-abc", set.Resource+"/"+set.Name, "spec.w")}},
		"another namespace":   {[]Loss{deployment, set}, []Loss{deployment, set, elsewhere}, []Loss{elsewhere}},
	} {
		if got := NewLosses(tc.accepted, tc.now); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// Owners that own each other lead nowhere.
func TestNewLossesOfACircle(t *testing.T) {
	a := Loss{Kind: LossField, Resource: "A", Name: "a", Owner: "B/b", Detail: "spec.x"}
	b := Loss{Kind: LossField, Resource: "B", Name: "b", Owner: "A/a", Detail: "spec.x"}
	if got := NewLosses(nil, []Loss{a, b}); len(got) != 2 {
		t.Errorf("%+v", got)
	}
}

func FuzzNewLosses(f *testing.F) {
	f.Add("Pod", "a", "", "spec.x", "Pod", "b", "Pod/a", "spec.y, spec.x")
	f.Fuzz(func(t *testing.T, r1, n1, o1, d1, r2, n2, o2, d2 string) {
		all := []Loss{{Kind: LossField, Resource: r1, Name: n1, Owner: o1, Detail: d1}, {Kind: LossField, Resource: r2, Name: n2, Owner: o2, Detail: d2}}
		if got := NewLosses(all, all); len(got) != 0 {
			t.Errorf("accepted, and new: %+v", got)
		}
		for _, l := range NewLosses(all[:1], all) {
			if !slices.Contains(all, l) {
				t.Errorf("made up: %+v", l)
			}
		}
	})
}
