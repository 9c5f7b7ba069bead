package kube

import (
	"context"
	"fmt"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// LockState is what an onlooker sees of the lock.
type LockState struct {
	Held *HeldError // nil: nobody holds it
	// Run and Epoch are of the last acquisition, also when it was given back.
	Run   string
	Epoch int64
	// Silent is how long ago the holder last gave a sign of life, by the API
	// server's clock.
	Silent time.Duration
}

// Lives tells whether the holder has given a sign of life within the time that its
// lock lasts.
func (s LockState) Lives() bool { return s.Held != nil && s.Silent <= s.Held.Lasts }

// Lock looks at the lock without touching it.
func (c *Client) Lock(ctx context.Context) (LockState, error) {
	lease, err := c.leases().Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return LockState{}, nil
	}
	if err != nil {
		return LockState{}, fmt.Errorf("read the lock (Lease %s/%s): %w", leaseNamespace, leaseName, err)
	}
	s := LockState{Run: lease.Annotations[annotationRun], Epoch: int64(deref(lease.Spec.LeaseTransitions))}
	if deref(lease.Spec.HolderIdentity) != "" {
		s.Held = heldBy(lease)
		s.Silent = max(0, c.now(ctx).Sub(s.Held.Renewed))
	}
	return s, nil
}

// renewedAt prefers what the API server noted of the last update over what the
// holder wrote: the two may have different clocks.
func renewedAt(lease *coordinationv1.Lease) time.Time {
	var at time.Time
	for _, m := range lease.ManagedFields {
		if m.Time != nil && m.Time.After(at) {
			at = m.Time.Time
		}
	}
	if at.IsZero() && lease.Spec.RenewTime != nil {
		at = lease.Spec.RenewTime.Time
	}
	return at
}

// now is the API server's clock, to the second; this machine's where the server
// does not tell.
func (c *Client) now(ctx context.Context) time.Time {
	if c.config == nil {
		return time.Now()
	}
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return time.Now()
	}
	server, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return time.Now()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return time.Now()
	}
	response, err := client.Do(request)
	if err != nil {
		return time.Now()
	}
	defer response.Body.Close()
	if at, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}
