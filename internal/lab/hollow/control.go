package hollow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// controlFile is the socket in the cluster's directory on which other processes
// ask for facts and inject faults.
const controlFile = "control.sock"

// The paths of the control socket.
const (
	factsPath     = "/facts"
	mutationsPath = "/mutations"
	faultPath     = "/fault"
)

// control serves a cluster's control socket.
type control struct {
	server *http.Server
	done   chan error
}

const headerTimeout = 10 * time.Second

func (c *Cluster) startControl(ctx context.Context) error {
	path := filepath.Join(c.dir, controlFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("control socket (a path of at most 107 characters): %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+factsPath, func(w http.ResponseWriter, _ *http.Request) {
		facts, err := c.Facts()
		reply(w, facts, err)
	})
	mux.HandleFunc("GET "+mutationsPath, func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Mutations(), nil) })
	mux.HandleFunc("POST "+faultPath, func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		err := json.NewDecoder(r.Body).Decode(&f)
		if err == nil {
			err = c.Inject(f)
		}
		reply(w, struct{}{}, err)
	})
	s := &control{server: &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}, done: make(chan error, 1)}
	go func() { s.done <- s.server.Serve(listener) }()
	c.control = s
	return nil
}

// close ends the socket and what is being asked on it.
func (s *control) close() error {
	err := s.server.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	content, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(content) // who asked has gone, or reads it
}

// Remote is a cluster that another process serves.
type Remote struct {
	dir    string
	client *http.Client
}

// Dial gives the cluster that is served in a directory. Nothing is connected yet.
func Dial(dir string) *Remote {
	path := filepath.Join(dir, controlFile)
	return &Remote{dir: dir, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// Facts is [Cluster.Facts].
func (r *Remote) Facts(ctx context.Context) (*Facts, error) {
	var out Facts
	return &out, r.ask(ctx, http.MethodGet, factsPath, nil, &out)
}

// Mutations is [Cluster.Mutations].
func (r *Remote) Mutations(ctx context.Context) ([]Mutation, error) {
	var out []Mutation
	err := r.ask(ctx, http.MethodGet, mutationsPath, nil, &out)
	return out, err
}

// Inject is [Cluster.Inject].
func (r *Remote) Inject(ctx context.Context, f Fault) error {
	return r.ask(ctx, http.MethodPost, faultPath, f, &struct{}{})
}

func (r *Remote) ask(ctx context.Context, method, path string, in, out any) error {
	content, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://cluster"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("is a hollow cluster served in %s? %w", r.dir, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("hollow cluster in %s: %w", r.dir, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("hollow cluster in %s: %s", r.dir, strings.TrimSpace(string(body)))
	}
	return json.Unmarshal(body, out)
}
