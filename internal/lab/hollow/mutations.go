package hollow

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// Mutation is a command that changes a host, or would, as it was begun there.
type Mutation struct {
	At   time.Time `json:"at"`
	Host string    `json:"host"`
	Argv []string  `json:"argv"`
	// Run, Step and Attempt are those of kup's execution; empty when the command
	// was started otherwise.
	Run     string `json:"run,omitempty"`
	Step    string `json:"step,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
}

// mutations is the log of what was done to the hosts, in order.
type mutations struct {
	mu       sync.Mutex
	log      []Mutation
	watchers []func(Mutation)
}

// add logs a mutation before it takes effect and tells the watchers, one after
// the other.
func (m *mutations) add(one Mutation) {
	m.mu.Lock()
	m.log = append(m.log, one)
	watchers := slices.Clone(m.watchers)
	m.mu.Unlock()
	for _, w := range watchers {
		w(one)
	}
}

// Mutations gives every command that changed a host, in order.
func (c *Cluster) Mutations() []Mutation {
	c.mutations.mu.Lock()
	defer c.mutations.mu.Unlock()
	return slices.Clone(c.mutations.log)
}

// OnMutation has each mutation told before it takes effect; the command waits
// until the function returns. It is how a fault strikes at a known moment.
func (c *Cluster) OnMutation(told func(Mutation)) {
	c.mutations.mu.Lock()
	defer c.mutations.mu.Unlock()
	c.mutations.watchers = append(c.mutations.watchers, told)
}

// Request is what kup asked the API to change. Before it is answered it is not
// known whether it is granted.
type Request struct {
	At      time.Time `json:"at"`
	Verb    string    `json:"verb"` // as in RBAC, patch; of one not answered yet, the HTTP method
	Path    string    `json:"path"`
	Granted bool      `json:"granted"`
}

// requests is the log of what kup asked the API to change, in the order of the
// answers.
type requests struct {
	mu       sync.Mutex
	log      []Request
	watchers []func(Request)
}

// kupAgent is how kup's client names itself.
const kupAgent = "kup"

// begin tells the watchers of a request, which waits for them.
func (r *requests) begin(req *http.Request) {
	if req.UserAgent() != kupAgent || req.Method == http.MethodGet || req.Method == http.MethodHead {
		return
	}
	r.mu.Lock()
	watchers := slices.Clone(r.watchers)
	r.mu.Unlock()
	for _, w := range watchers {
		w(Request{At: time.Now(), Verb: req.Method, Path: req.URL.Path})
	}
}

// end logs a request that was answered.
func (r *requests) end(req apiserver.Request) {
	if req.Agent != kupAgent {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, Request{At: req.At, Verb: req.Verb, Path: req.Path, Granted: req.Code < http.StatusBadRequest})
}

// Requests gives what kup asked the API to change and was answered, in order.
func (c *Cluster) Requests() []Request {
	c.requests.mu.Lock()
	defer c.requests.mu.Unlock()
	return slices.Clone(c.requests.log)
}

// OnRequest has each request of kup that is to change something told before it
// takes effect; the request waits until the function returns, and is then carried
// out even if kup is gone.
func (c *Cluster) OnRequest(told func(Request)) {
	c.requests.mu.Lock()
	defer c.requests.mu.Unlock()
	c.requests.watchers = append(c.requests.watchers, told)
}
