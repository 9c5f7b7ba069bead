package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubectl/pkg/drain"
)

const (
	defaultDrain = 10 * time.Minute
	// betweenEvictions is the pause after a budget said no, and betweenGlances that
	// of asking whether an evicted pod is gone.
	betweenEvictions = 2 * time.Second
	betweenGlances   = time.Second
	// betweenLooks is how often what still waits is looked at for the notes.
	betweenLooks = 5 * time.Second
	// betweenRounds and maxFailures: when the API answers an eviction with an
	// error of its own, the whole round is tried again.
	betweenRounds = 3 * time.Second
	maxFailures   = 3
	// afterDeadline bounds the look at what is left.
	afterDeadline = 15 * time.Second
)

// DrainOptions say how a node is emptied.
type DrainOptions struct {
	Timeout            time.Duration // of the whole drain; 0: ten minutes
	GracePeriod        time.Duration // negative: each pod's own
	DeleteEmptyDirData bool
	Force              bool // pods without a controller too, which are lost
	// May is asked before every eviction whether this run may still change the
	// cluster; its error ends the drain. nil: it may.
	May func(context.Context) error
	// Pace scales how often is asked, for clusters whose clocks run faster; 0: not
	// at all.
	Pace float64
}

func (o DrainOptions) pace(d time.Duration) time.Duration {
	if o.Pace <= 0 {
		return d
	}
	return max(time.Duration(float64(d)*o.Pace), time.Millisecond)
}

// Drain evicts the node's pods and waits until they are gone. DaemonSets' pods
// and static pods stay; pods are never deleted past their budgets. Note hears,
// from several goroutines, what happens to each pod. The error is a
// *[DrainError] naming what is left, or *[NoEvictionError].
func (c *Client) Drain(ctx context.Context, node string, o DrainOptions, note func(string)) error {
	version, err := drain.CheckEvictionSupport(c.clientset)
	if err != nil {
		return fmt.Errorf("drain node %s: ask the API server about eviction: %w", node, err)
	}
	if version.Empty() {
		return fmt.Errorf("drain node %s: %w", node, &NoEvictionError{})
	}
	if o.Timeout == 0 {
		o.Timeout = defaultDrain
	}
	bounded, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	d := &drainer{client: c, node: node, o: o, version: version, started: map[string]bool{}, note: note}
	waiting, stop := context.WithCancel(bounded)
	var watch sync.WaitGroup
	watch.Go(func() { d.explain(waiting) })
	err = d.rounds(bounded)
	stop()
	watch.Wait()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("drain node %s: %w", node, ctx.Err())
	}
	if lost := new(LostLeaseError); errors.As(err, &lost) {
		return fmt.Errorf("drain node %s: %w", node, lost)
	}
	return d.failed(ctx, bounded, err)
}

// Drained tells whether the node has no pod left that a drain would evict.
func (c *Client) Drained(ctx context.Context, node string) (bool, error) {
	d := &drainer{client: c, node: node, o: DrainOptions{DeleteEmptyDirData: true, Force: true}, note: func(string) {}}
	pods, err := d.left(ctx)
	return err == nil && len(pods) == 0, err
}

type drainer struct {
	client *Client
	node   string
	o      DrainOptions
	// version is how the server wants to be asked for an eviction.
	version schema.GroupVersion

	mutex   sync.Mutex
	started map[string]bool // by "namespace/name uid"
	note    func(string)
}

func (d *drainer) helper(ctx context.Context) *drain.Helper {
	grace := -1
	if d.o.GracePeriod >= 0 {
		grace = int((d.o.GracePeriod + time.Second - 1) / time.Second)
	}
	return &drain.Helper{
		Ctx: ctx, Client: d.client.clientset, Force: d.o.Force, GracePeriodSeconds: grace, IgnoreAllDaemonSets: true,
		Timeout: d.o.Timeout, DeleteEmptyDirData: d.o.DeleteEmptyDirData, ChunkSize: pageSize,
		Out: io.Discard, ErrOut: io.Discard,
	}
}

func (d *drainer) say(text string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.note(text)
}

// rounds evicts until nothing is left: pods that tolerate a cordoned node may
// come back, and an API server may fail in the middle of a round.
func (d *drainer) rounds(ctx context.Context) error {
	failures := 0
	for {
		pods, err := d.evictable(ctx)
		if err == nil {
			if len(pods) == 0 {
				return nil
			}
			if err = d.evictAll(ctx, pods); err == nil {
				continue
			}
			failures++
		}
		if lost := new(LostLeaseError); errors.As(err, &lost) || failures == 0 || failures >= maxFailures || ctx.Err() != nil {
			return err
		}
		if err := d.pause(ctx, betweenRounds); err != nil {
			return err
		}
	}
}

// evictable lists the pods to evict. Pods that the options do not allow to
// evict make it a *DrainError before anything is touched.
func (d *drainer) evictable(ctx context.Context) ([]corev1.Pod, error) {
	list, errs := d.helper(ctx).GetPodsForDeletion(d.node)
	if len(errs) == 0 {
		return list.Pods(), nil
	}
	if list == nil {
		return nil, fmt.Errorf("drain node %s: list its pods: %w", d.node, errs[0])
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return nil, &DrainError{Node: d.node, Err: fmt.Errorf("%s; set drain.force or drain.deleteEmptyDirData of the pool in kup.yaml to lose them", strings.Join(texts, "; "))}
}

// left lists what a drain would still evict, whatever the options allow.
func (d *drainer) left(ctx context.Context) ([]corev1.Pod, error) {
	helper := d.helper(ctx)
	helper.Force, helper.DeleteEmptyDirData = true, true
	list, errs := helper.GetPodsForDeletion(d.node)
	if len(errs) > 0 {
		return nil, fmt.Errorf("list the pods of node %s: %w", d.node, errs[0])
	}
	return list.Pods(), nil
}

// explain says of pods that stay why they do, once per reason.
func (d *drainer) explain(ctx context.Context) {
	ticker := time.NewTicker(d.o.pace(betweenLooks))
	defer ticker.Stop()
	said := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		blocked, err := d.blocked(ctx)
		if err != nil {
			continue // the drain itself reports an API that is gone
		}
		for _, p := range blocked {
			text := p.Namespace + "/" + p.Name + " waits: " + p.Why
			if len(p.Budgets) > 0 && !said[text] {
				said[text] = true
				d.say(text)
			}
		}
	}
}

// blocked gives the pods still there, each with what keeps it.
func (d *drainer) blocked(ctx context.Context) ([]BlockedPod, error) {
	pods, err := d.left(ctx)
	if err != nil || len(pods) == 0 {
		return nil, err
	}
	budgets, err := d.client.budgets(ctx)
	if err != nil {
		budgets = nil // the pods alone are worth telling
	}
	out := make([]BlockedPod, 0, len(pods))
	for i := range pods {
		out = append(out, blockedPod(&pods[i], budgets))
	}
	slices.SortFunc(out, func(a, b BlockedPod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

func blockedPod(pod *corev1.Pod, budgets []budget) BlockedPod {
	out := BlockedPod{Namespace: pod.Namespace, Name: pod.Name, Why: "is still running"}
	if pod.DeletionTimestamp != nil {
		out.Why = "is ending since " + pod.DeletionTimestamp.Add(-graceOf(pod)).UTC().Format(time.TimeOnly) + " UTC"
		if len(pod.Finalizers) > 0 {
			out.Why += " and kept by the finalizers " + strings.Join(pod.Finalizers, ", ")
		}
		return out
	}
	var spent []string
	for _, b := range budgets {
		if b.covers(pod.Namespace, pod.Labels) {
			out.Budgets = append(out.Budgets, b.Name)
			if b.DisruptionsAllowed <= 0 {
				spent = append(spent, b.Name)
			}
		}
	}
	// Whatever they allow, the API refuses the pod.
	// Source: kubernetes pkg/registry/core/pod/storage/eviction.go
	if out.Several = len(out.Budgets) > 1; out.Several {
		out.Why = fmt.Sprintf("has the budgets %s/{%s}, and no pod with more than one can be evicted", pod.Namespace, strings.Join(out.Budgets, ","))
		return out
	}
	if out.Budgets = spent; len(spent) > 0 {
		out.Why = fmt.Sprintf("budget %s/%s allows 0 disruptions", pod.Namespace, spent[0])
	}
	return out
}

func graceOf(pod *corev1.Pod) time.Duration {
	if pod.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
}

// failed makes the error of a drain that did not end well.
func (d *drainer) failed(ctx, bounded context.Context, err error) error {
	if refused := new(DrainError); errors.As(err, &refused) {
		return err
	}
	out := &DrainError{Node: d.node, Err: err}
	if bounded.Err() != nil {
		out.After, out.Err = d.o.Timeout, nil // that time ran out is said by After
	}
	look, cancel := context.WithTimeout(ctx, afterDeadline)
	defer cancel()
	pods, lookErr := d.blocked(look)
	out.Pods = pods
	if lookErr != nil && out.Err == nil {
		out.Err = lookErr
	}
	return out
}

func podName(p metav1.Object) string { return p.GetNamespace() + "/" + p.GetName() }
