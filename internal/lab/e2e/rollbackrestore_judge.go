package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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
	if err := o.failure(); err != nil {
		return nil, err
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
	rules, err := restoreRules()
	if err != nil {
		return err
	}
	c := Compare(before.objects.Objects, after.objects.Objects, rules)
	for _, d := range c.Differences {
		r.check(false, "part %s: object changed: %s", part, d)
	}
	r.sum(part+": objects", "%d compared with before the hop, %d different", c.Compared, c.Objects())
	r.judgeLost(part, said, late, after)
	r.judgeChanged(part, said, late, after, rules)
	r.judgePodsOf(part, said, late, after)
	r.equalSandboxes(part, after)
	old, err1 := strconv.ParseInt(late.revision, 10, 64)
	now, err2 := strconv.ParseInt(after.revision, 10, 64)
	r.check(err1 == nil && err2 == nil && now > old, "part %s: resourceVersion %s after %s", part, after.revision, late.revision)
	r.sum(part+": resourceVersion", "%s before the rollback, %s after", late.revision, after.revision)
	r.judgeSame(part, before, after)
	if part == "a" {
		r.judgeUntouched(before, after)
	}
	return nil
}

// judgeLost compares the objects that are gone with those announced as created since.
func (r *restoreBack) judgeLost(part string, said losses, late, after *look) {
	gone, told := map[string]bool{}, said.named("created")
	for key, o := range late.objects.Objects {
		if _, still := after.objects.Objects[key]; !still && !volatile(key.Resource) {
			gone[objectNamed(key, o)] = true
		}
	}
	for _, l := range said {
		r.check(l.Kind != "unread", "part %s: the losses could not be read: %s", part, l.Detail)
	}
	r.check(told["ConfigMap default/since-"+part+"-0"], "part %s: a ConfigMap that was made since was not announced to be gone", part)
	for what := range gone {
		r.check(told[what], "part %s: %s is gone, and that was not announced", part, what)
	}
	for what := range told {
		r.check(gone[what], "part %s: %s was announced to be gone, and is there", part, what)
	}
	r.sum(part+": objects lost", "%d, %d announced", len(gone), len(told))
}

// named are the objects that were announced to become so.
func (l losses) named(kinds ...string) map[string]bool {
	out := map[string]bool{}
	for _, x := range l {
		if slices.Contains(kinds, x.Kind) {
			out[x.Resource+" "+x.Namespace+"/"+x.Name] = true
		}
	}
	return out
}

// objectNamed names an object as losses do.
func objectNamed(key Key, o map[string]any) string {
	kind, _ := o["kind"].(string)
	if group, _, grouped := strings.Cut(fmt.Sprint(o["apiVersion"]), "/"); grouped {
		kind += "." + group
	}
	return kind + " " + key.Namespace + "/" + key.Name
}

// judgeChanged wants every object that the rollback changed or brought again announced,
// and nothing announced to be there again that was never away.
func (r *restoreBack) judgeChanged(part string, said losses, late, after *look, rules []Rule) {
	told := said.named("created", "changed", "deleted")
	differ := map[string]bool{}
	for _, d := range Compare(late.objects.Objects, after.objects.Objects, rules).Differences {
		o, is := after.objects.Objects[d.Key]
		if !is {
			o = late.objects.Objects[d.Key]
		}
		// What kubelets and controllers report is nobody's wish, and comes again by itself.
		if volatile(d.Resource) || mirror(o) || strings.HasPrefix(d.Path, "status") || strings.HasPrefix(d.Path, "metadata.generation") {
			continue
		}
		if what := objectNamed(d.Key, o); !differ[what] {
			differ[what] = true
			r.check(told[what], "part %s: %s is not as it was before the rollback, and that was not announced: %s", part, what, d)
		}
	}
	again := map[string]bool{}
	for key, o := range after.objects.Objects {
		if _, was := late.objects.Objects[key]; !was && !volatile(key.Resource) && !mirror(o) {
			again[objectNamed(key, o)] = true
		}
	}
	a, b := sortedStrings(said.named("deleted")), sortedStrings(again)
	r.check(slices.Equal(a, b), "part %s: objects that are there again: announced %v, seen %v", part, a, b)
	for _, what := range []string{"ConfigMap kube-public/cluster-info", "Namespace /default"} {
		r.check(differ[what] && told[what], "part %s: %s was changed since: announced %t, taken back %t", part, what, told[what], differ[what])
	}
	r.sum(part+": objects changed, deleted since", "%d taken back, all announced; %d of them are there again", len(differ), len(again))
}

// mirror tells of the objects that kubelets make of static pods.
func mirror(o map[string]any) bool {
	return hasKey(o, "annotations", "kubernetes.io/config.mirror")
}

func hasKey(o map[string]any, field, key string) bool {
	metadata, _ := o["metadata"].(map[string]any)
	pairs, _ := metadata[field].(map[string]any)
	_, has := pairs[key]
	return has
}

// judgeSame wants the pods of before again, not others in their place.
func (r *restoreBack) judgeSame(part string, before, after *look) {
	for uid, p := range before.pods {
		r.check(after.pods[uid] == p, "part %s: pod %s of before (%s) is not there again", part, p, uid)
	}
	for uid, p := range after.pods {
		r.check(before.pods[uid] == p, "part %s: pod %s (%s) was not there before", part, p, uid)
	}
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
	if part == "b" { // both workers were drained
		r.check(len(stopped) > 0 && len(started) > 0, "part b: %d pods stopped, %d started: the drains left no trace", len(stopped), len(started))
	}
	r.sum(part+": pods", "%d stopped, %d started, as announced", len(stopped), len(started))
}

// judgeUntouched wants the same sandboxes and containers, with as many restarts. The API
// alone would not do: what it said of restarts was restored too.
func (r *restoreBack) judgeUntouched(before, after *look) {
	for uid, p := range before.pods {
		slices.Sort(before.parts[uid])
		slices.Sort(after.parts[uid])
		r.check(len(before.parts[uid]) > 1 && slices.Equal(before.parts[uid], after.parts[uid]), "part a: pod %s has the sandbox and containers %v, had %v", p, after.parts[uid], before.parts[uid])
		r.check(after.restarts[uid] == before.restarts[uid], "part a: pod %s restarted: %d, was %d", p, after.restarts[uid], before.restarts[uid])
	}
	r.sum("a: pods that restarted", "0 of %d", len(before.pods))
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
