package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// perTry bounds one attempt of a call.
	perTry = 20 * time.Second
	// firstDelay and lastDelay are the pauses between attempts; they double.
	firstDelay = 250 * time.Millisecond
	lastDelay  = 4 * time.Second
	// forBlips is how long an API that was there may be away.
	forBlips = 60 * time.Second
	// forDenials is how long a refusal is not believed: an API server that has
	// just started refuses what it has not yet read the roles for.
	forDenials = 3 * time.Second
	// peek is how much of a failed answer is read to learn why it failed.
	peek = 64 << 10
)

// retrier repeats calls that may be repeated while the API is away: API servers
// restart one after the other during an upgrade, and what is behind a load
// balancer is away for seconds.
type retrier struct {
	next http.RoundTripper
	// patience is how long to go on, in nanoseconds.
	patience *atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	if !repeatable(req) {
		return r.try(req)
	}
	start, delay := time.Now(), firstDelay
	for {
		resp, err := r.try(req)
		limit := r.worthwhile(resp, err)
		if limit == 0 || time.Since(start)+delay > limit || req.Context().Err() != nil {
			return resp, err
		}
		if resp != nil {
			resp.Body.Close()
		}
		timer := time.NewTimer(delay)
		select {
		case <-req.Context().Done():
			timer.Stop()
			return nil, req.Context().Err()
		case <-timer.C:
		}
		delay = min(2*delay, lastDelay)
	}
}

// try is one attempt with a body and a deadline of its own.
func (r *retrier) try(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), perTry)
	attempt := req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			cancel()
			return nil, err
		}
		attempt.Body = body
	}
	resp, err := r.next.RoundTrip(attempt)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelled{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}

// cancelled ends an attempt's context with its body.
type cancelled struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelled) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// repeatable tells whether a call has the same effect when it is made twice.
// Updates carry a resourceVersion, so that the second one conflicts.
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return strings.HasSuffix(req.URL.Path, "/eviction")
}

// worthwhile gives how long the call may be repeated; 0: the answer counts.
func (r *retrier) worthwhile(resp *http.Response, err error) time.Duration {
	patience := time.Duration(r.patience.Load())
	if err != nil {
		if errors.Is(err, context.Canceled) || isCertificateError(err) {
			return 0
		}
		return patience
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return patience
	case http.StatusUnauthorized, http.StatusForbidden:
		return min(patience, forDenials)
	case http.StatusInternalServerError:
		if isStoreError(resp) {
			return patience
		}
	}
	return 0
}

// isStoreError tells whether a 500 is about etcd: no leader, time-outs and the
// like. The body is given back.
func isStoreError(resp *http.Response) bool {
	head, _ := io.ReadAll(io.LimitReader(resp.Body, peek)) //nolint:errcheck // what was read is given back; the reader behind it fails again
	resp.Body = &rejoined{Reader: io.MultiReader(bytes.NewReader(head), resp.Body), Closer: resp.Body}
	for _, text := range []string{"etcdserver:", "leader changed", "connection refused", "context deadline exceeded", "transport is closing"} {
		if bytes.Contains(head, []byte(text)) {
			return true
		}
	}
	return false
}

type rejoined struct {
	io.Reader
	io.Closer
}
