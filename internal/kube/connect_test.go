package kube

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// server is a modelled API server; answer may write something else than a
// healthy one does, and then returns true.
func server(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer != nil && answer(w, r) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1/namespaces/kube-system":
			fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"the-uid"}}`)
		case "/version":
			fmt.Fprint(w, `{"gitVersion":"v1.34.4+vendor"}`)
		case "/readyz":
			fmt.Fprint(w, "ok")
		case "/metrics":
			fmt.Fprintln(w, `apiserver_requested_deprecated_apis{group="g",version="v1",resource="r"} 1`)
		case "/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces/kube-system/configmaps", "/apis/coordination.k8s.io/v1/leases":
			fmt.Fprint(w, `{"items":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func kubeconfig(t *testing.T, s *httptest.Server) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return writeKubeconfig(t, s.URL, "certificate-authority: "+ca)
}

func writeKubeconfig(t *testing.T, url, trust string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: a
clusters: [{name: prod, cluster: {server: %q, %s}}]
users: [{name: me, user: {token: hunter2}}]
contexts: [{name: a, context: {cluster: prod, user: me}}]
`, url, trust)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnect(t *testing.T) {
	s := server(t, nil)
	c, err := Connect(t.Context(), kubeconfig(t, s), "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.Identity(t.Context())
	if err != nil || id.UID != "the-uid" || id.Name != "prod" || id.Endpoint != s.URL || !strings.HasPrefix(id.CA, "sha256:") {
		t.Errorf("%+v %v", id, err)
	}
}

func TestConnectErrors(t *testing.T) {
	s := server(t, nil)
	forbidding := server(t, func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	for _, tc := range []struct{ name, path, context, want string }{
		{"none", "", "", "no kubeconfig"},
		{"absent", "/nonexistent/admin.conf", "", "cluster.kubeconfig in kup.yaml"},
		{"context", kubeconfig(t, s), "b", `no context "b"`},
		{"refused", kubeconfig(t, forbidding), "", "has the client certificate expired"},
		{"unreachable", writeKubeconfig(t, "https://"+closed.Addr().String(), "insecure-skip-tls-verify: true"), "", "kubectl get --raw /readyz"},
		{"other CA", writeKubeconfig(t, s.URL, ""), "", "not the one the kubeconfig trusts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Connect(t.Context(), tc.path, tc.context)
			var typed *ConnectError
			if !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A load balancer before dead API servers takes connections and cuts them. That is
// asked about as often as the patience allows, and not ten times as often.
func TestConnectIsNotRepeatedByClientGo(t *testing.T) {
	balancer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan int)
	go func() {
		n := 0
		for {
			conn, err := balancer.Accept()
			if err != nil {
				taken <- n
				return
			}
			n++
			conn.Close()
		}
	}()
	path := writeKubeconfig(t, "https://"+balancer.Addr().String(), "insecure-skip-tls-verify: true")
	_, err = ConnectWithin(t.Context(), path, "", 0)
	if typed := new(ConnectError); !errors.As(err, &typed) {
		t.Errorf("%v", err)
	}
	balancer.Close()
	if n := <-taken; n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// away is a transport that fails a few times.
type away struct {
	failures int
	fail     func() (*http.Response, error)
	calls    int
}

func (a *away) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls++
	if a.calls <= a.failures {
		return a.fail()
	}
	return respond(http.StatusOK, ""), nil
}

func respond(status int, body string) *http.Response {
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	w.WriteString(body)
	return w.Result()
}

func TestRetries(t *testing.T) {
	refused := func() (*http.Response, error) { return nil, errors.New("connection refused") }
	status := func(code int, body string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return respond(code, body), nil }
	}
	for _, tc := range []struct {
		name, method, path string
		failures           int
		fail               func() (*http.Response, error)
		calls              int
	}{
		{"connection", "GET", "/api", 5, refused, 6},
		{"gone for good", "GET", "/api", 1000, refused, 0},
		{"update", "PUT", "/api", 2, refused, 3},
		{"eviction", "POST", "/api/v1/namespaces/x/pods/y/eviction", 2, refused, 3},
		{"creation", "POST", "/api/v1/namespaces/x/pods", 2, refused, 1},
		{"unavailable", "GET", "/api", 2, status(503, ""), 3},
		{"no leader", "GET", "/api", 2, status(500, `{"message":"etcdserver: no leader"}`), 3},
		{"other fault", "GET", "/api", 2, status(500, `{"message":"conversion failed"}`), 1},
		{"budget", "POST", "/api/v1/namespaces/x/pods/y/eviction", 2, status(429, ""), 1},
		{"roles not read yet", "GET", "/api", 2, status(403, ""), 3},
		{"absent", "GET", "/api", 2, status(404, ""), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &away{failures: tc.failures, fail: tc.fail}
				patience := new(atomic.Int64)
				patience.Store(int64(forBlips))
				req, _ := http.NewRequestWithContext(t.Context(), tc.method, "https://x"+tc.path, strings.NewReader("body"))
				start := time.Now()
				resp, err := (&retrier{next: a, patience: patience}).RoundTrip(req)
				if err == nil {
					resp.Body.Close()
				}
				took := time.Since(start)
				if tc.calls != 0 && a.calls != tc.calls {
					t.Errorf("%d calls, want %d", a.calls, tc.calls)
				}
				if tc.calls == 0 && (err == nil || took < forBlips/2) || took > forBlips {
					t.Errorf("gave up after %s: %v", took, err)
				}
			})
		})
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		patience := new(atomic.Int64)
		patience.Store(int64(forBlips))
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://x/", nil)
		_, err := (&retrier{next: &away{failures: 1000, fail: func() (*http.Response, error) { return nil, errors.New("refused") }}, patience: patience}).RoundTrip(req)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestAPIServer(t *testing.T) {
	ready, reads := true, true
	s := server(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/apis/coordination.k8s.io/v1/leases" && !reads {
			w.WriteHeader(http.StatusGatewayTimeout)
			return true
		}
		if r.URL.Path == "/readyz" && !ready {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]shutdown failed: reason withheld\nreadyz check failed\n")
			return true
		}
		if r.Header.Get("Authorization") != "Bearer hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	c, err := Connect(t.Context(), kubeconfig(t, s), "")
	if err != nil {
		t.Fatal(err)
	}
	var dialled []string
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	a, err := c.APIServer("127.0.0.1", dial)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if v, err := a.Version(t.Context()); err != nil || v.String() != "v1.34.4" {
		t.Errorf("%s %v", v, err)
	}
	if list, err := a.DeprecatedRequests(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	reads = false
	if err := a.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "/apis/coordination.k8s.io/v1/leases: 504 Gateway Timeout") {
		t.Error(err)
	}
	ready = false
	if err := a.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "API server 127.0.0.1:6443: /readyz: 500 Internal Server Error: failing: etcd, shutdown") {
		t.Error(err)
	}
	if len(dialled) != 5 || dialled[0] != "127.0.0.1:6443" {
		t.Errorf("every call has a connection of its own: %q", dialled)
	}
	// The certificate is not valid for this address.
	if other, err := c.APIServer("127.0.0.9:6443", dial); err != nil || other.Ready(t.Context()) == nil {
		t.Errorf("a server that is not at this address: %v", err)
	}
}
