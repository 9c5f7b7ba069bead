package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Observe gathers all that the API tells: [Client.Facts], and the requests for
// deprecated APIs, which the rest can do without.
func (c *Client) Observe(ctx context.Context) (cluster.Facts, error) {
	return c.observe(ctx, c.DeprecatedRequests)
}

func (c *Client) observe(ctx context.Context, deprecated func(context.Context) ([]cluster.DeprecatedRequest, error)) (cluster.Facts, error) {
	var facts cluster.Facts
	var requests []cluster.DeprecatedRequest
	var requestsErr error
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		facts, err = c.Facts(ctx)
		return err
	})
	g.Go(func() error {
		requests, requestsErr = deprecated(ctx)
		return ctx.Err()
	})
	if err := g.Wait(); err != nil {
		return cluster.Facts{}, err
	}
	if facts.DeprecatedRequests = requests; requestsErr != nil {
		facts.Unchecked = append(facts.Unchecked, notRead("requests for deprecated APIs", requestsErr))
		slices.Sort(facts.Unchecked)
	}
	return facts, nil
}

// Facts gathers what the API tells, but for the requests for deprecated APIs, which
// stand among all metrics and take long to read. Parts that these credentials may not
// see are named in Unchecked; nodes must be seen. The hosts' own facts and etcd's
// members are left to the survey.
func (c *Client) Facts(ctx context.Context) (cluster.Facts, error) {
	o := observation{facts: cluster.Facts{Identity: c.identity}}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		o.facts.Nodes, err = c.nodes(ctx)
		return err
	})
	g.Go(o.part("kubeadm's configuration", func() (err error) {
		o.facts.Kubeadm, o.facts.Etcd.Topology, err = c.kubeadm(ctx)
		return err
	}))
	g.Go(o.part("disruption budgets", func() (err error) {
		o.facts.Budgets, err = c.Budgets(ctx)
		return err
	}))
	g.Go(o.part("workloads and add-ons", func() (err error) {
		o.facts.Workload, o.facts.Addons, err = c.workloads(ctx)
		return err
	}))
	g.Go(o.part("admission webhooks", func() (err error) {
		o.facts.Webhooks, err = c.Webhooks(ctx)
		return err
	}))
	g.Go(o.part("aggregated APIs", func() (err error) {
		o.facts.APIServices, err = c.APIServices(ctx)
		return err
	}))
	if err := g.Wait(); err != nil {
		return cluster.Facts{}, fmt.Errorf("observe the cluster: %w", err)
	}
	slices.Sort(o.facts.Unchecked)
	return o.facts, nil
}

type observation struct {
	facts cluster.Facts
	mutex sync.Mutex // guards facts.Unchecked
}

// part observes what a run can do without: what is forbidden is named instead.
func (o *observation) part(what string, observe func() error) func() error {
	return func() error {
		err := observe()
		if !apierrors.IsForbidden(err) {
			return err
		}
		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.facts.Unchecked = append(o.facts.Unchecked, notRead(what, err))
		return nil
	}
}

func notRead(what string, err error) string {
	return fmt.Sprintf("%s could not be read: %v", what, err)
}
