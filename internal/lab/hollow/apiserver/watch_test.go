package apiserver_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// next gives what a watch tells next, bookmarks left out: "ADDED web 1".
func next(t *testing.T, w watch.Interface) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, open := <-w.ResultChan():
			switch o := e.Object.(type) {
			case *corev1.ConfigMap:
				if e.Type != watch.Bookmark {
					return fmt.Sprintf("%s %s %s", e.Type, o.Name, o.Data["n"])
				}
			case *metav1.Status:
				return fmt.Sprintf("%s %s", e.Type, o.Reason)
			default:
				return fmt.Sprintf("ended: %v", !open)
			}
		case <-deadline:
			t.Fatal("the watch tells nothing")
		}
	}
}

func put(t testing.TB, s *apiserver.Store, name, n string, labels map[string]string) string {
	t.Helper()
	err := apiserver.Modify(s, mapsResource, "default", name, func(m *corev1.ConfigMap) error {
		m.Data, m.Labels = map[string]string{"n": n}, labels
		return nil
	})
	if apierrors.IsNotFound(err) {
		_, err = apiserver.Create(s, mapsResource, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: labels}, Data: map[string]string{"n": n},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return must[*unstructured.Unstructured](t)(s.Get(mapsResource, "default", name)).GetResourceVersion()
}

func TestWatch(t *testing.T) {
	l := start(t)
	first := put(t, l.store, "a", "1", nil)
	maps := l.client.CoreV1().ConfigMaps("default")
	all := must[watch.Interface](t)(maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first}))
	defer all.Stop()
	red := must[watch.Interface](t)(maps.Watch(t.Context(), metav1.ListOptions{LabelSelector: "colour=red"}))
	defer red.Stop()
	named := must[watch.Interface](t)(maps.Watch(t.Context(), metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "a").String()}))
	defer named.Stop()
	put(t, l.store, "a", "2", map[string]string{"colour": "red"})
	put(t, l.store, "b", "1", nil)
	put(t, l.store, "a", "3", map[string]string{"colour": "blue"})
	if err := l.store.Delete(mapsResource, "default", "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		watch watch.Interface
		want  []string
	}{
		{all, []string{"MODIFIED a 2", "ADDED b 1", "MODIFIED a 3", "DELETED a 3"}},
		{red, []string{"ADDED a 2", "DELETED a 3"}}, // it stopped being red
		{named, []string{"ADDED a 1", "MODIFIED a 2", "MODIFIED a 3", "DELETED a 3"}},
	} {
		for _, want := range tc.want {
			if got := next(t, tc.watch); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	for i := range 3000 { // more than is remembered
		put(t, l.store, "b", fmt.Sprint(i), nil)
	}
	if w, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first}); err == nil {
		defer w.Stop()
		t.Errorf("a watch from long ago: %s", next(t, w))
	} else if !apierrors.IsResourceExpired(err) {
		t.Errorf("%v", err)
	}
	short := must[watch.Interface](t)(maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: fmt.Sprint(l.store.Revision()), TimeoutSeconds: new(int64(1))}))
	if got := next(t, short); got != "ended: true" {
		t.Errorf("after its time: %s", got)
	}
}

func TestInformerSurvivesRestarts(t *testing.T) {
	l := start(t)
	put(t, l.store, "a", "1", nil)
	factory := informers.NewSharedInformerFactory(l.client, 0)
	informer := factory.Core().V1().ConfigMaps()
	lister := informer.Lister().ConfigMaps("default")
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	has := func(name, n string) {
		t.Helper()
		wait(t, func() string {
			if m, err := lister.Get(name); err != nil || m.Data["n"] != n {
				return fmt.Sprintf("%s has %v, want %s: %v", name, m, n, err)
			}
			return ""
		})
	}
	has("a", "1")
	put(t, l.store, "b", "1", nil)
	has("b", "1")
	if err := l.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.server.Start(t.Context(), "v1.35.0"); err != nil {
		t.Fatal(err)
	}
	put(t, l.store, "b", "2", nil)
	has("b", "2")
	raw := must[[]byte](t)(l.store.MarshalJSON())
	if err := l.store.UnmarshalJSON(raw); err != nil { // everybody has to list again
		t.Fatal(err)
	}
	put(t, l.store, "a", "3", nil)
	has("a", "3")
}

func TestRetryWatch(t *testing.T) {
	l := start(t)
	first := put(t, l.store, "a", "1", nil)
	w := must[*toolswatch.RetryWatcher](t)(toolswatch.NewRetryWatcherWithContext(t.Context(), first, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return l.client.CoreV1().ConfigMaps("default").Watch(ctx, o)
		},
	}))
	defer w.Stop()
	put(t, l.store, "a", "2", nil)
	if got := next(t, w); got != "MODIFIED a 2" {
		t.Error(got)
	}
	l.server.Kill()
	put(t, l.store, "a", "3", nil)
	if err := l.server.Start(t.Context(), "v1.34.4"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, w); got != "MODIFIED a 3" {
		t.Error(got)
	}
}

// Whoever lists and then watches sees every change once and in order, however
// many write meanwhile.
func TestWatchersSeeTheSameOrder(t *testing.T) {
	l := start(t)
	list := must[*corev1.ConfigMapList](t)(l.client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}))
	var watchers []watch.Interface
	for range 3 {
		w := must[watch.Interface](t)(l.client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion}))
		defer w.Stop()
		watchers = append(watchers, w)
	}
	const writers, each = 4, 50
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				put(t, l.store, fmt.Sprintf("m-%d", i), fmt.Sprint(n), nil)
			}
		})
	}
	writing.Wait()
	seen := make([][]string, len(watchers))
	for i, w := range watchers {
		for range writers * each {
			seen[i] = append(seen[i], next(t, w))
		}
	}
	for i := range seen {
		if !slices.Equal(seen[i], seen[0]) {
			t.Errorf("watcher %d saw another order", i)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	s := apiserver.NewStore()
	pods, endPods := s.Subscribe(podsResource)
	node, endNode := s.Changes("w-1")
	told := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	must[*corev1.Pod](t)(apiserver.Create(s, podsResource, pod("default", "other", "w-2")))
	put(t, s, "map", "1", nil)
	if !told(pods) || told(pods) || told(node) {
		t.Error("a pod elsewhere")
	}
	must[*corev1.Pod](t)(apiserver.Create(s, podsResource, pod("default", "mine", "w-1")))
	if !told(pods) || !told(node) {
		t.Error("a pod here")
	}
	endPods()
	endNode()
	if err := s.Delete(podsResource, "default", "mine", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if told(pods) || told(node) {
		t.Error("told after the end")
	}
}

// wait waits until nothing is missing.
func wait(t testing.TB, missing func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		text := missing()
		if text == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("still: %s", text)
		case <-tick.C:
		}
	}
}
