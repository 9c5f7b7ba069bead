package kube

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// evicting is a fake API server with a say on evictions.
func evicting(t *testing.T, say func(name string) error, objects ...runtime.Object) *Client {
	t.Helper()
	c, set := fakeClient(objects...)
	set.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "pods/eviction", Kind: "Eviction", Group: "policy", Version: "v1"},
	}}}
	set.PrependReactor("create", "pods", evict(set, say))
	set.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		t.Error("a pod was deleted past its budget")
		return true, nil, errors.New("refused")
	})
	return c
}

func evict(set *fake.Clientset, say func(name string) error) clienttesting.ReactionFunc {
	return func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		e := a.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		if err := say(e.Name); err != nil {
			return true, nil, err
		}
		return true, nil, set.Tracker().Delete(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, e.Namespace, e.Name)
	}
}

type notes struct {
	mutex sync.Mutex
	lines []string
}

func (n *notes) add(s string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.lines = append(n.lines, s)
}

func (n *notes) String() string {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return strings.Join(n.lines, "\n")
}

func webBudget(allowed int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	}
}

func daemonPod() *corev1.Pod {
	p := pod("shop", "agent-1", "w-1")
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", Controller: new(true)}}
	return p
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := 4
		c := evicting(t, func(name string) error {
			if name == "web-1" && refusals > 0 {
				refusals--
				return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
			}
			return nil
		}, pod("shop", "web-1", "w-1"), pod("shop", "web-2", "w-1"), staticPod("etcd", "w-1", "e:1"), webBudget(0))
		var n notes
		if done, err := c.Drained(t.Context(), "w-1"); err != nil || done {
			t.Fatalf("before: %t %v", done, err)
		}
		if err := c.Drain(t.Context(), "w-1", DrainOptions{GracePeriod: -time.Second}, n.add); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"evicting shop/web-1", "evicting shop/web-2", "shop/web-1 waits: budget shop/web allows 0 disruptions", "shop/web-1 is gone"} {
			if strings.Count(n.String(), want) != 1 {
				t.Errorf("no single note %q in\n%s", want, n.String())
			}
		}
		if done, err := c.Drained(t.Context(), "w-1"); err != nil || !done {
			t.Errorf("after: %t %v", done, err)
		}
	})
}

func TestDrainBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := evicting(t, func(name string) error {
			return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		}, pod("shop", "web-1", "w-1"), webBudget(0))
		start := time.Now()
		err := c.Drain(t.Context(), "w-1", DrainOptions{Timeout: time.Minute, GracePeriod: -1}, func(string) {})
		var blocked *DrainError
		if !errors.As(err, &blocked) || len(blocked.Pods) != 1 || blocked.Pods[0].Budgets[0] != "web" || blocked.After != time.Minute {
			t.Fatalf("%v", err)
		}
		if took := time.Since(start); took < time.Minute || took > 2*time.Minute {
			t.Errorf("gave up after %s", took)
		}
		for _, want := range []string{"w-1", "shop/web-1 (budget shop/web allows 0 disruptions)", "within 1m0s", "kubectl -n shop describe pdb web"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	})
}

// What the budgets allow does not matter then, and their numbers may be stale.
func TestDrainBlockedBySeveralBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := webBudget(1)
		other.Name = "web-too"
		c := evicting(t, func(string) error {
			return apierrors.NewInternalError(errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."))
		}, pod("shop", "web-1", "w-1"), webBudget(0), other)
		err := c.Drain(t.Context(), "w-1", DrainOptions{Timeout: time.Minute, GracePeriod: -1}, func(string) {})
		var blocked *DrainError
		if !errors.As(err, &blocked) || len(blocked.Pods) != 1 || !blocked.Pods[0].Several {
			t.Fatalf("%v", err)
		}
		for _, want := range []string{"shop/web-1 (has the budgets shop/{web,web-too}", "kubectl -n shop delete pdb web-too"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	})
}

func TestDrainKeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 2
		c := evicting(t, func(string) error {
			if failures > 0 {
				failures--
				return apierrors.NewInternalError(errors.New("webhook is away"))
			}
			return nil
		}, pod("shop", "web-1", "w-1"))
		if err := c.Drain(t.Context(), "w-1", DrainOptions{}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	})
}

// A run that lost the cluster evicts nothing more, in the middle of a drain too.
func TestDrainOfARunThatLostTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		evicted := 0
		c := evicting(t, func(string) error {
			evicted++
			return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		}, pod("shop", "web-1", "w-1"), webBudget(0))
		asked := 0
		start := time.Now()
		err := c.Drain(t.Context(), "w-1", DrainOptions{GracePeriod: -1, May: func(context.Context) error {
			if asked++; asked > 3 {
				return &LostLeaseError{Holder: "bob@b"}
			}
			return nil
		}}, func(string) {})
		var lost *LostLeaseError
		if !errors.As(err, &lost) || evicted != 3 || time.Since(start) > time.Minute {
			t.Errorf("%d evictions in %s: %v", evicted, time.Since(start), err)
		}
	})
}

// A pod of the same name that came to life elsewhere is left alone.
func TestDrainLeavesSuccessorsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set *fake.Clientset
		web := pod("shop", "db-0", "w-1")
		c := evicting(t, func(name string) error {
			next := pod("shop", name, "w-2")
			next.UID = "another"
			gvr := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
			if err := set.Tracker().Update(gvr, next, "shop"); err != nil {
				t.Error(err)
			}
			return apierrors.NewTooManyRequests("not now", 0)
		}, web)
		set = c.clientset.(*fake.Clientset)
		var n notes
		d := &drainer{client: c, node: "w-1", o: DrainOptions{GracePeriod: -1}, version: policyv1.SchemeGroupVersion, started: map[string]bool{}, note: n.add}
		if err := d.evict(t.Context(), *web); err != nil {
			t.Fatal(err)
		}
		if strings.Count(n.String(), "evicting") != 1 || !strings.Contains(n.String(), "shop/db-0 is gone") {
			t.Errorf("%s", n.String())
		}
	})
}

func TestDrainPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := 10
		c := evicting(t, func(string) error {
			if refusals--; refusals >= 0 {
				return apierrors.NewTooManyRequests("not now", 0)
			}
			return nil
		}, pod("shop", "web-1", "w-1"))
		start := time.Now()
		if err := c.Drain(t.Context(), "w-1", DrainOptions{GracePeriod: -1, Pace: 0.01}, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDrainRefusals(t *testing.T) {
	bare := pod("shop", "bare", "w-1")
	bare.OwnerReferences = nil
	c := evicting(t, func(string) error { t.Error("evicted before everything was allowed"); return nil }, bare, pod("shop", "web-1", "w-1"))
	err := c.Drain(t.Context(), "w-1", DrainOptions{}, func(string) {})
	var refused *DrainError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "shop/bare") || !strings.Contains(err.Error(), "drain.force") {
		t.Errorf("%v", err)
	}

	none, set := fakeClient(pod("shop", "web-1", "w-1"))
	set.Resources = []*metav1.APIResourceList{{GroupVersion: "v1"}}
	var lacking *NoEvictionError
	if err := none.Drain(t.Context(), "w-1", DrainOptions{}, func(string) {}); !errors.As(err, &lacking) {
		t.Errorf("%v", err)
	}
}

func TestDrainedIgnoresDaemons(t *testing.T) {
	c, set := fakeClient(daemonPod(), staticPod("etcd", "w-1", "e:1"))
	if err := set.Tracker().Add(daemonSet()); err != nil {
		t.Fatal(err)
	}
	if done, err := c.Drained(t.Context(), "w-1"); err != nil || !done {
		t.Errorf("%t %v", done, err)
	}
}

func daemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "agent"}}
}
