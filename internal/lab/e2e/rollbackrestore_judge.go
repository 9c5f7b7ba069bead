package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/workload"
)

// losses are what a rollback announced.
type losses []struct {
	Kind      string `json:"kind"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Node      string `json:"node"`
	Detail    string `json:"detail"`
}

// announced has the rollback planned, refused without the consent to losses, and gives
// what it says is lost.
func (r *restoreBack) announced(ctx context.Context, part string, dead bool) (losses, error) {
	file := filepath.Join(r.dir, "rollback-"+part+".json")
	o, err := r.kup.run(ctx, nil, "rollback", "-f", r.lab.Inventory(), "--scope", "data", "--out", file)
	if err != nil {
		return nil, err
	}
	if o.code != exitDone {
		return nil, fmt.Errorf("%s: exit code %d: %s", o, o.code, o.errorLine())
	}
	refused, err := r.kup.run(ctx, nil, "rollback", "-f", r.lab.Inventory(), "--scope", "data", "--yes", acceptNotices)
	if err != nil {
		return nil, err
	}
	r.check(refused.code == exitUsage && strings.Contains(refused.output(), "--accept-data-loss"), "part %s: without --accept-data-loss: exit code %d: %s", part, refused.code, refused.errorLine())
	r.check(!dead || strings.Contains(o.output(), "the API does not answer"), "part %s: the plan does not say that the API is dead", part)
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var p struct {
		Rollback struct {
			Losses losses `json:"losses"`
		} `json:"rollback"`
	}
	return p.Rollback.Losses, jsonError(file, json.Unmarshal(raw, &p), &p.Rollback.Losses)
}

func jsonError(file string, err error, found *losses) error {
	if err == nil && len(*found) == 0 {
		err = fmt.Errorf("it announces no losses")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// judgeRestore holds what happened against what was announced and against before.
func (r *restoreBack) judgeRestore(part string, said losses, before, late, after *look) error {
	rules, err := ignoreRules()
	if err != nil {
		return err
	}
	c := Compare(before.objects.Objects, after.objects.Objects, rules)
	for _, d := range c.Differences {
		r.check(false, "part %s: object changed: %s", part, d)
	}
	r.sum(part+": objects", "%d compared with before the hop, %d different", c.Compared, c.Objects())
	r.judgeLost(part, said, late, after)
	r.judgePodsOf(part, said, late, after)
	r.equalSandboxes(part, after)
	old, err1 := strconv.ParseInt(late.revision, 10, 64)
	now, err2 := strconv.ParseInt(after.revision, 10, 64)
	r.check(err1 == nil && err2 == nil && now > old, "part %s: resourceVersion %s after %s", part, after.revision, late.revision)
	r.sum(part+": resourceVersion", "%s before the rollback, %s after", late.revision, after.revision)
	if part == "a" {
		r.judgeUntouched(before, after)
	}
	return nil
}

// judgeLost compares the objects that are gone with those announced as created since.
func (r *restoreBack) judgeLost(part string, said losses, late, after *look) {
	gone, told := map[string]bool{}, map[string]bool{}
	name := func(resource, namespace, name string) string { return resource + " " + namespace + "/" + name }
	for key, o := range late.objects.Objects {
		if _, still := after.objects.Objects[key]; still || volatile(key.Resource) {
			continue
		}
		kind, _ := o["kind"].(string)
		if group, _, grouped := strings.Cut(fmt.Sprint(o["apiVersion"]), "/"); grouped {
			kind += "." + group
		}
		gone[name(kind, key.Namespace, key.Name)] = true
	}
	for _, l := range said {
		r.check(l.Kind != "unread", "part %s: the losses could not be read: %s", part, l.Detail)
		if l.Kind == "created" {
			told[name(l.Resource, l.Namespace, l.Name)] = true
		}
	}
	for what := range gone {
		r.check(told[what], "part %s: %s is gone, and that was not announced", part, what)
	}
	for what := range told {
		r.check(gone[what], "part %s: %s was announced to be gone, and is there", part, what)
	}
	r.sum(part+": objects lost", "%d, %d announced", len(gone), len(told))
}

// volatile tells of resources that controllers write by themselves.
func volatile(resource string) bool {
	switch resource {
	case "events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io", "endpoints", "ipaddresses.networking.k8s.io", "csinodes.storage.k8s.io":
		return true
	}
	return strings.HasSuffix(resource, "metrics.k8s.io")
}

// judgePodsOf compares the pods that stopped and started with those announced.
func (r *restoreBack) judgePodsOf(part string, said losses, late, after *look) {
	stopped, started := map[string]bool{}, map[string]bool{}
	for uid, p := range late.up {
		if after.up[uid] != p {
			stopped[p.String()] = true
		}
	}
	for uid, p := range after.up {
		if late.up[uid] != p {
			started[p.String()] = true
		}
	}
	stops, starts := map[string]bool{}, map[string]bool{}
	for _, l := range said {
		at := podSeen{l.Namespace, l.Name, l.Node}.String()
		switch l.Kind {
		case "stops":
			stops[at] = true
		case "starts":
			starts[at] = true
		case "moves":
			starts[at] = true
			stops[podSeen{l.Namespace, l.Name, strings.TrimPrefix(l.Detail, "from ")}.String()] = true
		}
	}
	for _, x := range []struct {
		what            string
		announced, real map[string]bool
	}{{"stop", stops, stopped}, {"start", starts, started}} {
		a, b := sortedStrings(x.announced), sortedStrings(x.real)
		r.check(strings.Join(a, "\n") == strings.Join(b, "\n"), "part %s: pods that %s: announced %v, seen %v", part, x.what, a, b)
	}
	r.sum(part+": pods", "%d stopped, %d started, as announced", len(stopped), len(started))
}

// judgeUntouched wants the same pods, with as many restarts.
func (r *restoreBack) judgeUntouched(before, after *look) {
	for uid, p := range before.pods {
		now, runs := after.pods[uid]
		r.check(runs && now == p, "part a: pod %s is not there any more", p)
		r.check(after.restarts[uid] == before.restarts[uid], "part a: pod %s restarted: %d, was %d", p, after.restarts[uid], before.restarts[uid])
	}
	r.sum("a: pods that restarted", "0 of %d", len(before.pods))
}

// sandboxesOn asks a node's runtime which pods of the API are up, by uid.
func (r *restoreBack) sandboxesOn(ctx context.Context, node string) (map[string]podSeen, error) {
	raw, err := r.lab.Exec(ctx, node, "crictl", "pods", "--state", "ready", "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name, Namespace, UID string
			} `json:"metadata"`
			Annotations map[string]string `json:"annotations"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return nil, fmt.Errorf("%s: crictl pods: %w", node, err)
	}
	out := map[string]podSeen{}
	for _, s := range list.Items {
		if s.Annotations["kubernetes.io/config.source"] != "file" {
			out[s.Metadata.UID] = podSeen{s.Metadata.Namespace, s.Metadata.Name, node}
		}
	}
	return out, nil
}

// identity is a pod of a StatefulSet, by its name, running at some second.
type identity struct {
	second int64
	pod    string // namespace/name
}

// sandboxWatch looks at every node about once a second.
type sandboxWatch struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	seen map[identity]map[string]bool // "uid on node"
}

// startSandboxWatch begins to look at the running containers of the workload's
// StatefulSet, whose pods' names end with a number. The nodes share one clock.
func (r *restoreBack) startSandboxWatch(ctx context.Context) *sandboxWatch {
	ctx, stop := context.WithCancel(ctx)
	w := &sandboxWatch{stop: stop, seen: map[identity]map[string]bool{}}
	for _, n := range r.lab.Nodes() {
		w.done.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				// The second is the node's, asked in the same breath.
				raw, err := r.lab.Exec(ctx, n.Name, "sh", "-c", `date +%s; crictl ps --state running --label io.kubernetes.pod.namespace=`+workload.Namespace+` -o json; date +%s`)
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

// add counts a look only when it began and ended in one second: the answer then is of
// that second.
func (w *sandboxWatch) add(node, raw string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(raw), "\n")
	body, last, _ := cutLast(rest, "\n")
	second, err := strconv.ParseInt(first, 10, 64)
	var list struct {
		Containers []struct {
			Labels map[string]string `json:"labels"`
		} `json:"containers"`
	}
	if err != nil || last != first || json.Unmarshal([]byte(body), &list) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range list.Containers {
		name := c.Labels["io.kubernetes.pod.name"]
		if !strings.HasPrefix(name, "ledger-") {
			continue
		}
		id := identity{second, c.Labels["io.kubernetes.pod.namespace"] + "/" + name}
		if w.seen[id] == nil {
			w.seen[id] = map[string]bool{}
		}
		w.seen[id][c.Labels["io.kubernetes.pod.uid"]+" on "+node] = true
	}
}

func cutLast(text, by string) (before, after string, found bool) {
	i := strings.LastIndex(text, by)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(by):], true
}

// end stops looking and gives what was seen.
func (w *sandboxWatch) end() map[identity]map[string]bool {
	w.stop()
	w.done.Wait()
	return w.seen
}

// judgeIdentities wants every pod of a StatefulSet once at most in any second.
func (r *restoreBack) judgeIdentities(part string, seen map[identity]map[string]bool) {
	r.check(len(seen) > 0, "part %s: no pod of a StatefulSet was seen on the nodes", part)
	for id, places := range seen {
		r.check(len(places) == 1, "part %s: StatefulSet pod %s ran more than once at %s: %v", part, id.pod, time.Unix(id.second, 0).UTC().Format(time.TimeOnly), sortedStrings(places))
	}
	r.sum(part+": StatefulSet pods", "%d looks that name one, none of them twice in a second", len(seen))
}

// outages measures how long the web service, and the API, were not there.
type outages struct {
	stop         context.CancelFunc
	done         sync.WaitGroup
	service, api time.Duration
}

// startOutage asks ten times a second: the service through all workers' node ports, one of which
// must answer, the API through the load balancer.
func (r *restoreBack) startOutage(ctx context.Context) *outages {
	ctx, stop := context.WithCancel(ctx)
	o := &outages{stop: stop}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	o.done.Go(func() {
		o.service = away100(ctx, func(ctx context.Context) bool {
			for _, n := range r.lab.Nodes() {
				if n.Role != "control-plane" && answers(ctx, client, fmt.Sprintf("http://%s:%d/", n.IP, workload.WebNodePort)) {
					return true
				}
			}
			return false
		})
	})
	o.done.Go(func() {
		o.api = away100(ctx, func(ctx context.Context) bool {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return r.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
		})
	})
	return o
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it was read as far as it counts
	return resp.StatusCode == http.StatusOK
}

// away100 sums the time between two looks of which the later failed.
func away100(ctx context.Context, there func(context.Context) bool) time.Duration {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var away time.Duration
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return away
		case <-tick.C:
		}
		ok := there(ctx)
		now := time.Now()
		if !ok && ctx.Err() == nil {
			away += now.Sub(last)
		}
		last = now
	}
}

func (o *outages) end() (service, api time.Duration) {
	o.stop()
	o.done.Wait()
	return o.service, o.api
}
