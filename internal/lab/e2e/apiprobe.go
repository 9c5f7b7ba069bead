package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kup-project/kup/internal/lab/workload"
	"github.com/kup-project/kup/internal/lab/workload/probe"
)

// Names of the API's probes.
const (
	apiNew     = "get, new connection"
	apiKept    = "get, kept connection"
	apiWrite   = "write"
	apiChecked = "write through the webhook"
)

const (
	apiTimeout = 3 * time.Second
	// A failed request is made once more after apiRetryPause on a new connection
	// and has failed unless that succeeds within apiRetryWithin.
	apiRetryPause  = time.Second
	apiRetryWithin = 5 * time.Second
)

// apiProbe reads and writes through the load balancer until ctx is done. Every
// write is harmless: one renews a Lease, the other is a dry run that the API
// server nevertheless sends to the workload's fail-closed webhook.
func apiProbe(ctx context.Context, cfg *rest.Config, address string, rec *probe.Recorder) error {
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return fmt.Errorf("TLS of the lab's kubeconfig: %w", err)
	}
	const (
		core    = "/api/v1/namespaces/" + workload.Namespace + "/configmaps/"
		lease   = "/apis/coordination.k8s.io/v1/namespaces/" + workload.Namespace + "/leases/" + workload.ProbeLease
		checked = core + workload.CheckedConfigMap
	)
	touch := func() string {
		return fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	label := func() string { return fmt.Sprintf(`{"data":{"value":"%d"}}`, time.Now().UnixNano()) }
	var wg sync.WaitGroup
	for _, p := range []struct {
		name    string
		every   time.Duration
		kept    bool
		request func(ctx context.Context, target string) (*http.Request, error)
	}{
		{apiNew, 200 * time.Millisecond, false, getRequest(core + workload.CanaryConfigMap)},
		{apiKept, 200 * time.Millisecond, true, getRequest(core + workload.CanaryConfigMap)},
		{apiWrite, time.Second, true, patchRequest(lease, touch)},
		{apiChecked, time.Second, true, patchRequest(checked+"?dryRun=All", label)},
	} {
		c := probe.Config{
			Name: p.name, Every: p.every, Timeout: apiTimeout, Kept: p.kept,
			RetryPause: apiRetryPause, RetryWithin: apiRetryWithin,
		}
		asker := probe.NewHTTP(probe.HTTPOptions{
			Name: p.name, Targets: func() []string { return []string{address} },
			Request: p.request, TLS: tlsFor(tlsConfig),
		}, rec)
		wg.Go(func() {
			defer asker.Close()
			probe.Run(ctx, c, asker, rec)
		})
	}
	wg.Wait()
	return nil
}

func tlsFor(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	return c
}

func getRequest(path string) func(ctx context.Context, target string) (*http.Request, error) {
	return func(ctx context.Context, target string) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, "https://"+target+path, nil)
	}
}

func patchRequest(path string, body func() string) func(ctx context.Context, target string) (*http.Request, error) {
	return func(ctx context.Context, target string) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPatch, "https://"+target+path, bytes.NewReader([]byte(body())))
		if err == nil {
			r.Header.Set("Content-Type", "application/merge-patch+json")
		}
		return r, err
	}
}

// outage is the longest time in which every try of the API failed: from the
// first failure of a run of failures to its last, over all probes that read.
func outage(failures []probe.Failure) time.Duration {
	var longest time.Duration
	var from, until time.Time
	for _, f := range failures {
		if f.Recovered || !strings.HasPrefix(f.Probe, "get") {
			continue
		}
		end := f.At.Add(f.Took)
		if from.IsZero() || f.At.Sub(until) > outageGap {
			from = f.At
		}
		if end.After(until) {
			until = end
		}
		longest = max(longest, until.Sub(from))
	}
	return longest
}

// outageGap separates one outage from the next.
const outageGap = 5 * time.Second
