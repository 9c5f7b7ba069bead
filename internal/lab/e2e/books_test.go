package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kup-project/kup/internal/lab/workload/probe"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func at(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

func TestDrains(t *testing.T) {
	d := newDrains()
	d.observe(at(0), map[string]bool{"a": false, "b": false})
	d.observe(at(1), map[string]bool{"a": true, "b": false})
	if got := d.schedulable(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("schedulable %v", got)
	}
	d.observe(at(5), map[string]bool{"a": true, "b": false})
	d.observe(at(6), map[string]bool{"a": false, "b": true})
	want := []window{{"a", at(0), at(6)}, {"b", at(5), time.Time{}}}
	if got := d.all(); !slices.Equal(got, want) {
		t.Errorf("windows %v, want %v", got, want)
	}
	for _, tt := range []struct {
		node     string
		from, to float64
		want     bool
	}{
		{"a", 2, 3, true}, {"a", 7, 8, false}, {"a", 6, 7, true}, {"a", -2, -1, false},
		{"b", 100, 101, true}, {"b", 1, 2, false}, {"c", 2, 3, false},
	} {
		if got := d.during(tt.node, at(tt.from), at(tt.to)); got != tt.want {
			t.Errorf("%s from %v to %v: %t", tt.node, tt.from, tt.to, got)
		}
	}
}

func TestDrainsSeenFirstWhileUnderWay(t *testing.T) {
	d := newDrains()
	d.observe(at(3), map[string]bool{"a": true})
	if got := d.all(); !slices.Equal(got, []window{{"a", at(3), time.Time{}}}) {
		t.Errorf("%v", got)
	}
}

type podSpec struct {
	namespace, name, uid, node, owner string
	restarts                          int32
	deleting                          float64 // 0: no
}

func podOf(s podSpec) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name, UID: types.UID(s.uid)},
		Spec:       corev1.PodSpec{NodeName: s.node},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", RestartCount: s.restarts}}},
	}
	if s.owner != "" {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{Kind: s.owner, Controller: &yes}}
	}
	if s.deleting != 0 {
		grace := int64(30)
		when := metav1.NewTime(at(s.deleting + 30))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &when, &grace
	}
	return p
}

func TestPodsJudge(t *testing.T) {
	d := newDrains()
	d.observe(at(0), map[string]bool{"a": false, "b": false})
	d.observe(at(10), map[string]bool{"a": true, "b": false})
	d.observe(at(20), map[string]bool{"a": false, "b": false})

	look := func(p *pods, when float64, specs ...podSpec) {
		var list []corev1.Pod
		for _, s := range specs {
			list = append(list, podOf(s))
		}
		p.observe(at(when), list)
	}
	web := podSpec{namespace: "shop", name: "web-1", uid: "u1", node: "a", owner: "ReplicaSet"}
	with := func(f func(*podSpec)) podSpec { s := web; f(&s); return s }

	for name, tt := range map[string]struct {
		looks      func(p *pods)
		moved      int
		unexpected string
		restarts   string
	}{
		"stays": {looks: func(p *pods) { look(p, 0, web); look(p, 30, web) }},
		"evicted by the drain": {moved: 1, looks: func(p *pods) {
			look(p, 0, web)
			look(p, 12, with(func(s *podSpec) { s.deleting = 11 }))
			look(p, 40)
		}},
		"gone between two looks, in the drain": {moved: 1, looks: func(p *pods) { look(p, 11, web); look(p, 13) }},
		"deleted when nothing was drained": {
			unexpected: "pod shop/web-1 left a at",
			looks:      func(p *pods) { look(p, 0, web); look(p, 31, with(func(s *podSpec) { s.deleting = 30 })) },
		},
		"deleted while another node was drained": {
			unexpected: "pod shop/web-1 left b",
			looks: func(p *pods) {
				b := with(func(s *podSpec) { s.node = "b" })
				look(p, 11, b)
				look(p, 12)
			},
		},
		"DaemonSet's pod replaced": {
			unexpected: "of a DaemonSet",
			looks: func(p *pods) {
				look(p, 11, with(func(s *podSpec) { s.owner = "DaemonSet" }))
				look(p, 12)
			},
		},
		"Job's pod ends": {looks: func(p *pods) { look(p, 0, with(func(s *podSpec) { s.owner = "Job" })); look(p, 1) }},
		"restarted": {
			restarts: "container main of shop/web-1 on a: 3 restarts, 2 before",
			looks: func(p *pods) {
				look(p, 0, with(func(s *podSpec) { s.restarts = 2 }))
				look(p, 1, with(func(s *podSpec) { s.restarts = 3 }))
			},
		},
		"system pods are replaced by design": {looks: func(p *pods) {
			look(p, 0, with(func(s *podSpec) { s.namespace = systemNamespace }))
			look(p, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPods()
			tt.looks(p)
			j := p.judge(d, &away{})
			if j.Moved != tt.moved {
				t.Errorf("moved %d, want %d", j.Moved, tt.moved)
			}
			if got := strings.Join(j.Unexplained, "; "); !strings.Contains(got, tt.unexpected) || (tt.unexpected == "") != (got == "") {
				t.Errorf("unexplained %q, want %q", got, tt.unexpected)
			}
			if got := strings.Join(j.Restarts, "; "); got != tt.restarts {
				t.Errorf("restarts %q, want %q", got, tt.restarts)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	f := func(s, took float64) probe.Failure {
		return probe.Failure{At: at(s), Took: time.Duration(took * float64(time.Second)), Probe: apiNew}
	}
	recovered := f(100, 1)
	recovered.Recovered = true
	write := f(101, 60)
	write.Probe = apiWrite
	got := outage([]probe.Failure{f(0, 1), f(30, 2), f(31, 5), f(33, 1), recovered, write, f(60, 1)})
	if got != 6*time.Second {
		t.Errorf("outage %s", got)
	}
	if got := outage(nil); got != 0 {
		t.Errorf("no failures: %s", got)
	}
}

func TestInsideSince(t *testing.T) {
	report := func(since float64, sent int64) podReport {
		return podReport{Pod: "probe-1", Node: "a", Report: probe.Report{
			Since: at(since), Until: at(since + float64(sent)), Probes: map[string]probe.Count{"new": {Sent: sent, Failed: sent / 10}},
		}}
	}
	before := insideCounters{"u1": report(0, 100), "u2": report(0, 200)}
	got, err := insideCounters{"u1": report(0, 150), "u2": report(0, 220)}.since(before)
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Total(); c.Sent != 70 || c.Failed != 7 {
		t.Errorf("%+v", c)
	}
	for name, now := range map[string]insideCounters{
		"did not survive": {"u1": report(0, 150), "u3": report(0, 1)},
		"started anew":    {"u1": report(0, 150), "u2": report(9, 1)},
	} {
		if _, err := now.since(before); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
