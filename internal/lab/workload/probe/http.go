package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// HTTP asks over HTTP. Make one with [NewHTTP] for every probe: it holds the
// probe's kept connection.
type HTTP struct {
	name    string
	request func(ctx context.Context, target string) (*http.Request, error)
	targets func() []string
	check   func(status int, body []byte) error
	tls     *tls.Config
	rec     *Recorder

	turn atomic.Uint64

	mu     sync.Mutex // guards the kept connection
	kept   *http.Transport
	target string
}

// HTTPOptions is what an HTTP probe asks.
type HTTPOptions struct {
	// Name is the probe's name in the account of kept connections.
	Name string
	// Targets are the addresses fit to be asked now. They are asked in turn; a
	// kept connection stays with one until that one is no longer fit.
	Targets func() []string
	// Request makes the request for a target.
	Request func(ctx context.Context, target string) (*http.Request, error)
	// Check judges the answer; nil asks for status 200.
	Check func(status int, body []byte) error
	TLS   *tls.Config
}

// NewHTTP makes an asker; kept connections are counted in rec.
func NewHTTP(o HTTPOptions, rec *Recorder) *HTTP {
	if o.Check == nil {
		o.Check = wantOK
	}
	return &HTTP{name: o.Name, request: o.Request, targets: o.Targets, check: o.Check, tls: o.TLS, rec: rec}
}

// Get makes requests for a path over plain HTTP.
func Get(path string) func(ctx context.Context, target string) (*http.Request, error) {
	return func(ctx context.Context, target string) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+path, nil)
	}
}

func wantOK(status int, body []byte) error {
	if status == http.StatusOK {
		return nil
	}
	line, _, _ := strings.Cut(string(body[:min(len(body), 400)]), "\n")
	return fmt.Errorf("status %d: %s", status, line)
}

var errNoTarget = errors.New("no target is fit to be asked")

// Ask implements [Asker].
func (h *HTTP) Ask(ctx context.Context, fresh bool) (string, error) {
	fit := h.targets()
	if len(fit) == 0 {
		return "", errNoTarget
	}
	if !fresh {
		transport, target := h.hold(fit)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				h.rec.connected(h.name)
			}
		}})
		err := h.send(ctx, transport, target)
		if err != nil {
			h.drop(transport)
		}
		return target, err
	}
	target := fit[h.turn.Add(1)%uint64(len(fit))]
	transport := h.transport()
	transport.DisableKeepAlives = true
	defer transport.CloseIdleConnections()
	return target, h.send(ctx, transport, target)
}

// hold returns the kept connection and moves it when its target is no longer fit.
func (h *HTTP) hold(fit []string) (*http.Transport, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept != nil && slices.Contains(fit, h.target) {
		return h.kept, h.target
	}
	if h.kept != nil {
		h.kept.CloseIdleConnections()
	}
	h.kept, h.target = h.transport(), fit[h.turn.Add(1)%uint64(len(fit))]
	h.kept.MaxConnsPerHost = 1
	return h.kept, h.target
}

// drop gives up a kept connection that failed, so that the next request does
// not hang on it too.
func (h *HTTP) drop(transport *http.Transport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	transport.CloseIdleConnections()
	if h.kept == transport {
		h.kept = nil
	}
}

func (h *HTTP) transport() *http.Transport {
	return &http.Transport{
		DialContext:       (&net.Dialer{}).DialContext,
		TLSClientConfig:   h.tls,
		ForceAttemptHTTP2: h.tls != nil,
	}
}

// Close ends the kept connection.
func (h *HTTP) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept != nil {
		h.kept.CloseIdleConnections()
	}
}

func (h *HTTP) send(ctx context.Context, transport *http.Transport, target string) error {
	req, err := h.request(ctx, target)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return h.check(resp.StatusCode, body)
}
