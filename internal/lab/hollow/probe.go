package hollow

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/lab/workload"
)

// Probe is a client that uses the cluster all the time, from outside: it reads and
// writes through the load balancer, each time over a connection of its own, and
// counts how many pods of the web Service are ready.
type Probe struct {
	client  kubernetes.Interface
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	result ProbeResult
}

// ProbeResult is what a probe saw. A request that fails is made once more.
type ProbeResult struct {
	Requests int `json:"requests"`
	Second   int `json:"answeredAtTheSecondTry"`
	Failed   int `json:"failed"`
	// LeastReady is the smallest number of ready endpoints of Service web.
	LeastReady int    `json:"leastReady"`
	LastError  string `json:"lastError,omitempty"`
}

const (
	probeEvery = 100 * time.Millisecond
	probeAgain = 2100 * time.Millisecond
)

// StartProbe starts a probe. It ends with Stop or ctx.
func (c *Cluster) StartProbe(ctx context.Context) (*Probe, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	one := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
	client, err := kubernetes.NewForConfigAndClient(config, one)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p := &Probe{client: client, result: ProbeResult{LeastReady: -1}}
	ctx, p.stop = context.WithCancel(ctx)
	p.running.Go(func() { p.run(ctx) })
	return p, nil
}

// Stop ends the probe and gives what it saw.
func (p *Probe) Stop() ProbeResult {
	p.stop()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result
}

func (p *Probe) run(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		p.ask(ctx, func() error { return p.write(ctx, n) })
		p.ask(ctx, func() error { return p.read(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask makes a request, and makes it again when it failed.
func (p *Probe) ask(ctx context.Context, request func() error) {
	err := request()
	again := err != nil && ctx.Err() == nil
	if again {
		select {
		case <-ctx.Done():
		case <-time.After(probeAgain):
		}
		err = request()
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Requests++
	switch {
	case err != nil:
		p.result.Failed++
		p.result.LastError = err.Error()
	case again:
		p.result.Second++
	}
}

func (p *Probe) write(ctx context.Context, n int) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"shop.example/probed":"%d"}}}`, n)
	_, err := p.client.CoordinationV1().Leases(workload.Namespace).Patch(ctx, workload.ProbeLease, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func (p *Probe) read(ctx context.Context) error {
	list, err := p.client.DiscoveryV1().EndpointSlices(workload.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
	if err != nil {
		return err
	}
	ready := 0
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready += len(e.Addresses)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.result.LeastReady < 0 || ready < p.result.LeastReady {
		p.result.LeastReady = ready
	}
	return nil
}

// restConfig is that of the kubeconfig in the cluster's directory.
func (c *Cluster) restConfig() (*rest.Config, error) {
	content, err := os.ReadFile(filepath.Join(c.dir, kubeconfigFile))
	if err != nil {
		return nil, err
	}
	return clientcmd.RESTConfigFromKubeConfig(content)
}
