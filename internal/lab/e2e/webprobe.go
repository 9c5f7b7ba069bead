package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/lab/workload"
	"github.com/kup-project/kup/internal/lab/workload/probe"
	"github.com/kup-project/kup/internal/lab/workload/role"
)

const (
	// minRate is the least number of requests a second that proves anything.
	minRate = 20
	// outsideEvery asks often enough to stay above minRate on a busy machine.
	outsideEvery = 40 * time.Millisecond
	keptEvery    = 200 * time.Millisecond
	webTimeout   = 2 * time.Second
	// insideRate is shared by the probers of all nodes, new connections only.
	insideRate = 24
)

// outsideProbe asks the web Deployment through the node port of nodes that are
// not being drained, until ctx is done.
func outsideProbe(ctx context.Context, targets func() []string, rec *probe.Recorder) {
	var wg sync.WaitGroup
	for _, cfg := range []probe.Config{
		{Name: role.ProbeNew, Every: outsideEvery, Timeout: webTimeout},
		{Name: role.ProbeKept, Every: keptEvery, Timeout: webTimeout, Kept: true},
	} {
		asker := role.Web(cfg.Name, targets, rec)
		wg.Go(func() {
			defer asker.Close()
			probe.Run(ctx, cfg, asker, rec)
		})
	}
	wg.Wait()
}

// insidePeriod makes the probers of all nodes together reach insideRate.
func insidePeriod(nodes int) time.Duration {
	return time.Duration(nodes) * time.Second / insideRate
}

// insideCounters are the accounts of the in-cluster probers, by pod uid.
type insideCounters map[string]podReport

type podReport struct {
	Pod, Node string
	probe.Report
}

// askInside reads the account of every in-cluster prober through the API.
func askInside(ctx context.Context, client kubernetes.Interface) (insideCounters, error) {
	pods, err := client.CoreV1().Pods(workload.Namespace).List(ctx, metav1.ListOptions{LabelSelector: workload.ProbeLabel})
	if err != nil {
		return nil, fmt.Errorf("list the probers' pods: %w", err)
	}
	out := insideCounters{}
	for _, p := range pods.Items {
		raw, err := client.CoreV1().Pods(workload.Namespace).
			ProxyGet("http", p.Name, fmt.Sprint(workload.CountersPort), "/counters", nil).DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the counters of pod %s: %w", p.Name, err)
		}
		r := podReport{Pod: p.Name, Node: p.Spec.NodeName}
		if err := json.Unmarshal(raw, &r.Report); err != nil {
			return nil, fmt.Errorf("counters of pod %s: %w", p.Name, err)
		}
		out[string(p.UID)] = r
	}
	return out, nil
}

// without leaves out the probers of nodes that the scenario took away.
func (now insideCounters) without(gone *away) insideCounters {
	out := insideCounters{}
	for uid, r := range now {
		if !gone.has(r.Node) {
			out[uid] = r
		}
	}
	return out
}

// since is what the probers counted between two readings. A prober that is not
// the one of before lost its account, which is an error: it must survive.
func (now insideCounters) since(before insideCounters) (probe.Report, error) {
	var parts []probe.Report
	for uid, old := range before {
		cur, ok := now[uid]
		if !ok {
			return probe.Report{}, fmt.Errorf("the prober %s on %s did not survive", old.Pod, old.Node)
		}
		if cur.Since != old.Since {
			return probe.Report{}, fmt.Errorf("the prober %s on %s started anew", old.Pod, old.Node)
		}
		parts = append(parts, difference(cur, old))
	}
	return probe.Merge(parts...), nil
}

func difference(now, before podReport) probe.Report {
	out := probe.Report{Since: before.Until, Until: now.Until, Probes: map[string]probe.Count{}}
	for name, c := range now.Probes {
		b := before.Probes[name]
		c.Sent -= b.Sent
		c.Failed -= b.Failed
		c.Retried -= b.Retried
		c.Missed -= b.Missed
		c.Connections -= b.Connections
		out.Probes[name] = c
	}
	for _, f := range now.Failures {
		if f.At.After(before.Until) {
			f.Target = f.Target + " from " + now.Node
			out.Failures = append(out.Failures, f)
		}
	}
	return out
}
