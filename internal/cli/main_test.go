package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/inventory"
)

// TestHeed: the first signal stops, the second aborts, and the end of the
// command ends the goroutine whatever came before.
func TestHeed(t *testing.T) {
	for name, tc := range map[string]struct {
		signals          int
		stopped, aborted bool
	}{"none": {}, "one": {1, true, false}, "two": {2, true, true}} {
		t.Run(name, func(t *testing.T) {
			signals := make(chan os.Signal) // each send is heard before the next line
			stop, over, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			go func() {
				defer close(ended)
				heed(io.Discard, signals, stop, over, cancel)
			}()
			for range tc.signals {
				signals <- os.Interrupt
			}
			if tc.signals < 2 {
				close(over)
			}
			<-ended
			select {
			case <-stop:
				if !tc.stopped {
					t.Error("stopped")
				}
			default:
				if tc.stopped {
					t.Error("not stopped")
				}
			}
			if aborted := errors.Is(context.Cause(ctx), errAborted); aborted != tc.aborted {
				t.Errorf("aborted: %v", context.Cause(ctx))
			}
		})
	}
}

// An interrupt ends a command that only looks, and nothing is reported but that.
func TestInterruptEndsLooking(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // an API that never answers
	}))
	defer s.Close()
	kubeconfig := filepath.Join(t.TempDir(), "admin.conf")
	if err := writeKubeconfig(kubeconfig, s); err != nil {
		t.Fatal(err)
	}
	stopped, aborted := make(chan struct{}), t.Context()
	close(stopped)
	aborted, cancel := context.WithCancelCause(aborted)
	cancel(errAborted)
	for name, tc := range map[string]struct {
		ctx  context.Context
		stop chan struct{}
	}{"once": {t.Context(), stopped}, "twice": {aborted, stopped}, "killed": {aborted, nil}} {
		for _, command := range []string{"plan", "status", "init"} {
			t.Run(command+" "+name, func(t *testing.T) {
				t.Chdir(t.TempDir())
				sys, out, _ := testSystem(strings.NewReader(""))
				sys.stop = tc.stop
				if code := run(tc.ctx, sys, []string{command, "--kubeconfig", kubeconfig}); code != exitInterrupted {
					t.Errorf("exit code %d: %s", code, out)
				}
			})
		}
	}
}

func TestUntilStopEndsWithItsCommand(t *testing.T) {
	sys := &system{in: strings.NewReader(""), out: io.Discard, err: io.Discard, stop: make(chan struct{})}
	ctx, done := sys.untilStop(t.Context())
	done() // would hang if the goroutine did
	if ctx.Err() == nil {
		t.Error("the context goes on")
	}
	stop := make(chan struct{})
	sys.stop = stop
	ctx, done = sys.untilStop(t.Context())
	defer done()
	close(stop)
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("%v", context.Cause(ctx))
	}
}

// The name that the DNS gate asks for is in the cluster's own domain.
func TestGatesKnowTheClustersDomain(t *testing.T) {
	p := testPlan(t)
	p.Facts.Kubeadm.DNSDomain = "corp.example"
	s := &session{inv: inventory.Default(), catalog: &catalog.Catalog{}, sys: &system{}}
	if got := s.gateDeps(p, &memory{}).ClusterDomain; got != "corp.example" {
		t.Errorf("the DNS gate asks in domain %q", got)
	}
}
