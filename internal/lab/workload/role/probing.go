package role

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/workload/probe"
)

// Names of the probes in the account of the probe role.
const (
	ProbeNew  = "new"
	ProbeKept = "kept"
)

const (
	probeTimeout  = 2 * time.Second
	accountEvery  = 10 * time.Second
	defaultPeriod = 250 * time.Millisecond
)

// probing asks TARGET (host:port) every PERIOD on new connections and every two
// PERIODs on a kept one, and gives its account as JSON at /counters and, from
// time to time, on out.
func probing(ctx context.Context, getenv func(string) string, out io.Writer) error {
	target := getenv("TARGET")
	if target == "" {
		return fmt.Errorf("probe: set TARGET to host:port")
	}
	period, err := duration(getenv, "PERIOD", defaultPeriod)
	if err != nil {
		return err
	}
	rec := probe.NewRecorder()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, cfg := range []probe.Config{
		{Name: ProbeNew, Every: period, Timeout: probeTimeout},
		{Name: ProbeKept, Every: 2 * period, Timeout: probeTimeout, Kept: true},
	} {
		asker := Web(cfg.Name, func() []string { return []string{target} }, rec)
		wg.Go(func() {
			defer asker.Close()
			probe.Run(ctx, cfg, asker, rec)
		})
	}
	wg.Go(func() { account(ctx, rec, out) })
	s := &server{handler: counters(rec)}
	return s.run(ctx, orDefault(getenv("LISTEN"), ":8081"))
}

// Web asks the web role at targets and wants its greeting.
func Web(name string, targets func() []string, rec *probe.Recorder) *probe.HTTP {
	return probe.NewHTTP(probe.HTTPOptions{
		Name: name, Targets: targets, Request: probe.Get("/"),
		Check: func(status int, body []byte) error {
			if status != http.StatusOK || !strings.HasPrefix(string(body), Greeting) {
				return fmt.Errorf("status %d, %d bytes that do not begin with %q", status, len(body), Greeting)
			}
			return nil
		},
	}, rec)
}

func counters(rec *probe.Recorder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(rec.Report())
	})
}

func account(ctx context.Context, rec *probe.Recorder, out io.Writer) {
	tick := time.NewTicker(accountEvery)
	defer tick.Stop()
	enc := json.NewEncoder(out)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = enc.Encode(rec.Report())
		}
	}
}
