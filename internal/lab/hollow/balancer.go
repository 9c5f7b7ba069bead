package hollow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// balancer is the load balancer before the API servers: it passes TCP on, in
// turn, to those whose /readyz answered last time.
type balancer struct {
	listener net.Listener
	backends []string
	probe    *http.Client
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	down    bool // a fault: nothing is accepted, nothing passed on
	healthy map[string]bool
	next    int
	conns   map[net.Conn]struct{}
}

const (
	probeTimeout = 2 * time.Second
	dialTimeout  = 2 * time.Second
)

// newBalancer serves on the address and asks the backends every interval.
func newBalancer(ctx context.Context, address string, backends []string, interval time.Duration) (*balancer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("load balancer: %w", err)
	}
	b := &balancer{
		listener: listener, backends: backends, healthy: map[string]bool{}, conns: map[net.Conn]struct{}{},
		probe: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				InsecureSkipVerify: true, //nolint:gosec // a health check, as HAProxy's "verify none"
				MinVersion:         tls.VersionTLS12,
				// As HAProxy does too: many checks a second, each over a connection of its own.
				ClientSessionCache: tls.NewLRUClientSessionCache(len(backends)),
				CurvePreferences:   []tls.CurveID{tls.X25519},
			},
		}},
	}
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx)) // it lives until close
	for _, backend := range backends {
		b.running.Go(func() { b.watch(ctx, backend, interval) })
	}
	b.running.Go(func() { b.accept(ctx) })
	return b, nil
}

func (b *balancer) close() error {
	b.stop()
	err := b.listener.Close()
	b.setDown(true)
	b.running.Wait()
	b.probe.CloseIdleConnections()
	return err
}

// setDown is the fault of a load balancer that is gone, and its end.
func (b *balancer) setDown(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.cut()
	}
}

func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close() // its copier ends with whatever this says
	}
}

// watch keeps a backend's health. The first look is at once.
func (b *balancer) watch(ctx context.Context, backend string, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := b.ready(ctx, backend)
		b.mu.Lock()
		b.healthy[backend] = err == nil
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *balancer) ready(ctx context.Context, backend string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+backend+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := b.probe.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func (b *balancer) accept(ctx context.Context) {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		b.running.Go(func() { b.pass(ctx, conn) })
	}
}

// pass connects a client with the first backend that takes it.
func (b *balancer) pass(ctx context.Context, client net.Conn) {
	defer client.Close() //nolint:errcheck // the client knows
	for _, backend := range b.order() {
		dialer := net.Dialer{Timeout: dialTimeout}
		server, err := dialer.DialContext(ctx, "tcp", backend)
		if err != nil {
			continue
		}
		defer server.Close() //nolint:errcheck // as above
		if b.keep(client, server) {
			exchange(client, server)
			b.forget(client, server)
		}
		return
	}
}

// order gives the backends to try, healthy ones first, beginning with another
// one each time.
func (b *balancer) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil
	}
	b.next++
	var good, bad []string
	for i := range b.backends {
		backend := b.backends[(b.next+i)%len(b.backends)]
		if b.healthy[backend] {
			good = append(good, backend)
		} else {
			bad = append(bad, backend)
		}
	}
	return append(good, bad...)
}

func (b *balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return false
	}
	for _, c := range conns {
		b.conns[c] = struct{}{}
	}
	return true
}

func (b *balancer) forget(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.conns, c)
	}
}

// exchange copies both ways until either side ends, then ends both.
func exchange(a, b net.Conn) {
	var copying sync.WaitGroup
	oneWay := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // how it ended is the peers' business
		_ = to.Close()
		_ = from.Close()
	}
	copying.Go(func() { oneWay(a, b) })
	copying.Go(func() { oneWay(b, a) })
	copying.Wait()
}
