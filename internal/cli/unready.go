package cli

import (
	"context"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/gate"
)

// unready measures how long the API server beside an etcd member is not ready
// while the member is replaced. It only looks; gates decide.
type unready struct {
	servers gate.APIServers
	every   time.Duration // between two looks

	mu       sync.Mutex
	watching map[string]context.CancelFunc // by step
	total    map[string]time.Duration      // by node
	joined   sync.WaitGroup
}

const unreadyEvery = time.Second

// Event implements engine.Observer.
func (u *unready) Event(e engine.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch e.Kind {
	case engine.StepStarted:
		if e.Stage != "etcd" || e.Node == "" {
			return
		}
		if u.watching == nil {
			u.watching, u.total = map[string]context.CancelFunc{}, map[string]time.Duration{}
		}
		ctx, cancel := context.WithCancel(context.Background())
		u.watching[e.Step] = cancel
		u.joined.Go(func() { u.watch(ctx, e.Node) })
	case engine.StepDone, engine.StepFailed:
		if cancel, ok := u.watching[e.Step]; ok {
			cancel()
			delete(u.watching, e.Step)
		}
	default:
	}
}

func (u *unready) watch(ctx context.Context, node string) {
	servers, err := u.servers.APIServers(ctx)
	if err != nil || servers[node] == nil {
		return
	}
	tick := time.NewTicker(u.every)
	defer tick.Stop()
	last := time.Now()
	for {
		err := servers[node].Ready(ctx)
		now := time.Now()
		if err != nil && ctx.Err() == nil {
			u.mu.Lock()
			u.total[node] += now.Sub(last)
			u.mu.Unlock()
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// seconds ends all watches and gives the totals by node.
func (u *unready) seconds() map[string]float64 {
	u.mu.Lock()
	for _, cancel := range u.watching {
		cancel()
	}
	u.mu.Unlock()
	u.joined.Wait()
	out := map[string]float64{}
	for node, d := range u.total {
		out[node] = d.Round(time.Second / 10).Seconds()
	}
	return out
}
