package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"k8s.io/client-go/rest"
)

const (
	securePort = "6443"
	// directTimeout bounds one call to a single API server: whoever asks polls.
	directTimeout = 10 * time.Second
	maxAnswer     = 1 << 20
	// readTimeout bounds a read of one object.
	readTimeout = 5 * time.Second
)

// readers are a sample of what an API server must be able to read before it counts as
// ready: what every node lives by, and what kubeadm reads. An API server
// has a client of etcd for each resource, and one more behind /readyz. After a
// restart of its member each of them connects again in its own time, the later the
// longer the member was away: for that long an API server says that it is ready, is
// sent requests by a load balancer, and lets them hang.
// Source: newETCD3Storage and newETCD3Check in k8s.io/apiserver/pkg/storage/storagebackend/factory/etcd3.go;
// https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md
var readers = []string{
	"/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces/kube-system/configmaps", "/apis/coordination.k8s.io/v1/leases",
}

// APIServer is one API server, asked directly and not through the load
// balancer. Every call is made once, over a connection that is closed behind it: the
// answer is about now.
type APIServer struct {
	address   string // host:port
	client    *http.Client
	transport *http.Transport // of the client
}

// APIServer gives the API server at the address, "10.0.0.11" or
// "10.0.0.11:6443". Its certificate must be valid for the address and signed by
// the CA that the kubeconfig trusts. Dial makes the TCP connection, through the
// node itself where nothing else reaches it; nil: directly.
func (c *Client) APIServer(address string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*APIServer, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), securePort)
	}
	config := rest.CopyConfig(c.config)
	config.Host = "https://" + address
	config.ServerName = ""     // whatever the load balancer's is
	config.WrapTransport = nil // no repetition
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", address, err)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: directTimeout}
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", address, err)
	}
	return &APIServer{address: address, client: &http.Client{Transport: wrapped, Timeout: directTimeout}, transport: transport}, nil
}

// Ready is nil when the API server says that it is ready, and can read. Otherwise the
// error names the checks that fail, or what it cannot read.
func (a *APIServer) Ready(ctx context.Context) error {
	defer a.transport.CloseIdleConnections()
	if _, err := a.get(ctx, "/readyz?verbose"); err != nil {
		return err
	}
	for _, path := range readers {
		if err := a.read(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// read asks for one object of a kind.
func (a *APIServer) read(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if _, err := a.get(ctx, path+"?limit=1"); err != nil {
		return fmt.Errorf("it says that it is ready, and does not read: %w", err)
	}
	return nil
}

// Version is the release that the API server runs.
func (a *APIServer) Version(ctx context.Context) (cluster.Version, error) {
	defer a.transport.CloseIdleConnections()
	body, err := a.get(ctx, "/version")
	if err != nil {
		return cluster.Version{}, err
	}
	var answer struct{ GitVersion string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return cluster.Version{}, fmt.Errorf("API server %s: /version: %w", a.address, err)
	}
	v := looseVersion(answer.GitVersion)
	if v.IsZero() {
		return v, fmt.Errorf("API server %s: /version: %q is not a release", a.address, answer.GitVersion)
	}
	return v, nil
}

// DeprecatedRequests are the API versions on their way out that this API server
// was asked for since it started.
func (a *APIServer) DeprecatedRequests(ctx context.Context) ([]cluster.DeprecatedRequest, error) {
	defer a.transport.CloseIdleConnections()
	resp, err := a.do(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("API server %s: /metrics: %s", a.address, resp.Status)
	}
	return deprecatedRequests(resp.Body)
}

func (a *APIServer) do(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+a.address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", a.address, err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", a.address, err)
	}
	return resp, nil
}

func (a *APIServer) get(ctx context.Context, path string) ([]byte, error) {
	resp, err := a.do(ctx, path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", a.address, err)
	}
	if resp.StatusCode != http.StatusOK {
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("API server %s: %s: %s%s", a.address, path, resp.Status, failing(body))
	}
	return body, nil
}

// failing names the checks that /readyz?verbose marks as failed.
func failing(body []byte) string {
	var names []string
	for line := range strings.Lines(string(body)) {
		if name, found := strings.CutPrefix(line, "[-]"); found {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": failing: " + strings.Join(names, ", ")
}
