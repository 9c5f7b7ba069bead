package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// script answers the n-th request, counted from 1.
type script struct {
	mu    sync.Mutex
	n     int
	fresh []bool
	f     func(ctx context.Context, n int) error
}

func (s *script) Ask(ctx context.Context, fresh bool) (string, error) {
	s.mu.Lock()
	s.n++
	n := s.n
	s.fresh = append(s.fresh, fresh)
	s.mu.Unlock()
	return "there", s.f(ctx, n)
}

var errBroken = errors.New("broken")

// run probes for d of synthetic time.
func run(t *testing.T, d time.Duration, cfg Config, s *script) Report {
	t.Helper()
	var out Report
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		rec := NewRecorder()
		Run(ctx, cfg, s, rec)
		out = rec.Report()
	})
	return out
}

func TestRunCounts(t *testing.T) {
	s := &script{f: func(_ context.Context, n int) error {
		if n == 3 || n == 5 {
			return errBroken
		}
		return nil
	}}
	r := run(t, time.Second+10*time.Millisecond, Config{Name: "new", Every: 100 * time.Millisecond, Timeout: time.Second}, s)
	c := r.Probes["new"]
	if c.Sent != 10 || c.Failed != 2 || c.Missed != 0 || c.Retried != 0 {
		t.Errorf("%+v", c)
	}
	if d := c.LastFailed.Sub(c.FirstFailed); d != 200*time.Millisecond {
		t.Errorf("failures span %s", d)
	}
	if len(r.Failures) != 2 || r.Failures[0].Target != "there" || r.Failures[0].Error != "broken" {
		t.Errorf("%+v", r.Failures)
	}
	if got := r.Rate(); got < 9 || got > 10 {
		t.Errorf("rate %v", got)
	}
}

func TestRunTimesOut(t *testing.T) {
	s := &script{f: func(ctx context.Context, n int) error {
		if n > 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	// The probe ends while the first request waits: that one still times out by
	// its own clock, and the others were not held up by it.
	r := run(t, 550*time.Millisecond, Config{Name: "new", Every: 100 * time.Millisecond, Timeout: 2 * time.Second}, s)
	c := r.Probes["new"]
	if c.Sent != 5 || c.Failed != 1 || c.Slowest != 2*time.Second {
		t.Errorf("%+v", c)
	}
}

func TestRunDoesNotPileUp(t *testing.T) {
	s := &script{f: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
	r := run(t, time.Second+5*time.Millisecond, Config{Name: "new", Every: 10 * time.Millisecond, Timeout: time.Minute}, s)
	c := r.Probes["new"]
	if c.Sent != maxWaiting || c.Missed != 100-maxWaiting {
		t.Errorf("%+v", c)
	}
}

func TestRetry(t *testing.T) {
	cfg := Config{
		Name: "api", Every: 10 * time.Second, Timeout: 2 * time.Second, Kept: true,
		RetryPause: time.Second, RetryWithin: 5 * time.Second,
	}
	for name, tt := range map[string]struct {
		f               func(ctx context.Context, n int) error
		failed, retried int64
		text            string
	}{
		"recovers": {func(_ context.Context, n int) error {
			if n == 1 {
				return errBroken
			}
			return nil
		}, 0, 1, "broken"},
		"fails twice": {func(_ context.Context, n int) error { return fmt.Errorf("no %d", n) }, 1, 0, "no 1; again on a new connection: no 2"},
		"too late": {func(ctx context.Context, n int) error {
			if n == 1 {
				return errBroken
			}
			<-ctx.Done()
			return ctx.Err()
		}, 1, 0, "broken; again on a new connection: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{f: tt.f}
			r := run(t, 11*time.Second, cfg, s)
			c := r.Probes["api"]
			if c.Sent != 1 || c.Failed != tt.failed || c.Retried != tt.retried {
				t.Errorf("%+v", c)
			}
			if !slices.Equal(s.fresh, []bool{false, true}) {
				t.Errorf("connections fresh: %v", s.fresh)
			}
			if len(r.Failures) != 1 || r.Failures[0].Error != tt.text || r.Failures[0].Took > 5*time.Second {
				t.Errorf("%+v", r.Failures)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := Merge(
		Report{Since: at, Until: at.Add(10 * time.Second), Probes: map[string]Count{"new": {Sent: 100, Failed: 1, FirstFailed: at.Add(5 * time.Second), LastFailed: at.Add(5 * time.Second)}}},
		Report{Since: at.Add(-time.Second), Until: at.Add(9 * time.Second), Probes: map[string]Count{"new": {Sent: 10}, "kept": {Sent: 11, Failed: 1, FirstFailed: at, LastFailed: at}}},
	)
	total := r.Total()
	if total.Sent != 121 || total.Failed != 2 || !total.FirstFailed.Equal(at) || !total.LastFailed.Equal(at.Add(5*time.Second)) {
		t.Errorf("%+v", total)
	}
	if r.Rate() != 11 {
		t.Errorf("rate %v", r.Rate())
	}
}

// lossy serves, and kills the connections of requests it is told to fail.
func lossy(t *testing.T, name string, fail func(n int64) bool) (target string, connections *atomic.Int64) {
	t.Helper()
	var n, conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fail(n.Add(1)) {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintln(w, name)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), &conns
}

func never(int64) bool { return false }

func TestHTTPFresh(t *testing.T) {
	target, conns := lossy(t, "a", func(n int64) bool { return n%4 == 0 })
	h := NewHTTP(HTTPOptions{Name: "new", Targets: func() []string { return []string{target} }, Request: Get("/")}, NewRecorder())
	var failed int
	for range 8 {
		if _, err := h.Ask(t.Context(), true); err != nil {
			failed++
		}
	}
	if failed != 2 || conns.Load() != 8 {
		t.Errorf("%d failed on %d connections", failed, conns.Load())
	}
}

func TestHTTPKeptMovesWithItsTargets(t *testing.T) {
	a, connsA := lossy(t, "a", never)
	b, connsB := lossy(t, "b", never)
	fit := []string{a}
	rec := NewRecorder()
	h := NewHTTP(HTTPOptions{Name: "kept", Targets: func() []string { return fit }, Request: Get("/")}, rec)
	defer h.Close()
	ask := func(want string) {
		t.Helper()
		for range 3 {
			got, err := h.Ask(t.Context(), false)
			if err != nil || got != want {
				t.Fatalf("asked %s (%v), want %s", got, err, want)
			}
		}
	}
	ask(a)
	fit = []string{a, b}
	ask(a)
	fit = []string{b}
	ask(b)
	if connsA.Load() != 1 || connsB.Load() != 1 || rec.Report().Probes["kept"].Connections != 2 {
		t.Errorf("%d and %d connections, %d counted", connsA.Load(), connsB.Load(), rec.Report().Probes["kept"].Connections)
	}
	fit = nil
	if _, err := h.Ask(t.Context(), false); !errors.Is(err, errNoTarget) {
		t.Errorf("no target: %v", err)
	}
}

func TestHTTPKeptLeavesABrokenConnection(t *testing.T) {
	target, conns := lossy(t, "a", func(n int64) bool { return n == 1 })
	h := NewHTTP(HTTPOptions{Name: "kept", Targets: func() []string { return []string{target} }, Request: Get("/")}, NewRecorder())
	defer h.Close()
	if _, err := h.Ask(t.Context(), false); err == nil {
		t.Fatal("the first request was answered")
	}
	for range 2 {
		if _, err := h.Ask(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if conns.Load() != 2 {
		t.Errorf("%d connections", conns.Load())
	}
}

func TestStatusIsNamed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no endpoints\nsecond line", http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	h := NewHTTP(HTTPOptions{Targets: func() []string { return []string{strings.TrimPrefix(srv.URL, "http://")} }, Request: Get("/")}, NewRecorder())
	_, err := h.Ask(t.Context(), true)
	if err == nil || err.Error() != "status 503: no endpoints" {
		t.Errorf("%v", err)
	}
}
