package probe

import (
	"sync"
	"time"
)

// maxFailures bounds the failures that are kept one by one; the counts go on. It
// is enough for minutes in which nothing answers.
const maxFailures = 10_000

// Failure is one request that was not answered as it should have been.
type Failure struct {
	At     time.Time     `json:"at"` // when the request was sent
	Took   time.Duration `json:"took"`
	Probe  string        `json:"probe"`
	Target string        `json:"target"`
	Error  string        `json:"error"`
	// Retried is true when a second try on a new connection was made, and
	// Recovered when that one succeeded: such a failure is not counted as one.
	Retried   bool `json:"retried,omitempty"`
	Recovered bool `json:"recovered,omitempty"`
}

// Count is the account of one probe.
type Count struct {
	Sent   int64 `json:"sent"`
	Failed int64 `json:"failed"`
	// Retried counts requests that failed once and then succeeded on a new
	// connection; they are not in Failed.
	Retried int64 `json:"retried"`
	// Missed counts requests that were due but not sent because too many
	// earlier ones were still waiting.
	Missed int64 `json:"missed"`
	// Connections is how many connections a probe that keeps one had to open.
	Connections int64         `json:"connections,omitempty"`
	Slowest     time.Duration `json:"slowest"`
	// FirstFailed and LastFailed bound the time in which requests failed.
	FirstFailed time.Time `json:"firstFailed,omitzero"`
	LastFailed  time.Time `json:"lastFailed,omitzero"`
}

// Add sums two accounts.
func (c Count) Add(o Count) Count {
	c.Sent += o.Sent
	c.Failed += o.Failed
	c.Retried += o.Retried
	c.Missed += o.Missed
	c.Connections += o.Connections
	c.Slowest = max(c.Slowest, o.Slowest)
	if c.FirstFailed.IsZero() || (!o.FirstFailed.IsZero() && o.FirstFailed.Before(c.FirstFailed)) {
		c.FirstFailed = o.FirstFailed
	}
	if o.LastFailed.After(c.LastFailed) {
		c.LastFailed = o.LastFailed
	}
	return c
}

// Report is what a recorder saw so far.
type Report struct {
	Since  time.Time        `json:"since"`
	Until  time.Time        `json:"until"`
	Probes map[string]Count `json:"probes"`
	// Failures holds the first failures in full.
	Failures []Failure `json:"failures,omitempty"`
}

// Total sums all probes of the report.
func (r Report) Total() Count {
	var t Count
	for _, c := range r.Probes {
		t = t.Add(c)
	}
	return t
}

// Rate is how many requests were sent each second, all probes together.
func (r Report) Rate() float64 {
	d := r.Until.Sub(r.Since).Seconds()
	if d <= 0 {
		return 0
	}
	return float64(r.Total().Sent) / d
}

// Merge sums reports that were taken over about the same time in different
// places: the span becomes the longest, the failures follow each other.
func Merge(reports ...Report) Report {
	out := Report{Probes: map[string]Count{}}
	for _, r := range reports {
		if out.Since.IsZero() || r.Since.Before(out.Since) {
			out.Since = r.Since
		}
		if r.Until.After(out.Until) {
			out.Until = r.Until
		}
		for name, c := range r.Probes {
			out.Probes[name] = out.Probes[name].Add(c)
		}
		out.Failures = append(out.Failures, r.Failures...)
	}
	return out
}

// Recorder is safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	since    time.Time
	probes   map[string]Count
	failures []Failure
}

// NewRecorder starts an account.
func NewRecorder() *Recorder {
	return &Recorder{since: time.Now(), probes: map[string]Count{}}
}

// Report is the account up to now.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Report{Since: r.since, Until: time.Now(), Probes: make(map[string]Count, len(r.probes))}
	for name, c := range r.probes {
		out.Probes[name] = c
	}
	out.Failures = append(out.Failures, r.failures...)
	return out
}

func (r *Recorder) update(name string, f func(*Count)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.probes[name]
	f(&c)
	r.probes[name] = c
}

func (r *Recorder) missed(name string) { r.update(name, func(c *Count) { c.Missed++ }) }

func (r *Recorder) connected(name string) { r.update(name, func(c *Count) { c.Connections++ }) }

func (r *Recorder) answered(name string, took time.Duration) {
	r.update(name, func(c *Count) {
		c.Sent++
		c.Slowest = max(c.Slowest, took)
	})
}

func (r *Recorder) failed(f Failure) {
	r.update(f.Probe, func(c *Count) {
		c.Sent++
		c.Slowest = max(c.Slowest, f.Took)
		if f.Recovered {
			c.Retried++
			return
		}
		c.Failed++
		if c.FirstFailed.IsZero() {
			c.FirstFailed = f.At
		}
		c.LastFailed = f.At.Add(f.Took)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, f)
	}
}
