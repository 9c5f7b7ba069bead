package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hopBack is a complete hop that goes back while traffic runs.
type hopBack struct {
	*hop
	// roll takes it back and gives how kup ended.
	roll func(context.Context) (outcome, error)
	// configs are what kubeadm's objects said before the hop.
	configs map[string]string
	// files are the digests of nodes' files before the hop, by node and file.
	files   map[string]map[string]string
	hopped  map[string]hostFacts // after the hop
	written *Snapshot            // after what was written meanwhile
	turns   []string             // in which things went back, as the API told
	back    outcome
}

func runRollbackHopKeep(ctx context.Context, e *env) error {
	return newHopBack(e).run(ctx)
}

func newHopBack(e *env) *hopBack {
	b := &hopBack{hop: newHop(e)}
	b.drive = b.thereAndBack
	b.roll = func(ctx context.Context) (outcome, error) {
		return b.kup.run(ctx, prefixed(b.out, "kup rollback | "), b.rollbackArgs()...)
	}
	return b
}

func (b *hopBack) run(ctx context.Context) error {
	return b.inOrder(ctx, "==", []part{
		{"prepare", b.prepare}, {"init and plan", b.plan}, {"apply and roll back under traffic", b.apply}, {"judge", b.judgeBack},
	})
}

func (b *hopBack) rollbackArgs() []string {
	return []string{"rollback", "-f", b.lab.Inventory(), "--scope", "hop", "--yes", acceptNotices}
}

// thereAndBack is the hop, what is written after it, the refusal, and the way back.
func (b *hopBack) thereAndBack(ctx context.Context, t *traffic) error {
	var err error
	if b.configs, err = b.kubeadmObjects(ctx); err != nil {
		return err
	}
	if b.files, err = b.nodeFiles(ctx); err != nil {
		return err
	}
	if err := b.applyOnce(ctx, t); err != nil || b.applied.code != exitDone {
		return err
	}
	if err := b.settled(ctx, settleTimeout); err != nil {
		return fmt.Errorf("after the hop: %w", err)
	}
	if err := b.judgeHopped(ctx); err != nil {
		return err
	}
	if err := b.writeMeanwhile(ctx); err != nil {
		return err
	}
	if err := b.refused(ctx); err != nil {
		return err
	}
	if b.written, err = takeSnapshot(ctx, b.client.Discovery(), b.dynamic, nil); err != nil {
		return err
	}
	watched, stop := context.WithCancel(ctx)
	seen := make(chan []string, 1)
	go func() { seen <- b.watchTurns(watched) }()
	b.back, err = b.roll(ctx)
	stop()
	b.turns = <-seen
	return err
}

// kubeadmObjects are the objects that a hop changes, by what they say: the add-ons are
// read before the configurations.
func (b *hopBack) kubeadmObjects(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	proxy, err := b.client.AppsV1().DaemonSets(systemNamespace).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	dns, err := b.client.AppsV1().Deployments(systemNamespace).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for name, spec := range map[string]*corev1.PodSpec{"DaemonSet kube-proxy": &proxy.Spec.Template.Spec, "Deployment coredns": &dns.Spec.Template.Spec} {
		raw, err := json.Marshal(spec)
		if err != nil {
			return nil, err
		}
		out[name] = string(raw)
	}
	for _, name := range []string{"kube-proxy", "coredns", "kubelet-config", "kubeadm-config"} {
		m, err := b.client.CoreV1().ConfigMaps(systemNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		out["ConfigMap "+name] = fmt.Sprint(m.Data)
	}
	return out, nil
}

const writtenMeanwhile = "written-meanwhile"

// writeMeanwhile makes objects that only the time between hop and rollback knows.
func (b *hopBack) writeMeanwhile(ctx context.Context) error {
	for i := range 20 {
		_, err := b.client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", writtenMeanwhile, i), Labels: map[string]string{"e2e": writtenMeanwhile}},
			Data:       map[string]string{"n": fmt.Sprint(i)},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// refused plants a field that the older minor lacks, sees the rollback refused with
// nothing touched, and takes the field away again.
func (b *hopBack) refused(ctx context.Context) error {
	const name, field = "rollback-e2e.example.com", "spec.serviceAccountTokenInSecrets"
	drivers := b.client.StorageV1().CSIDrivers()
	in := true
	_, err := drivers.Create(ctx, &storagev1.CSIDriver{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		// The field needs an audience to give tokens for.
		Spec: storagev1.CSIDriverSpec{TokenRequests: []storagev1.TokenRequest{{Audience: "e2e"}}, ServiceAccountTokenInSecrets: &in},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a CSIDriver with a field of 1.35: %w", err)
	}
	before, err := b.fingerprints(ctx)
	if err != nil {
		return err
	}
	o, err := b.kup.run(ctx, prefixed(b.out, "kup rollback, refused | "), b.rollbackArgs()...)
	if err != nil {
		return err
	}
	b.check(o.code == exitUsage, "a rollback that loses a field: exit code %d, want %d: %s", o.code, exitUsage, o.errorLine())
	for _, word := range []string{name, field, "--accept-data-loss"} {
		b.check(strings.Contains(o.output(), word), "the refused rollback does not name %s", word)
	}
	after, err := b.fingerprints(ctx)
	if err != nil {
		return err
	}
	for _, change := range changed(before, after) {
		b.check(false, "a refused rollback touched %s", change)
	}
	b.sum("rollback with a field of 1.35 in use", "refused, exit code %d; named: %s of CSIDriver %s", o.code, field, name)
	return drivers.Delete(ctx, name, metav1.DeleteOptions{})
}

// watchTurns writes down what changed its version, in the order in which the API tells
// of it, until ctx ends. A question that fails is asked again.
func (b *hopBack) watchTurns(ctx context.Context) []string {
	var turns []string
	last, err := b.versionsNow(ctx)
	if err != nil {
		last = map[string]string{}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return turns
		case <-tick.C:
		}
		now, err := b.versionsNow(ctx)
		if err != nil {
			continue
		}
		var together []string
		for _, what := range sortedNames(now) {
			if was, known := last[what]; known && was != now[what] {
				together = append(together, what)
			}
		}
		// What changed within a second has no order that could be told.
		slices.SortStableFunc(together, func(one, other string) int { return cmp.Compare(b.rank(one), b.rank(other)) })
		turns = append(turns, together...)
		maps.Copy(last, now)
	}
}

// versionsNow are what a rollback takes back, as the API tells of it. What goes back last
// is read first: a look that lasts while two things go back then never sees the later
// one alone.
func (b *hopBack) versionsNow(ctx context.Context) (map[string]string, error) {
	servers, err := b.client.CoreV1().Pods(systemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	if err != nil {
		return nil, err
	}
	nodes, err := b.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out, err := b.kubeadmObjects(ctx)
	if err != nil {
		return nil, err
	}
	for i := range nodes.Items {
		out["kubelet "+nodes.Items[i].Name] = nodes.Items[i].Status.NodeInfo.KubeletVersion
	}
	for i := range servers.Items {
		if p := &servers.Items[i]; len(p.Spec.Containers) > 0 {
			out["API server "+p.Spec.NodeName] = p.Spec.Containers[0].Image
		}
	}
	return out, nil
}
