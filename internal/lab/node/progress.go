package node

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// progress stamps every line with the time since the start. It is safe for
// concurrent use.
type progress struct {
	mu      sync.Mutex
	w       io.Writer
	started time.Time
}

func newProgress(w io.Writer) *progress {
	if w == nil {
		w = io.Discard
	}
	return &progress{w: w, started: time.Now()}
}

func (p *progress) logf(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamp := fmt.Sprintf("%7.1fs  ", time.Since(p.started).Seconds())
	for line := range bytes.Lines(b) {
		if _, err := io.WriteString(p.w, stamp+string(line)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
