package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/kube"
)

func TestUnansweredIsOnlyAnAPIThatMayComeBack(t *testing.T) {
	at := func(err error) error { return &kube.ConnectError{Endpoint: "https://10.0.0.1:6443", Err: err} }
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"nobody listens":        {at(errors.New("connect: connection refused")), true},
		"too slow":              {at(context.DeadlineExceeded), true},
		"not ready":             {at(apierrors.NewServiceUnavailable("starting")), true},
		"refused":               {at(apierrors.NewUnauthorized("who are you")), false},
		"another's":             {at(&tls.CertificateVerificationError{Err: errors.New("unknown authority")}), false},
		"no kubeconfig":         {&kube.ConnectError{Err: errors.New("no kubeconfig")}, false},
		"anything else":         {errors.New("boom"), false},
		"interrupted meanwhile": {errInterrupted, false},
	} {
		if got := unanswered(tt.err); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// The interrupted step may be what restarts the API: resume waits for it.
func TestAwaitAPI(t *testing.T) {
	var asked atomic.Int64
	model := serveAPI("testdata/api")
	defer model.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		model.Config.Handler.ServeHTTP(w, r)
	}))
	server.StartTLS()
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "admin.conf")
	if err := writeKubeconfig(kubeconfig, server); err != nil {
		t.Fatal(err)
	}
	sys, said, _ := testSystem(strings.NewReader(""))
	sys.seams.Pace = 0.0001
	s := &session{sys: sys, global: &global{kubeconfig: kubeconfig}, inv: inventory.Default()}
	if err := s.awaitAPI(t.Context(), errors.New("connection refused")); err != nil || s.api == nil {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(said.String(), "Waiting for the API") {
		t.Errorf("said %q", said)
	}

	s.inv.Gates.Timeout = time.Nanosecond
	err := s.awaitAPI(t.Context(), errors.New("connection refused"))
	if code, hint := classify(err); code != exitStopped || !strings.Contains(hint, "--resume") {
		t.Errorf("%v: exit code %d, hint %q", err, code, hint)
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if err := s.awaitAPI(cancelled, errors.New("connection refused")); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
}
