package role

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/workload/probe"
)

// TestGracefulShutdown holds a server to what the probers rely on: not one
// request fails, on new or on kept connections, between the signal and the end
// of the linger time.
func TestGracefulShutdown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	linger := make(chan struct{})
	s := &server{handler: greeter("me"), linger: time.Hour}
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()

	rec := probe.NewRecorder()
	target := func() []string { return []string{l.Addr().String()} }
	kept := Web("kept", target, rec)
	defer kept.Close()
	fresh := Web("new", target, rec)
	ask := func() {
		t.Helper()
		for range 5 {
			if _, err := kept.Ask(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if _, err := fresh.Ask(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask()
	if got := rec.Report().Probes["kept"].Connections; got != 1 {
		t.Errorf("%d kept connections before the signal", got)
	}
	cancel()
	go func() {
		for !s.leaving.Load() {
			time.Sleep(time.Millisecond)
		}
		close(linger)
	}()
	<-linger
	ask()
	if got := rec.Report().Probes["kept"].Connections; got < 5 {
		t.Errorf("after the signal clients were not asked to reconnect: %d connections", got)
	}
	resp, err := http.Get("http://" + l.Addr().String() + "/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness while leaving: %d", resp.StatusCode)
	}
	l.Close()
	<-done
}

func TestServeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &server{handler: greeter("me")}
	if err := s.serve(ctx, l); err != nil {
		t.Errorf("a server told to end: %v", err)
	}
}

func TestReview(t *testing.T) {
	w := httptest.NewRecorder()
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","kind":{}}}`
	review(w, httptest.NewRequest(http.MethodPost, "/review", strings.NewReader(body)))
	var out admissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Response == nil || !out.Response.Allowed || out.Response.UID != "u-1" || out.Kind != "AdmissionReview" {
		t.Errorf("%s", w.Body)
	}
	w = httptest.NewRecorder()
	review(w, httptest.NewRequest(http.MethodPost, "/review", strings.NewReader("{}")))
	if w.Code != http.StatusBadRequest {
		t.Errorf("not a review: %d", w.Code)
	}
}

func TestMainRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, "no role"},
		{[]string{"cook"}, nil, `unknown role "cook"`},
		{[]string{"sleep", "long"}, nil, "sleep: "},
		{[]string{"probe"}, nil, "set TARGET"},
		{[]string{"web"}, map[string]string{"LINGER": "x"}, "LINGER: "},
	} {
		t.Run(fmt.Sprint(tt.args), func(t *testing.T) {
			var out strings.Builder
			code := Main(t.Context(), tt.args, func(k string) string { return tt.env[k] }, &out)
			if code != 1 || !strings.Contains(out.String(), tt.want) {
				t.Errorf("code %d, %q", code, &out)
			}
		})
	}
}
