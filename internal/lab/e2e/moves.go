package e2e

import (
	"fmt"
	"sort"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// systemNamespace holds what the upgrade replaces by design: static pods,
// kube-proxy, CoreDNS.
const systemNamespace = "kube-system"

// sight is what was seen of one pod (one uid).
type sight struct {
	namespace, name, node, uid string
	owner                      string // kind of the controller; empty: none
	// lastAlive is when the pod was last seen without a request to delete it.
	lastAlive time.Time
	// asked is when it was asked to be deleted, zero if that was not seen.
	asked    time.Time
	gone     time.Time
	restarts map[string]restart
}

type restart struct{ first, most int32 }

// pods follows every pod of the cluster. It is safe for concurrent use.
type pods struct {
	mu   sync.Mutex
	seen map[string]*sight
}

func newPods() *pods { return &pods{seen: map[string]*sight{}} }

// observe takes one look at all pods.
func (p *pods) observe(at time.Time, list []corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	here := make(map[string]bool, len(list))
	for i := range list {
		pod := &list[i]
		uid := string(pod.UID)
		here[uid] = true
		s := p.seen[uid]
		if s == nil {
			s = &sight{namespace: pod.Namespace, name: pod.Name, uid: uid, lastAlive: at, restarts: map[string]restart{}}
			if c := metav1.GetControllerOf(pod); c != nil {
				s.owner = c.Kind
			}
			p.seen[uid] = s
		}
		s.gone = time.Time{}
		if pod.Spec.NodeName != "" {
			s.node = pod.Spec.NodeName
		}
		if pod.DeletionTimestamp == nil {
			s.lastAlive = at
		} else {
			// The timestamp is when the pod may be gone at the latest.
			s.asked = pod.DeletionTimestamp.Add(-time.Duration(deref(pod.DeletionGracePeriodSeconds)) * time.Second)
		}
		for _, c := range pod.Status.ContainerStatuses {
			r, known := s.restarts[c.Name]
			if !known {
				r.first = c.RestartCount
			}
			r.most = max(r.most, c.RestartCount)
			s.restarts[c.Name] = r
		}
	}
	for uid, s := range p.seen {
		if !here[uid] && s.gone.IsZero() {
			s.gone = at
		}
	}
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// judgement is what the pods' book says in the end.
type judgement struct {
	Pods int // seen outside kube-system
	// Moved counts pods that left a node while it was drained.
	Moved int
	// Restarts outside kube-system, and Unexplained pods that left a node that
	// was not drained: each is a fault.
	Restarts, Unexplained []string
	// SystemRestarts, SystemReplaced and AwayRestarts (on nodes that the scenario
	// took away) are for information.
	SystemRestarts, SystemReplaced, AwayRestarts int
}

// judge holds the pods against the drains. Pods of Jobs end by themselves; pods
// of DaemonSets never move, not even off a drained node. Where the scenario itself
// took a node away its containers start anew.
func (p *pods) judge(d *drains, gone *away) judgement {
	p.mu.Lock()
	defer p.mu.Unlock()
	var j judgement
	for _, s := range p.seen {
		restarted := s.restarted()
		leaving := !s.gone.IsZero() || !s.asked.IsZero()
		if s.namespace == systemNamespace {
			j.SystemRestarts += len(restarted)
			if leaving {
				j.SystemReplaced++
			}
			continue
		}
		j.Pods++
		if gone.has(s.node) {
			j.AwayRestarts += len(restarted)
		} else {
			j.Restarts = append(j.Restarts, restarted...)
		}
		if !leaving || s.owner == "Job" {
			continue
		}
		from, to := s.left()
		switch {
		case s.owner == "DaemonSet":
			j.Unexplained = append(j.Unexplained, fmt.Sprintf("pod %s/%s of a DaemonSet on %s was replaced at %s",
				s.namespace, s.name, s.node, clock(to)))
		case d.during(s.node, from, to):
			j.Moved++
		default:
			j.Unexplained = append(j.Unexplained, fmt.Sprintf("pod %s/%s left %s at %s, when that node was not drained",
				s.namespace, s.name, s.node, clock(to)))
		}
	}
	sort.Strings(j.Restarts)
	sort.Strings(j.Unexplained)
	return j
}

// left bounds the time at which the pod was told to go.
func (s *sight) left() (from, to time.Time) {
	if !s.asked.IsZero() {
		// The API counts in whole seconds.
		return s.asked, s.asked.Add(time.Second)
	}
	return s.lastAlive, s.gone
}

func (s *sight) restarted() []string {
	var out []string
	for name, r := range s.restarts {
		if r.most > r.first {
			out = append(out, fmt.Sprintf("container %s of %s/%s on %s: %d restarts, %d before",
				name, s.namespace, s.name, s.node, r.most, r.first))
		}
	}
	return out
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.0") }
