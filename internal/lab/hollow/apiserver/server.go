package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what a server is made of.
type Config struct {
	Store *Store
	// Address to listen on; empty: a free port of 127.0.0.1.
	Address string
	// TLS has the server's certificate, by GetCertificate where it may be renewed,
	// and in ClientCAs who signs those of clients.
	TLS *tls.Config
	// Before is asked before a request of an authenticated client is served, and
	// may wait; its error is the answer. nil: nothing is asked.
	Before func(*http.Request) error
	// Audit is told of every request that may change something, after it was
	// answered. It is called by several goroutines. nil: nobody is told.
	Audit func(Request)
}

// Request is what a client wanted to change, and what it was told.
type Request struct {
	At        time.Time `json:"at"`
	Server    string    `json:"server"` // the address of the server
	User      string    `json:"user"`
	Agent     string    `json:"agent"`
	Verb      string    `json:"verb"` // as in RBAC, create
	Path      string    `json:"path"`
	Namespace string    `json:"namespace,omitempty"`
	Resource  string    `json:"resource"` // with the subresource, pods/eviction
	Name      string    `json:"name,omitempty"`
	Code      int       `json:"code"`
}

// Server is a kube-apiserver process of one control plane, which need not run. It
// is safe for concurrent use.
type Server struct {
	config  Config
	clients *authenticator

	turn sync.Mutex // one start or stop at a time

	mu         sync.Mutex // guards what follows
	run        *run       // nil when it is stopped
	address    string
	version    string
	failing    map[string]string
	deprecated []Deprecated
}

// run is the time from a start to a stop.
type run struct {
	listener net.Listener
	http     *http.Server
	served   chan error
	ending   chan struct{} // closed: watches end
	cut      func()        // ends the context of every request

	mu       sync.Mutex // guards over
	over     bool       // no request is begun any more
	requests sync.WaitGroup
}

// begin tells whether a request may be answered.
func (r *run) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.requests.Add(1)
	}
	return !r.over
}

func (r *run) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	close(r.ending)
}

// answered is closed when no request is being answered.
func (r *run) answered() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.requests.Wait()
	}()
	return done
}

// NewServer makes a server that is stopped.
func NewServer(c Config) *Server {
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	return &Server{config: c, address: c.Address, clients: &authenticator{authorities: c.TLS.ClientCAs, known: map[string]user{}}}
}

// headerTimeout bounds how long a client takes to say what it wants.
const headerTimeout = 30 * time.Second

// Start serves as a release, "v1.32.13", on the same address as before. One that
// runs is left alone. The context bounds the start only.
func (s *Server) Start(ctx context.Context, version string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.running() != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Addr())
	if err != nil {
		return fmt.Errorf("API server %s: %w", s.Addr(), err)
	}
	secure := s.config.TLS.Clone()
	secure.ClientAuth = tls.RequestClientCert // who shows an expired certificate is told so: 401
	secure.NextProtos = []string{"http/1.1"}  // over HTTP/2 the end of an answer leaves too late: see write
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{listener: listener, served: make(chan error, 1), ending: make(chan struct{}), cut: cut}
	r.http = &http.Server{
		// A connection that is cut ends a request's context only when its body was read.
		BaseContext: func(net.Listener) context.Context { return requests },
		TLSConfig:   secure, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0), // clients that hang up
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !r.begin() {
				panic(http.ErrAbortHandler) // cuts the connection
			}
			defer r.requests.Done()
			s.serve(r, w, req)
		}),
	}
	s.mu.Lock()
	s.run, s.address, s.version, s.deprecated = r, listener.Addr().String(), version, nil
	s.mu.Unlock()
	go func() { r.served <- r.http.ServeTLS(listener, "", "") }()
	return nil
}

// Stop ends the server as a termination does: nobody is let in, watches end,
// requests that are being answered are answered until ctx ends, all connections
// are cut. One that does not run is left alone.
func (s *Server) Stop(ctx context.Context) error { return s.stop(ctx) }

// Kill ends the server as a power cut does: whatever is being answered is not.
func (s *Server) Kill() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.stop(now) // what it could not close is gone
}

func (s *Server) stop(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	r := s.running()
	if r == nil {
		return nil
	}
	s.mu.Lock()
	s.run = nil
	s.mu.Unlock()
	r.finish()
	_ = r.listener.Close() // it is closed again below, with the connections
	answered := r.answered()
	select {
	case <-answered:
	case <-ctx.Done():
	}
	_ = r.http.Close()
	r.cut()
	<-answered
	if err := <-r.served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("API server %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) running() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// Running tells whether the server serves.
func (s *Server) Running() bool { return s.running() != nil }

// Addr is where the server listens, or will.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Version is the release it serves as, or last did.
func (s *Server) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// SetFailing names the checks of /readyz that fail, with the reason; none when
// the server is ready.
func (s *Server) SetFailing(checks map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = maps.Clone(checks)
}
