package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/workload"
)

// lookAtNode asks a node's runtime which pods of the API are up, and which containers
// of theirs run; static pods are left out.
func (r *restoreBack) lookAtNode(ctx context.Context, node string, l *look) error {
	raw, err := r.lab.Exec(ctx, node, "crictl", "pods", "--state", "ready", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			ID       string `json:"id"`
			Metadata struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
				UID       string `json:"uid"`
			} `json:"metadata"`
			Annotations map[string]string `json:"annotations"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return fmt.Errorf("%s: crictl pods: %w", node, err)
	}
	for _, s := range list.Items {
		if s.Annotations["kubernetes.io/config.source"] == "file" {
			continue
		}
		l.up[s.Metadata.UID] = podSeen{s.Metadata.Namespace, s.Metadata.Name, node}
		l.parts[s.Metadata.UID] = append(l.parts[s.Metadata.UID], s.ID)
	}
	raw, err = r.lab.Exec(ctx, node, "crictl", "ps", "--state", "running", "-o", "json")
	if err != nil {
		return err
	}
	containers, err := readContainers([]byte(raw))
	if err != nil {
		return fmt.Errorf("%s: crictl ps: %w", node, err)
	}
	for _, c := range containers {
		if uid := c.Labels[labelPodUID]; l.parts[uid] != nil {
			l.parts[uid] = append(l.parts[uid], c.ID)
		}
	}
	return nil
}

const (
	labelPodUID  = "io.kubernetes.pod.uid"
	labelPodName = "io.kubernetes.pod.name"
)

// container is one that crictl ps tells of.
type container struct {
	ID        string            `json:"id"`
	CreatedAt string            `json:"createdAt"` // nanoseconds since 1970
	Labels    map[string]string `json:"labels"`
}

func readContainers(raw []byte) ([]container, error) {
	var list struct {
		Containers []container `json:"containers"`
	}
	err := json.Unmarshal(raw, &list)
	return list.Containers, err
}

// stay is a container of a StatefulSet's pod that certainly ran from one time to the
// other, in nanoseconds: it was made at the first, and seen running after the second.
type stay struct {
	pod, where string
	from, to   int64
}

// sandboxWatch looks at every node about once a second.
type sandboxWatch struct {
	stop  context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex
	looks map[string]int   // by node
	seen  map[string]*stay // by container
}

// startSandboxWatch begins to look at the running containers of the workload's
// StatefulSet, whose pods' names end with a number. The nodes share one clock.
func (r *restoreBack) startSandboxWatch(ctx context.Context) *sandboxWatch {
	ctx, stop := context.WithCancel(ctx)
	w := &sandboxWatch{stop: stop, looks: map[string]int{}, seen: map[string]*stay{}}
	for _, n := range r.lab.Nodes() {
		w.done.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				// The time is the node's, asked in the same breath.
				raw, err := r.lab.Exec(ctx, n.Name, "sh", "-c", `date +%s%N && crictl ps --state running --label io.kubernetes.pod.namespace=`+workload.Namespace+` -o json`)
				if err == nil {
					w.add(n.Name, raw)
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	return w
}

// add takes a look into account.
func (w *sandboxWatch) add(node, raw string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(raw), "\n")
	at, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return
	}
	containers, err := readContainers([]byte(rest))
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks[node]++
	for _, c := range containers {
		name := c.Labels[labelPodName]
		from, err := strconv.ParseInt(c.CreatedAt, 10, 64)
		if err != nil || !strings.HasPrefix(name, "ledger-") {
			continue
		}
		if w.seen[c.ID] == nil {
			w.seen[c.ID] = &stay{pod: name, where: c.Labels[labelPodUID] + " on " + node, from: from, to: from}
		}
		w.seen[c.ID].to = max(w.seen[c.ID].to, at)
	}
}

// end stops looking.
func (w *sandboxWatch) end() {
	w.stop()
	w.done.Wait()
}

// twice tells of pods that ran in two containers at one time. Each pod has one.
func (w *sandboxWatch) twice() []string {
	stays := make([]stay, 0, len(w.seen))
	for _, s := range w.seen {
		stays = append(stays, *s)
	}
	slices.SortFunc(stays, func(a, b stay) int { return cmp.Or(cmp.Compare(a.pod, b.pod), cmp.Compare(a.from, b.from)) })
	var out []string
	last := stay{}
	for _, s := range stays {
		if s.pod == last.pod && s.from < last.to {
			out = append(out, fmt.Sprintf("%s: %s from %s, while %s ran until %s at least", s.pod, s.where, clockTime(s.from), last.where, clockTime(last.to)))
		}
		if s.pod != last.pod || s.to > last.to {
			last = s
		}
	}
	return out
}

func clockTime(nanoseconds int64) string {
	return time.Unix(0, nanoseconds).UTC().Format("15:04:05.000")
}

// judgeIdentities wants every pod of a StatefulSet once at most at any time.
func (r *restoreBack) judgeIdentities(part string) {
	w := r.watch
	for _, n := range r.lab.Nodes() {
		r.check(w.looks[n.Name] > 0, "part %s: the containers of %s were never seen", part, n.Name)
	}
	r.check(len(w.seen) > 0, "part %s: no pod of a StatefulSet was seen on the nodes", part)
	for _, what := range w.twice() {
		r.check(false, "part %s: a StatefulSet pod ran twice: %s", part, what)
	}
	r.sum(part+": StatefulSet pods", "%d containers of them seen, none while another of its name ran; looks at each node: %v", len(w.seen), w.looks)
}
