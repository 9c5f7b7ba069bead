package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

const (
	// glance is how often the journal is read: it is a file of this machine.
	glance = 100 * time.Millisecond
	// momentTimeout bounds the waiting for a step to be reached: all that lies
	// before it has to be done first.
	momentTimeout = 45 * time.Minute
	// conditionTimeout bounds the waiting, on the node, for what must hold there.
	conditionTimeout = 6 * time.Minute
)

// moment is a point in a run: a step is under way, and something holds.
type moment struct {
	// step is a pattern of the step's id, without the hop or with it:
	// "control-plane/cp-1/apply", "etcd/*/etcd".
	step string
	// after means the time after the step and before the next.
	after bool
	// holds returns as soon as the condition does, and says what was seen on the
	// step's node; nil: the step is enough.
	holds func(ctx context.Context, node string) (seen string, err error)
}

// sighting is a moment that came.
type sighting struct {
	step, node, seen string
}

// errMissed tells that a moment will not come any more.
var errMissed = errors.New("the moment has passed")

// reached gives the step of the moment when it is now.
func (m moment) reached(now steps) string {
	if m.after {
		return now.over(m.step)
	}
	return now.open(m.step)
}

// several says whether more than one step may match.
func (m moment) several() bool { return strings.Contains(m.step, "*") }

// nodeOf is the node of a step's id: "1.34/workers/w-1/drain".
func nodeOf(step string) string {
	if parts := strings.Split(step, "/"); len(parts) == 4 {
		return parts[2]
	}
	return ""
}

// await returns when the moment is now. alive says whether anybody still works
// towards it. errMissed when it will not come any more.
func (e *env) await(ctx context.Context, b *binary, alive func() bool, m moment) (sighting, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, momentTimeout, fmt.Errorf("step %s was not reached within %s", m.step, momentTimeout))
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		// Asked first: what it wrote before its end must be seen.
		ended := !alive()
		lines, err := b.journal()
		if err != nil {
			return sighting{}, err
		}
		now := standing(lines)
		if step := m.reached(now); step != "" {
			s := sighting{step: step, node: nodeOf(step)}
			// Where several steps match, another one may still come.
			if err := e.condition(ctx, b, m, &s); !m.several() || !errors.Is(err, errMissed) {
				return s, err
			}
		}
		if !m.after && !m.several() && now.over(m.step) != "" {
			return sighting{}, fmt.Errorf("step %s: %w", m.step, errMissed)
		}
		if ended {
			return sighting{}, fmt.Errorf("kup ended before step %s was reached: %w", m.step, errMissed)
		}
		select {
		case <-ctx.Done():
			return sighting{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// awaitFirst awaits one moment after the other until one was not missed.
func (e *env) awaitFirst(ctx context.Context, b *binary, alive func() bool, moments []moment) (sighting, error) {
	var missed []error
	for _, m := range moments {
		s, err := e.await(ctx, b, alive, m)
		if !errors.Is(err, errMissed) {
			return s, err
		}
		missed = append(missed, err)
	}
	return sighting{}, errors.Join(missed...)
}

// condition waits for what must hold besides, for as long as the step lasts.
func (e *env) condition(ctx context.Context, b *binary, m moment, s *sighting) error {
	if m.holds == nil {
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(glance)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if lines, err := b.journal(); err == nil && standing(lines).over(s.step) != "" {
				stop(fmt.Errorf("step %s was over before its condition was seen: %w", s.step, errMissed))
				return
			}
		}
	})
	var err error
	s.seen, err = m.holds(ctx, s.node)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	stop(nil)
	watching.Wait()
	return err
}

// running is what matters of a node's processes: name, pid, seconds since start.
const running = `ps -C kubeadm,apt-get,dpkg,kube-apiserver,etcd,kubelet -o comm=,pid=,etimes= | tr -s ' ' | tr '\n' ','`

// onNode waits, on the node, until a condition in shell holds; the shell runs
// begin once before.
func (e *env) onNode(begin, condition string) func(context.Context, string) (string, error) {
	script := waitScript(begin, condition)
	return func(ctx context.Context, node string) (string, error) {
		out, err := e.lab.Exec(ctx, node, "sh", "-c", script, "sh", fmt.Sprintf("%.0f", conditionTimeout.Seconds()))
		if err != nil {
			return "", fmt.Errorf("wait on %s for its condition: %w", node, err)
		}
		return processes(out), nil
	}
}

func waitScript(begin, condition string) string {
	return begin + `
end=$(($(date +%s) + $1))
until ` + condition + `; do
	[ "$(date +%s)" -lt "$end" ] || { echo 'the condition was not seen' >&2; exit 1; }
	sleep 0.05
done
` + running
}

// processes makes the output of running readable: "kubeadm 4711 (12 s)".
func processes(text string) string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if f := strings.Fields(part); len(f) == 3 {
			out = append(out, fmt.Sprintf("%s %s (%s s)", f[0], f[1], f[2]))
		}
	}
	return strings.Join(out, ", ")
}

// runningOn is what runs on a node now.
func (e *env) runningOn(ctx context.Context, node string) (string, error) {
	out, err := e.lab.Exec(ctx, node, "sh", "-c", running)
	return processes(out), err
}

// Conditions in shell, and what some of them want to begin with. That a program
// runs is asked by its name.
const (
	// A program restarts when it is not there or has not been there for long.
	restarting = `restarting() {
	age=$(ps -C "$1" -o etimes= | sort -n | head -n 1)
	[ "$((age))" -lt 5 ]
}`
	kubeadmRuns       = `pgrep -x kubeadm >/dev/null`
	upgradesAPIServer = kubeadmRuns + ` && restarting kube-apiserver`
	upgradesEtcd      = kubeadmRuns + ` && restarting etcd`
	// dpkg has short lives, too, in which it installs nothing.
	dpkgInstalls = `pgrep -f '^(/usr/bin/)?dpkg .*--(unpack|configure)' >/dev/null`
	aptInstalls  = `pgrep -f '^apt-get install |^(/usr/bin/)?dpkg .*--(unpack|configure)' >/dev/null`
	// The old kubelet runs on while its file is the new one, or has just ended.
	oldKubelet     = `old=$(systemctl show kubelet -p MainPID --value)`
	kubeletSwapped = `case $(readlink "/proc/$old/exe") in '' | *.dpkg-tmp | *deleted*) true ;; *) false ;; esac`
)

// evicting waits until pods are on their way off the node.
func (e *env) evicting(ctx context.Context, node string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, conditionTimeout, fmt.Errorf("no pod was evicted from %s within %s", node, conditionTimeout))
	defer cancel()
	var seen string
	err := poll(ctx, glance, func(ctx context.Context) error {
		list, err := e.podsOn(ctx, node)
		if err != nil {
			return err
		}
		if seen = leaving(list); seen == "" {
			return fmt.Errorf("no pod is leaving %s", node)
		}
		return nil
	})
	return seen, err
}

func (e *env) podsOn(ctx context.Context, node string) ([]corev1.Pod, error) {
	list, err := e.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("pods on %s: %w", node, err)
	}
	return list.Items, nil
}

// leaving names the pods that were told to go.
func leaving(list []corev1.Pod) string {
	var out []string
	for i := range list {
		p := &list[i]
		if c := metav1.GetControllerOf(p); p.DeletionTimestamp != nil && (c == nil || c.Kind != "Job") {
			out = append(out, p.Namespace+"/"+p.Name)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "being evicted: " + strings.Join(out, ", ")
}
