package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// restoreBack is a hop that is taken back by restoring its snapshot, twice: stopped in
// the etcd stage, and complete with every API server dead.
type restoreBack struct {
	*hop
	watch *sandboxWatch
}

func runRollbackHopRestore(ctx context.Context, e *env) error {
	r := &restoreBack{hop: newHop(e)}
	err := r.inOrder(ctx, "==", []part{
		{"prepare", r.prepare}, {"suspend the CronJobs", r.suspend}, {"init and plan", r.plan},
		{"a: stopped in the etcd stage", r.early}, {"b: complete, and the API dead", r.complete},
	})
	if err != nil {
		return err
	}
	r.printTable("What was measured", append([][]string{{"what", "result"}}, r.summary...))
	return nil
}

// suspend keeps Jobs from being made: what controllers do by themselves between two
// looks is nobody's loss. CoreDNS leaves the control planes, so that nothing on them is
// evicted in part a.
func (r *restoreBack) suspend(ctx context.Context) error {
	list, err := r.client.BatchV1().CronJobs("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, j := range list.Items {
		if _, err := r.client.BatchV1().CronJobs(j.Namespace).Patch(ctx, j.Name, types.StrategicMergePatchType, []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	const away = `{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"node-role.kubernetes.io/control-plane","operator":"DoesNotExist"}]}]}}}}}}}`
	if _, err := r.client.AppsV1().Deployments(systemNamespace).Patch(ctx, "coredns", types.StrategicMergePatchType, []byte(away), metav1.PatchOptions{}); err != nil {
		return err
	}
	wait(ctx, 20*time.Second) // Jobs under way come to their end
	return r.settled(ctx, settleTimeout)
}

// early has kup asked to stop when two members have moved, and takes the hop back.
func (r *restoreBack) early(ctx context.Context) error {
	return r.thereAndBack(ctx, "a", func(ctx context.Context) error {
		p, err := r.kup.start(ctx, prefixed(r.out, "kup apply | "), append(r.applyArgs(), "--rollback-on-failure", "never")...)
		if err != nil {
			return err
		}
		err = poll(ctx, glance, func(context.Context) error {
			if p.ended() {
				return nil
			}
			lines, err := r.kup.journal()
			if err != nil {
				return err
			}
			if n := movedMembers(standing(lines)); n < 2 {
				return fmt.Errorf("%d members have moved", n)
			}
			return nil
		})
		if err == nil && !p.ended() {
			err = p.signal(os.Interrupt)
		}
		o, waitErr := p.wait()
		r.printf("kup apply, interrupted: exit code %d", o.code)
		lines, journalErr := r.kup.journal()
		moved := movedMembers(standing(lines))
		r.check(moved == 2, "a: %d members have moved, not two", moved)
		return errors.Join(err, waitErr, journalErr)
	}, false)
}

// movedMembers counts the etcd steps that are done.
func movedMembers(s steps) int {
	n := 0
	for id, l := range s {
		if strings.Contains(id, "/etcd/") && strings.HasSuffix(id, "/etcd") && l.Kind == "step-after" && l.Outcome == "done" {
			n++
		}
	}
	return n
}

// complete does the whole hop, kills every API server, and takes it back from SSH alone.
func (r *restoreBack) complete(ctx context.Context) error {
	o, err := r.kup.run(ctx, prefixed(r.out, "kup plan | "), "plan", "-f", r.lab.Inventory(), "--to", "v"+r.to, "--out", r.planFile)
	if err != nil {
		return err
	}
	if o.code != exitDone {
		return fmt.Errorf("%s after the first rollback: exit code %d: %s", o, o.code, o.errorLine())
	}
	return r.thereAndBack(ctx, "b", func(ctx context.Context) error {
		o, err := r.kup.run(ctx, prefixed(r.out, "kup apply | "), r.applyArgs()...)
		if err != nil {
			return err
		}
		return o.failure()
	}, true)
}

// thereAndBack goes up as far as there says, writes data, goes back, and judges.
func (r *restoreBack) thereAndBack(ctx context.Context, part string, there func(context.Context) error, dead bool) error {
	before, err := r.lookAround(ctx)
	if err != nil {
		return err
	}
	if err := there(ctx); err != nil {
		return err
	}
	if err := r.settled(ctx, settleTimeout); err != nil {
		return fmt.Errorf("part %s, before the rollback: %w", part, err)
	}
	if err := r.write(ctx, part); err != nil {
		return err
	}
	late, err := r.lookAround(ctx)
	if err != nil {
		return err
	}
	if dead {
		if err := r.killServers(ctx); err != nil {
			return err
		}
	}
	announced, err := r.announced(ctx, part, dead)
	if err != nil {
		return err
	}
	t := r.startOutage(ctx)
	r.watch = r.startSandboxWatch(ctx)
	o, runErr := r.kup.run(ctx, prefixed(r.out, "kup rollback | "), "rollback", "-f", r.lab.Inventory(), "--scope", "data", "--accept-data-loss", "--yes", acceptNotices)
	r.watch.end()
	service, api := t.end()
	r.check(api > 0, "part %s: the API was never away: the outage was not measured", part)
	r.check(o.code == exitRolledBack, "part %s: kup rollback: exit code %d: %s", part, o.code, o.errorLine())
	if err := errors.Join(runErr, r.settled(ctx, settleTimeout)); err != nil {
		return fmt.Errorf("part %s, after the rollback: %w", part, err)
	}
	after, err := r.lookAround(ctx)
	if err != nil {
		return err
	}
	r.sum(part+": the service was away", "%.1f s", service.Seconds())
	r.sum(part+": the API was away", "%.1f s", api.Seconds())
	r.judgeIdentities(part)
	return r.judgeRestore(part, announced, before, late, after)
}

// write changes, creates and deletes behind the snapshot.
func (r *restoreBack) write(ctx context.Context, part string) error {
	maps := r.client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	for i := range 20 {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("since-%s-%d", part, i)}, Data: map[string]string{"n": fmt.Sprint(i)}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	_, err := r.client.CoreV1().Namespaces().Patch(ctx, metav1.NamespaceDefault, types.MergePatchType, []byte(`{"metadata":{"labels":{"since":"`+part+`"}}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	// The restored cluster has it again, whoever made it.
	err = r.client.CoreV1().ConfigMaps(metav1.NamespacePublic).Delete(ctx, "cluster-info", metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// killServers takes the manifests of all API servers away, and waits until none runs.
func (r *restoreBack) killServers(ctx context.Context) error {
	for _, n := range r.lab.Nodes() {
		if n.Role != "control-plane" {
			continue
		}
		if _, err := r.lab.Exec(ctx, n.Name, "mv", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/root/"); err != nil {
			return err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return poll(bounded, time.Second, func(ctx context.Context) error {
		for _, n := range r.lab.Nodes() {
			out, err := r.lab.Exec(ctx, n.Name, "crictl", "ps", "-q", "--name", "^kube-apiserver$")
			if err != nil {
				return err
			}
			if strings.TrimSpace(out) != "" {
				return fmt.Errorf("the API server of %s runs", n.Name)
			}
		}
		return nil
	})
}

// look is what there is at one time.
type look struct {
	objects  *Snapshot
	revision string
	pods     map[string]podSeen  // of the API, by uid; static pods left out
	up       map[string]podSeen  // sandboxes on the nodes, by uid
	restarts map[string]int32    // by uid
	parts    map[string][]string // sandbox and running containers of what is up, by uid
}

// podSeen is a pod on a node.
type podSeen struct{ namespace, name, node string }

func (p podSeen) String() string { return p.namespace + "/" + p.name + " on " + p.node }

func (r *restoreBack) lookAround(ctx context.Context) (*look, error) {
	l := &look{pods: map[string]podSeen{}, up: map[string]podSeen{}, restarts: map[string]int32{}, parts: map[string][]string{}}
	var err error
	if l.objects, err = takeSnapshot(ctx, r.client.Discovery(), r.dynamic, nil); err != nil {
		return nil, err
	}
	list, err := r.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	l.revision = list.ResourceVersion
	for _, p := range list.Items {
		if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror || p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		l.pods[string(p.UID)] = podSeen{p.Namespace, p.Name, p.Spec.NodeName}
		for _, c := range p.Status.ContainerStatuses {
			l.restarts[string(p.UID)] += c.RestartCount
		}
	}
	for _, n := range r.lab.Nodes() {
		if err := r.lookAtNode(ctx, n.Name, l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// equalSandboxes holds the nodes against the API: a pod on a node, and nothing else.
func (r *restoreBack) equalSandboxes(part string, l *look) {
	for uid, p := range l.pods {
		if l.up[uid] != p {
			r.check(false, "part %s: pod %s of the API is not up there", part, p)
		}
	}
	for uid, p := range l.up {
		if _, known := l.pods[uid]; !known {
			r.check(false, "part %s: sandbox %s is no pod of the API", part, p)
		}
	}
	r.sum(part+": sandboxes on the nodes", "%d, as the API's pods", len(l.up))
}

// sortedStrings gives the elements of a set as text, sorted.
func sortedStrings[K comparable](set map[K]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, fmt.Sprint(k))
	}
	slices.Sort(out)
	return out
}
