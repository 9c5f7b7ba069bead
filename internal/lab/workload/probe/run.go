package probe

import (
	"context"
	"sync"
	"time"
)

// maxWaiting bounds how many requests of one probe wait for an answer at once.
const maxWaiting = 64

// Asker sends one request. It says whom it asked, also when it failed.
type Asker interface {
	// Ask uses a connection of its own when fresh is true, the kept one
	// otherwise.
	Ask(ctx context.Context, fresh bool) (target string, err error)
}

// Config says how a probe asks.
type Config struct {
	Name string
	// Every is the time from one request to the next.
	Every time.Duration
	// Timeout bounds one request; one that takes longer has failed.
	Timeout time.Duration
	// Kept makes the probe hold one connection and ask one request after the
	// other on it. Otherwise every request opens a connection and is sent when
	// it is due, whether or not the one before was answered.
	Kept bool
	// RetryPause and RetryWithin allow one second try, on a new connection: it
	// is made RetryPause after the failure and must have succeeded RetryWithin
	// after it. RetryWithin zero: no second try.
	RetryPause, RetryWithin time.Duration
}

// Run probes until ctx is done and waits for the requests under way: they are
// answered or time out as if nothing had happened, so that ending a probe is
// never taken for a failure.
func Run(ctx context.Context, cfg Config, a Asker, rec *Recorder) {
	tick := time.NewTicker(cfg.Every)
	defer tick.Stop()
	slots := make(chan struct{}, maxWaiting)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if cfg.Kept {
			one(ctx, cfg, a, rec)
			continue
		}
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				one(ctx, cfg, a, rec)
			})
		default:
			rec.missed(cfg.Name)
		}
	}
}

func one(ctx context.Context, cfg Config, a Asker, rec *Recorder) {
	ctx = context.WithoutCancel(ctx)
	at := time.Now()
	target, err := try(ctx, cfg.Timeout, a, !cfg.Kept)
	took := time.Since(at)
	if err == nil {
		rec.answered(cfg.Name, took)
		return
	}
	f := Failure{At: at, Took: took, Probe: cfg.Name, Target: target, Error: err.Error()}
	if cfg.RetryWithin > 0 {
		f.Retried = true
		f.Recovered = retry(ctx, cfg, a, &f)
	}
	rec.failed(f)
}

func retry(ctx context.Context, cfg Config, a Asker, f *Failure) bool {
	failedAt := time.Now()
	pause := time.NewTimer(cfg.RetryPause)
	defer pause.Stop()
	<-pause.C
	_, err := try(ctx, cfg.RetryWithin-time.Since(failedAt), a, true)
	f.Took = time.Since(f.At)
	if err != nil {
		f.Error += "; again on a new connection: " + err.Error()
	}
	return err == nil
}

func try(ctx context.Context, timeout time.Duration, a Asker, fresh bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return a.Ask(ctx, fresh)
}
