package role

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	headerTimeout   = 5 * time.Second
	shutdownTimeout = 10 * time.Second
)

// server shuts down the way a well-behaved one does: after the signal it says
// that it is not ready, answers for some time yet and asks every client to
// close its connection, then stops.
type server struct {
	handler http.Handler
	// linger is for how long requests are answered after the signal.
	linger time.Duration
	tls    *tls.Config

	leaving atomic.Bool
}

func (s *server) run(ctx context.Context, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return s.serve(ctx, l)
}

func (s *server) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", s.ready)
	mux.Handle("/", s.handler)
	srv := &http.Server{Handler: s.polite(mux), ReadHeaderTimeout: headerTimeout, TLSConfig: s.tls}
	done := make(chan error, 1)
	go func() {
		if s.tls != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	s.leaving.Store(true)
	linger := time.NewTimer(s.linger)
	defer linger.Stop()
	select {
	case err := <-done:
		return err
	case <-linger.C:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// polite tells clients to go elsewhere once the server is leaving. Closing their
// idle connections instead would race with their next request.
func (s *server) polite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.leaving.Load() {
		http.Error(w, "leaving", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}
