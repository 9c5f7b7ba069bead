package hollow

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func apiServer(t *testing.T, name string, ready http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", ready)
	mux.HandleFunc("/name", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the balancer's health checks end as it does
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestBalancerPassesOnToThoseThatAnswer(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) {}
	one, two := apiServer(t, "one", ok), apiServer(t, "two", ok)
	backends := []string{strings.TrimPrefix(one.URL, "https://"), strings.TrimPrefix(two.URL, "https://")}
	b, err := newBalancer(t.Context(), "127.0.0.1:0", backends, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		resp, err := client.Get("https://" + b.listener.Addr().String() + "/name")
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	seen := map[string]int{}
	for range 10 {
		seen[ask()]++
	}
	if seen["one"] == 0 || seen["two"] == 0 || seen[""] != 0 {
		t.Errorf("both are up, asked 10 times: %v", seen)
	}
	one.Close()
	for range 4 {
		if got := ask(); got != "two" {
			t.Errorf("one is down, %q answered", got)
		}
	}
	b.setDown(true)
	if got := ask(); got != "" {
		t.Errorf("the balancer is gone, %q answered", got)
	}
	b.setDown(false)
	if got := ask(); got != "two" {
		t.Errorf("the balancer is back, %q answered", got)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go resolve(far, func() map[string]string { return map[string]string{"kubernetes.default": "10.96.0.1"} })
		return near, nil
	}}
	got, err := r.LookupHost(t.Context(), "kubernetes.default.svc.cluster.local.")
	if err != nil || len(got) != 1 || got[0] != "10.96.0.1" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := r.LookupHost(t.Context(), "nobody.default.svc.cluster.local."); err == nil {
		t.Errorf("an unknown name has addresses %v", got)
	}
}
