package controllers

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// Options say how the controllers work.
type Options struct {
	// Pace is how long a modelled second takes, in seconds.
	Pace float64
	// Able tells whether the controllers reach the API; nil: always.
	Able func() bool
}

const (
	// reaction is how long a real controller takes to see a change.
	reaction = 50 * time.Millisecond
	// again is after how long what failed is tried again.
	again = time.Second

	leastReaction = time.Millisecond
	leastAgain    = 20 * time.Millisecond
)

// Run controls until ctx ends.
func Run(ctx context.Context, store *apiserver.Store, o Options) {
	changed, end := store.Subscribe(
		pods, nodes, services, namespaces, endpoints, endpointSlices, deployments, replicaSets, statefulSets, daemonSets, budgets, jobs)
	defer end()
	c := &controllers{store: store, pace: o.Pace}
	for {
		var retry <-chan time.Time
		if o.Able != nil && !o.Able() || c.pass() != nil {
			retry = time.After(max(scaled(again, o.Pace), leastAgain))
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-retry:
		}
		// What changes together is seen together.
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(scaled(reaction, o.Pace), leastReaction)):
		}
	}
}

func scaled(d time.Duration, pace float64) time.Duration { return time.Duration(float64(d) * pace) }

// controllers are all of them, over one store.
type controllers struct {
	store *apiserver.Store
	pace  float64
}

// pass has every controller look at the cluster once. The error is the last one;
// the others have had their turn all the same.
func (c *controllers) pass() error {
	var last error
	for _, turn := range []func() error{
		c.syncDeployments, c.syncReplicaSets, c.syncStatefulSets, c.syncDaemonSets, c.syncJobs,
		c.schedule, c.syncBudgets, c.syncServices, c.collectGarbage, c.endNamespaces,
	} {
		if err := turn(); err != nil {
			last = err
		}
	}
	return last
}

// absent is no error when the object is not there.
func absent(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
