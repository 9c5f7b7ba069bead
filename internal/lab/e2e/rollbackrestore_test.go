package e2e

import (
	"slices"
	"testing"
)

// A pod of a StatefulSet that runs in two places at one time is seen, one that moved is
// not taken for it.
func TestTwice(t *testing.T) {
	look := func(at string, containers string) string {
		return at + "\n{\"containers\": [" + containers + "]}\n"
	}
	one := func(id, pod, uid, made string) string {
		return `{"id": "` + id + `", "createdAt": "` + made + `", "labels": {"io.kubernetes.pod.name": "` + pod + `", "io.kubernetes.pod.uid": "` + uid + `"}}`
	}
	for name, tt := range map[string]struct {
		looks [][2]string // node and answer
		want  int
	}{
		"moved": {[][2]string{
			{"w-1", look("1000", one("c1", "ledger-0", "u1", "100"))},
			{"w-1", look("2000", one("c1", "ledger-0", "u1", "100"))},
			{"w-1", look("3000", "")},
			{"w-2", look("3000", one("c2", "ledger-0", "u2", "2500"))},
		}, 0},
		"restarted in its place": {[][2]string{
			{"w-1", look("2000", one("c1", "ledger-0", "u1", "100"))},
			{"w-1", look("3000", one("c2", "ledger-0", "u1", "2500"))},
		}, 0},
		"in two places": {[][2]string{
			{"w-1", look("1000", one("c1", "ledger-0", "u1", "100"))},
			{"w-2", look("1900", one("c2", "ledger-0", "u2", "1500"))},
			{"w-1", look("2000", one("c1", "ledger-0", "u1", "100"))},
		}, 1},
		"two pods, and one that is no StatefulSet's": {[][2]string{
			{"w-1", look("1000", one("c1", "ledger-0", "u1", "100")+","+one("c2", "ledger-1", "u2", "100")+","+one("c3", "web-1", "u3", "100"))},
			{"w-2", look("1000", one("c4", "web-1", "u4", "100"))},
			{"w-2", "not a time"},
		}, 0},
		"a short one within a long one": {[][2]string{
			{"w-1", look("9000", one("c1", "ledger-0", "u1", "100"))},
			{"w-2", look("2000", one("c2", "ledger-0", "u2", "1000"))},
			{"w-2", look("8000", one("c3", "ledger-0", "u3", "7000"))},
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := &sandboxWatch{looks: map[string]int{}, seen: map[string]*stay{}}
			for _, l := range tt.looks {
				w.add(l[0], l[1])
			}
			if got := w.twice(); len(got) != tt.want {
				t.Errorf("twice: %q, want %d", got, tt.want)
			}
		})
	}
}

// What an upgrade is there to change must be as before when data are restored.
func TestRestoreRules(t *testing.T) {
	rules, err := restoreRules()
	if err != nil {
		t.Fatal(err)
	}
	covers := func(k Key, o map[string]any) bool {
		return slices.ContainsFunc(rules, func(r Rule) bool { return r.Resource != "*" && r.covers(k, o, true) })
	}
	role := map[string]any{"metadata": map[string]any{"labels": map[string]any{"kubernetes.io/bootstrapping": "rbac-defaults"}}}
	for k, o := range map[Key]map[string]any{
		{"configmaps", "kube-system", "kubeadm-config"}:          nil,
		{"daemonsets.apps", "kube-system", "kube-proxy"}:         nil,
		{"clusterroles.rbac.authorization.k8s.io", "", "admin"}:  role,
		{"controllerrevisions.apps", "shop", "ledger-6f7d8c9b5"}: nil,
	} {
		if covers(k, o) {
			t.Errorf("%s may differ", k)
		}
	}
	for _, k := range []Key{{"nodes", "", "cp-1"}, {"endpoints", "shop", "web"}} {
		if !covers(k, nil) {
			t.Errorf("what is reported of %s may not differ", k)
		}
	}
}
