package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// perTry bounds how long one attempt of a call waits for its answer, and for each
	// further piece of it.
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

// try is one attempt with a body and a deadline of its own, which is put off while the
// answer comes in.
func (r *retrier) try(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	attempt := req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			cancel(nil)
			return nil, err
		}
		attempt.Body = body
	}
	timer := time.AfterFunc(perTry, func() { cancel(errSilent) })
	resp, err := r.next.RoundTrip(attempt)
	if err != nil {
		timer.Stop()
		defer cancel(nil)
		return nil, silence(context.Cause(ctx), err)
	}
	resp.Body = &timed{ReadCloser: resp.Body, timer: timer, cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	return resp, nil
}

// errSilent ends an attempt that waits for too long.
var errSilent = fmt.Errorf("nothing came for %s: %w", perTry, context.DeadlineExceeded)

// silence gives the reason for an error of an attempt, given why its context ended.
func silence(cause, err error) error {
	if errors.Is(cause, errSilent) && !errors.Is(err, io.EOF) {
		return cause
	}
	return err
}

// timed is the body of an attempt's answer, and ends its context.
type timed struct {
	io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
	cause  func() error
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		return n, silence(t.cause(), err)
	}
	t.timer.Reset(perTry)
	return n, nil
}

func (t *timed) Close() error {
	defer t.cancel(nil)
	t.timer.Stop()
	return t.ReadCloser.Close()
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
