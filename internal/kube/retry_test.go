package kube

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// drip answers at once, with pieces that come one after the other; behind them it is
// silent until its request ends.
type drip struct {
	pieces int
	pause  time.Duration
}

func (d drip) RoundTrip(req *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	go func() {
		for range d.pieces {
			select {
			case <-time.After(d.pause):
			case <-req.Context().Done():
			}
			if _, err := in.Write([]byte("x")); err != nil {
				return
			}
		}
		<-req.Context().Done()
		in.CloseWithError(req.Context().Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: out}, nil
}

// TestLongAnswers: an answer may take long as a whole, and may not fall silent.
func TestLongAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 10
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://x/", nil)
		resp, err := (&retrier{next: drip{pieces, perTry * 9 / 10}, patience: new(atomic.Int64)}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, err := io.ReadAll(resp.Body)
		if len(got) != pieces || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d pieces of %d: %v", len(got), pieces, err)
		}
		if took, want := time.Since(began), pieces*perTry*9/10+perTry; took != want {
			t.Errorf("ended after %s, want %s", took, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}
